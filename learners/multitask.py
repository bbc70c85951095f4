"""The multi-task part of the neural model: heads, losses, weighting, calibration. B rows, K tasks, E experts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.adam import MOMENTS, Adam, Group
from learners.base_rates import BaseRates, negative_importance
from learners.calibration import OnlineCalibration
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.heads.heads import Heads
from learners.parameters import load_optimised, optimised_arrays, optimised_axes
from learners.state_arrays import Arrays, nest, unnest
from learners.task import Task, funnel
from learners.task_axes import Bits, Each, TaskAxes
from learners.task_losses import TaskLosses
from learners.weightings.registry import WEIGHTINGS
from learners.weightings.weighting import gradient_norms, relatedness

_FASTER_AT_FIRST = 6.0  # times, and more
_SLOWER_AFTER = 100.0  # steps
_TRUST_RATE = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiTaskConfig:
    """What shapes the multi-task part.

    Attributes:
        heads: A name of `heads.heads.HEADS`.
        experts: E.
        width: Numbers of an expert's outputs and of a tower's hidden units.
        chain: How tasks with an `after` use what comes before: `product`, `gate` or `both`.
        weighting: A name of `weightings.registry.WEIGHTINGS`.
        learning_rate: Of Adam, in the long run: it begins at seven times of it. What a task's own label rates
            count stays there.
        calibrated: Whether what is foreseen is calibrated.
        lookahead_every: Steps from one lookahead to the next; 0 for none.
        seed: Of every draw.
    """

    heads: str = "mmoe"
    experts: int = 4
    width: int = 32
    chain: str = "product"
    weighting: str = "gradnorm"
    learning_rate: float = 0.0005
    calibrated: bool = True
    lookahead_every: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLabels:
    """Labels of B rows.

    Attributes:
        labels: (B, K) values.
        mask: (B, K) which of them are known.
        late: (B, K) which are positives whose negative was taught before.
        position: (B,) where the item was shown, -1 where that is not known.
        group: (B,) rows of the same number were shown together.
    """

    labels: FloatArray
    mask: BoolArray
    late: BoolArray
    position: IntArray
    group: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLesson:
    """What one step did.

    Attributes:
        losses: (K,) mean losses over known labels, as they were learned by; NaN where none was known or the step was
            left out.
        plain_losses: (K,) the same, every label counting alike, see `TaskLosses.compared`: what heads are compared by.
            One that promises too much finds its negatives unimportant, and its other loss small.
        cosines: (K, K) between the tasks' gradients; None where the step was left out.
        gates: (K, E) how much of each expert a task took, on average over the rows.
        logits: (B, K) what was foreseen of the rows before they were learned, not calibrated.
        affinity: (K, K) what a step along each task's gradient would do to each task's loss, see `_lookahead`;
            None in most steps.
        norms: (K,) of the tasks' gradients; None where the step was left out.
    """

    losses: FloatArray
    plain_losses: FloatArray
    cosines: FloatArray | None
    gates: FloatArray
    logits: FloatArray
    affinity: FloatArray | None = None
    norms: FloatArray | None = None


class MultiTask:
    """Foresees K tasks from rows, and learns them with one backward pass.

    A step has two halves, since the rows' own gradients go on into item vectors and encoder: `learn` fills
    them, and `apply` moves the heads once the whole step is known to be finite.

    Args:
        tasks: Axis K.
        inputs: Width of a row.
        config: Everything else.
        device: Where tensors live.
        counts: How many of a row's last numbers are counts, see `Heads`.
        rates: Whether the last of these are `LabelRates`, see `Heads`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        inputs: int,
        config: MultiTaskConfig,
        device: str = "cpu",
        *,
        counts: int = 0,
        rates: bool = False,
    ) -> None:
        self.tasks = tuple(tasks)
        self._device = device
        self._calibrated = config.calibrated
        self._lookahead_every = config.lookahead_every
        self._learning_rate = config.learning_rate
        self._steps = 0
        after = funnel(self.tasks)
        self._given = (inputs, config, counts, rates)
        self.heads = self._new_heads()
        rate = config.learning_rate
        most = [one for name, one in self.heads.named_parameters() if name != "trust"]
        trust = [] if self.heads.trust is None else [self.heads.trust]
        self._optimiser = Adam(Group(most, rate), Group(trust, _TRUST_RATE * rate))
        self._losses = TaskLosses(self.tasks, device)
        self._likelihood = torch.tensor([task.kind == "binary" for task in self.tasks], device=device)
        self._rates = BaseRates(len(self.tasks), after if config.chain != "gate" else (-1,) * len(self.tasks))
        self.calibration = OnlineCalibration(len(self.tasks))
        self.weighting = WEIGHTINGS[config.weighting](self.tasks, config.seed)
        self._rate, self._gain = np.ones((2, len(self.tasks)))

    def _new_heads(self) -> Heads:
        inputs, config, counts, rates = self._given
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Heads(
                config.heads,
                inputs,
                len(self.tasks),
                experts=config.experts,
                width=config.width,
                after=funnel(self.tasks),
                chain=config.chain,
                counts=counts,
                rates=rates,
            ).to(self._device)

    # --- knobs

    def shadow(self) -> MultiTask:
        """A second one that is as this one is, knobs included, and learns on its own."""
        inputs, config, counts, rates = self._given
        other = MultiTask(self.tasks, inputs, config, self._device, counts=counts, rates=rates)
        other.become(self)
        return other

    def adjust(self, task: int, *, rate: float = 1.0, gain: float = 1.0) -> None:
        """Turn one task's head; ones are as configured.

        Args:
            task: Its number.
            rate: What steps of its own parameters are multiplied by, and how many times as quickly its base rate and
                calibration forget.
            gain: What its gradient is multiplied by where the tasks meet.
        """
        self._rate[task], self._gain[task] = rate, gain
        self._rates.hurry[task] = self.calibration.hurry[task] = rate

    def adjust_all(self, adjusted: NDArray[np.float64]) -> None:
        """The inverse of `adjusted`."""
        for task, (rate, gain) in enumerate(adjusted.T.tolist()):
            self.adjust(task, rate=rate, gain=gain)

    def become(self, shadow: MultiTask) -> None:
        """Go on as a shadow of it."""
        self.load_state_dict(shadow.state_dict())
        self.adjust_all(shadow.adjusted)

    @property
    def adjusted(self) -> NDArray[np.float64]:
        """(2, K) rates and gains."""
        return np.stack([self._rate, self._gain])

    @torch.no_grad()
    def reset(self, task: int) -> None:
        """Have a task's own parameters begin anew, without moments."""
        fresh = dict(self._new_heads().named_parameters())
        for name, parameter, own in self._own(task):
            parameter.narrow(*own).copy_(fresh[name].narrow(*own))
            for moment in MOMENTS:
                if moment in self._optimiser.state.get(parameter, {}):
                    self._optimiser.state[parameter][moment].narrow(*own).zero_()

    def _own(self, task: int) -> Iterator[tuple[str, torch.nn.Parameter, tuple[int, int, int]]]:
        """Parameters that have a slice for each task; and the axis, beginning and length of this task's."""
        axes = self.heads.task_axes
        for name, parameter in self.heads.named_parameters():
            of = axes.get(name, {})
            assert not isinstance(of, Bits), "parameters are no bits"
            for axis, parts in of.items():
                if len(parts) == 1 and isinstance(parts[0], Each):
                    yield name, parameter, (axis, task * parts[0].size, parts[0].size)
                    break

    # --- predicting

    def logits(self, rows: Tensor, position: IntArray) -> FloatArray:
        """(B, K) what is foreseen for (B, inputs) rows shown at `position` (B,), before it is calibrated."""
        with torch.inference_mode():
            outputs = self.heads(rows, self._tensor(position), self._offset())
            logits: FloatArray = self._straight(outputs).cpu().numpy()
        return logits

    def calibrated(self, logits: FloatArray) -> FloatArray:
        """(B, K) probabilities, or expected values, from logits (B, K)."""
        if self._calibrated:
            return self.calibration.apply(logits)
        plain: FloatArray = (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)
        return plain

    # --- learning

    def learn(self, rows: Tensor, given: TaskLabels) -> TaskLesson:
        """Gradients of the heads and of `rows`, balanced where the tasks meet: at the experts.

        A tower sees only its own task's mixture m_k, so one backward pass through all towers gives every task's
        gradient at its mixture, and with the gates the gradient d_k at the experts' outputs. Rows seldom have
        labels of two tasks, so these never meet in a row; they meet in the weights. Compared are therefore the
        gradients of a linear map from the heads' input x to the experts' outputs, G_k = sum_b d_k(b) x(b)'.

        Every label counts alike: a task's gradient is the sum over its labels. Their mean would make a
        positive that comes alone weigh as much as a hundred negatives whose windows close together.

        Args:
            rows: (B, inputs), with the graph that leads to what they were made of.
            given: Their labels.
        """
        K = len(self.tasks)
        mask, labels = self._tensor(given.mask), self._tensor(given.labels)
        weight_of_positive = self._tensor(self._rates.positive_weight)
        affinity = self._lookahead(rows.detach(), given) if self._is_lookahead() else None
        mixture = self.heads.mix(rows)
        leaf = mixture.mixed.detach().requires_grad_()
        start = self.heads.shortcut(rows) + self._offset()
        outputs = self.heads.towers(leaf, self._tensor(given.position), start)
        with torch.no_grad():
            logits = self._straight(outputs).cpu().numpy()
            importance = self._importance(logits, given.labels, given.late)
            gates: FloatArray = mixture.gates.mean(dim=0).cpu().numpy()
        each = self._losses.rows(outputs, labels, mask, weight_of_positive, self._tensor(given.group))
        total = (each * self._tensor(importance)).sum(dim=0)
        counts = given.mask.sum(axis=0)
        unknown = np.full(K, np.nan, np.float32)
        nothing = TaskLesson(losses=unknown, plain_losses=unknown, cosines=None, gates=gates, logits=logits)
        if not bool(torch.isfinite(total).all()):
            return nothing
        present: BoolArray = counts > 0
        learned_by, plain = (
            np.where(present, losses.detach().cpu().numpy() / np.maximum(counts, 1), np.nan)
            for losses in (
                total,
                self._losses.compared(each, outputs, labels, mask, weight_of_positive).sum(dim=0),
            )
        )
        total.sum().backward()  # type: ignore[no-untyped-call]
        gradient = leaf.grad
        assert gradient is not None  # (B, K, W)
        with torch.no_grad():
            gram = gram_matrix(gradient, mixture.shared, rows, mask).double().cpu().numpy()
            if not np.isfinite(gram).all():  # the weighting would remember it for ever
                self.heads.zero_grad()
                return nothing
            coefficients = self.weighting.weigh(gram, learned_by.astype(np.float64), present)
            scale = self._tensor((coefficients * self._gain).astype(np.float32))
        # Its gradient at `mixed` is what is wanted. `mixed.backward(wanted)` would import sympy, for shapes by symbols.
        (mixture.mixed * (gradient * scale[None, :, None])).sum().backward()  # type: ignore[no-untyped-call]
        self._rates.learn_many(given.labels, given.mask, given.late)
        return TaskLesson(
            losses=learned_by.astype(np.float32),
            plain_losses=plain.astype(np.float32),
            cosines=relatedness(gram).astype(np.float32),
            gates=gates,
            logits=logits,
            affinity=affinity,
            norms=np.where(present, gradient_norms(gram), np.nan).astype(np.float32),
        )

    def calibrate(self, logits: FloatArray, labels: FloatArray, mask: BoolArray, late: BoolArray) -> None:
        """Follow what came (L, K) of what was foreseen (L, K).

        Args:
            logits: Foreseen when the item was shown; NaN where nothing was.
            labels: What came.
            mask: Which are known.
            late: Which are positives whose negative was followed before.
        """
        self.calibration.learn_many(logits, labels, mask, self._importance(logits, labels, late))

    @property
    def learning_rate(self) -> float:
        """The present step size of the heads."""
        return self._optimiser.groups[0].learning_rate

    @property
    def gradients(self) -> list[Tensor]:
        """What `learn` has left in the parameters."""
        return [parameter.grad for parameter in self.heads.parameters() if parameter.grad is not None]

    def clear(self) -> None:
        """Drop the gradients."""
        self._optimiser.zero_grad()

    def apply(self) -> None:
        """Move the parameters along their gradients.

        Steps become smaller, since the first ones go far; they never vanish, since a stream never ends.
        """
        faster = _FASTER_AT_FIRST / (1.0 + self._steps / _SLOWER_AFTER)
        self._optimiser.groups[0].learning_rate = self._learning_rate * (1.0 + faster)
        turned = np.flatnonzero(self._rate != 1.0).tolist()
        before = {
            (task, name): parameter.narrow(*own).detach().clone()
            for task in turned
            for name, parameter, own in self._own(task)
        }
        self._optimiser.step()
        with torch.no_grad():
            for task in turned:
                for name, parameter, own in self._own(task):
                    now, was = parameter.narrow(*own), before[task, name]
                    now.copy_(was + float(self._rate[task]) * (now - was))

    def _is_lookahead(self) -> bool:
        self._steps += 1
        return self._lookahead_every > 0 and self._steps % self._lookahead_every == 0

    def _lookahead(self, rows: Tensor, given: TaskLabels) -> FloatArray:
        """(K, K) the part of itself by which loss j falls after a step of the experts along gradient i.

        Fifty et al. (NeurIPS 2021, arXiv:2109.04617), Z_ij = 1 - L_j(after a step on i) / L_j, on a shadow:
        nothing moves. All steps have the length that one of Adam's has. NaN where one of the two has no labels
        here.
        """
        K = len(self.tasks)
        position, offset = self._tensor(given.position), self._offset()
        labels, mask, group = (self._tensor(array) for array in (given.labels, given.mask, given.group))
        counts = mask.sum(dim=0).clamp(min=1)
        weight = self._tensor(self._rates.positive_weight)

        def losses(outputs: Tensor) -> Tensor:
            return self._losses.rows(outputs, labels, mask, weight, group).sum(dim=0) / counts

        shared = {f"experts.{name}": p for name, p in self.heads.experts.named_parameters()}
        before = losses(self.heads(rows, position, offset))
        length = self._learning_rate * sum(p.numel() for p in shared.values()) ** 0.5
        affinity = np.full((K, K), np.nan, np.float32)
        there = np.flatnonzero(given.mask.any(axis=0) & (before.detach().cpu().numpy() > 0.0))
        for task in there.tolist():
            slopes = torch.autograd.grad(
                before[task], list(shared.values()), retain_graph=True, allow_unused=True
            )
            with torch.no_grad():
                norm = sum(float(slope.square().sum()) for slope in slopes if slope is not None) ** 0.5
                if not 0.0 < norm < float("inf"):
                    continue
                moved = {
                    name: p if slope is None else p - length / norm * slope
                    for (name, p), slope in zip(shared.items(), slopes, strict=True)
                }
                after = losses(torch.func.functional_call(self.heads, moved, (rows, position, offset)))
                affinity[task, there] = (1.0 - after / before).cpu().numpy()[there]
        return affinity

    def _importance(self, logits: FloatArray, labels: FloatArray, late: BoolArray) -> FloatArray:
        """(B, K) what each label counts; see `negative_importance`."""
        share = np.where(self._likelihood.cpu().numpy(), self._rates.late_share, 0.0).astype(np.float32)
        if not share.any():
            return np.ones_like(labels)
        return negative_importance(self.calibration.apply(logits), labels, late, share)

    def _offset(self) -> Tensor:
        return self._tensor(self._losses.start(self._rates.logits, self._rates.positive_weight))

    def _straight(self, outputs: Tensor) -> Tensor:
        return self._losses.probability_logits(outputs, self._tensor(self._rates.positive_weight))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    # --- state

    def state_dict(self) -> Arrays:
        """Parameters, moments, rates, calibration, and the weighting's memory."""
        return {
            **nest("heads", optimised_arrays(self.heads, self._optimiser)),
            **nest("rates", self._rates.state_dict()),
            **nest("calibration", self.calibration.state_dict()),
            **nest("weighting", self.weighting.state_dict()),
            "steps": np.array([self._steps]),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {
            **nest("heads", optimised_axes(self.heads.task_axes)),
            **nest("rates", self._rates.task_axes),
            **nest("calibration", self.calibration.task_axes),
            **nest("weighting", self.weighting.task_axes),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with other settings.
        """
        load_optimised(
            self.heads,
            self._optimiser,
            unnest("heads", arrays),
            settings="learner.heads, learner.experts, learner.heads_width or learner.chain",
        )
        self._rates.load_state_dict(unnest("rates", arrays))
        self.calibration.load_state_dict(unnest("calibration", arrays))
        self.weighting.load_state_dict(unnest("weighting", arrays))
        self._steps = int(arrays["steps"][0])


def gram_matrix(gradient: Tensor, gates: Tensor, inputs: Tensor, mask: Tensor) -> Tensor:
    """(K, K) inner products of the tasks' gradients; see `MultiTask.learn`.

    Args:
        gradient: (B, K, W) at the tasks' mixtures.
        gates: (B, K, S) over what is shared.
        inputs: (B, I) the heads' inputs.
        mask: (B, K) known labels; the other rows have no gradient and are left out.
    """
    K = mask.shape[1]
    gram = gradient.new_zeros(K, K)
    there = mask.any(dim=0).nonzero().flatten().tolist()
    if not there:
        return gram
    maps = []
    for task in there:
        rows = mask[:, task]
        at_experts = (gates[rows, task, :, None] * gradient[rows, task, None, :]).flatten(1)  # (b, S W)
        maps.append((at_experts.T @ inputs[rows]).flatten())
    stacked = torch.stack(maps)
    index = torch.tensor(there, device=gradient.device)
    gram[index[:, None], index] = stacked @ stacked.T
    return gram
