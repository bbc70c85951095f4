"""The second stage: small networks over all counts and the neural score, learned from what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from learners.adam import Adam, Group
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.losses import served_softmax
from learners.parameters import load_optimised, optimised_arrays
from learners.random_state import generator_array, restore_generator
from learners.standardiser import Standardiser
from learners.state_arrays import Arrays
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole
from learners.take_columns import take_columns

_PADDING = -1e9
_MIXING_RATE = 0.02
_AT_A_TIME = 128  # sequences, so that no temporary is large
_LARGEST = 60_000.0  # of a half-precision float


class RankerLesson(NamedTuple):
    """What one gradient step did: over how many choices, the mixture's loss, and each expert's own (E,)."""

    choices: int
    loss: float
    expert_losses: FloatArray


class _Expert(nn.Module):
    """A two-layer network beside a linear part, over standardised features."""

    def __init__(self, prior: Tensor, hidden: tuple[int, int] = (64, 32)) -> None:
        super().__init__()
        features = len(prior)
        self.first = nn.Linear(features, hidden[0])
        self.second = nn.Linear(*hidden)
        self.out = nn.Linear(hidden[1], 1)
        self.linear = nn.Linear(features, 1, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(prior)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) to (...)."""
        # ReLU costs a seventh of SiLU here, and this runs for every candidate of every slate
        hidden = F.relu(self.second(F.relu(self.first(x), inplace=True)), inplace=True)
        score: Tensor = (self.out(hidden) + self.linear(x)).squeeze(-1)
        return score


class _Mixture(nn.Module):
    """Experts that differ in how fast they learn, and how much each counts.

    Scores are averaged (a product of experts), with shares that follow the gradient of the mixture's own loss.
    """

    def __init__(self, prior: Tensor, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(_Expert(prior) for _ in range(experts))
        self.mixing = nn.Parameter(torch.zeros(experts))

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) to (...)."""
        if len(self.experts) == 1:
            score: Tensor = self.experts[0](x)
            return score
        mixed: Tensor = torch.tensordot(self.each(x), self.shares, dims=([-1], [0]))
        return mixed

    def each(self, x: Tensor) -> Tensor:
        """(..., F) to (..., E)."""
        return torch.stack([expert(x) for expert in self.experts], dim=-1)

    @property
    def shares(self) -> Tensor:
        """(E,) how much each expert counts; sums to one."""
        return self.mixing.softmax(dim=0)


def _optimiser(network: _Mixture, learning_rates: Sequence[float]) -> Adam:
    """Of all experts, at a rate each, and of how much each counts."""
    groups = [
        Group(list(expert.parameters()), rate)
        for expert, rate in zip(network.experts, learning_rates, strict=True)
    ]
    return Adam(*groups, Group([network.mixing], _MIXING_RATE))


class Ranker:
    """Scores candidates by features; learns by softmax cross-entropy over the candidates that were served.

    Hard candidates come from its own top, the others uniformly with their importance weight. Choices wait until
    there are enough for a gradient step, so that it does not matter in how large batches they come.

    Args:
        prior: (F,) weights of the scaled features before anything is learned.
        standardiser: Scales the features; the ranker lets it follow what it compares.
        learning_rates: Of Adam, one for each expert.
        rng: Source of the uniform part.
        candidates: N, how many candidates a learned choice compares, the chosen one included.
        choices_per_step: Choices of one gradient step.
        memory: How many of the latest learned choices are kept, of which some are drawn and learned once more; 0 for
            none.
        reminders: Steps on drawn choices after each step on new ones.
    """

    _TOP_SHARE = 0.6

    def __init__(
        self,
        prior: FloatArray,
        standardiser: Standardiser,
        *,
        learning_rates: tuple[float, ...],
        rng: np.random.Generator,
        candidates: int = 50,
        choices_per_step: int = 16,
        memory: int = 4_096,
        reminders: int = 2,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            self.network = _Mixture(torch.from_numpy(prior), len(learning_rates))
        self._optimiser = _optimiser(self.network, learning_rates)
        self._candidates = candidates
        self._choices_per_step = choices_per_step
        self._rng = rng
        self._memory_rng = np.random.default_rng(int(rng.integers(2**63)))  # its draws depend on no cut
        self._standardiser = standardiser
        self._waiting_features: FloatArray = np.zeros((0, candidates, len(prior)), np.float32)
        self._waiting_weights: FloatArray = np.zeros((0, candidates), np.float32)
        self._memory_features: NDArray[np.float16] = np.zeros((memory, candidates, len(prior)), np.float16)
        self._memory_weights: FloatArray = np.zeros((memory, candidates), np.float32)
        self._memory_marks: Marks = np.zeros(memory, np.uint8)
        self._memorised = 0
        self._reminders, self._share = reminders, 1.0
        self._learning_rates = learning_rates
        self._lender: Ranker | None = None

    def shadow(self) -> Ranker:
        """A second one that is as this one is, and learns on its own from what it is given.

        It has no memory: it is reminded of this one's choices. Nor does it teach the scale of features.
        """
        other = object.__new__(Ranker)
        vars(other).update(vars(self))
        other.network = deepcopy(self.network)
        of_experts = self._optimiser.groups[: len(self._learning_rates)]
        other._optimiser = _optimiser(other.network, [group.learning_rate for group in of_experts])
        other._rng, other._memory_rng = deepcopy(self._rng), deepcopy(self._memory_rng)
        other._lender = self
        other.begin_from(self.beginning())
        return other

    def become(self, shadow: Ranker) -> None:
        """Go on as a shadow of it."""
        self.begin_from(shadow.beginning())
        self._waiting_features, self._waiting_weights = shadow._waiting_features, shadow._waiting_weights
        restore_generator(self._memory_rng, generator_array(shadow._memory_rng))

    def quicken(self, factor: float) -> None:
        """Multiply the configured step sizes of the experts; 1 is as configured."""
        for group, rate in zip(self._optimiser.groups, self._learning_rates, strict=False):
            group.learning_rate = factor * rate

    def take_share(self, share: float) -> None:
        """It learns from so much of the stream, and is averaged with those who learn from the rest.

        An average of n networks moves as far as one of them. So each takes n - 1 steps more on what it remembers
        after each on new choices.
        """
        self._share = share

    @property
    def shares(self) -> FloatArray:
        """(E,) how much each expert counts."""
        shares: FloatArray = self.network.shares.detach().numpy().copy()
        return shares

    def score(self, features: FloatArray, filled: BoolArray) -> FloatArray:
        """Scores of candidates.

        Args:
            features: (S, C, F).
            filled: (S, C) which candidates there are.

        Returns:
            (S, C), -inf where there is no candidate.
        """
        scores = np.empty(filled.shape, np.float32)
        with torch.inference_mode():
            for begin in range(0, len(filled), _AT_A_TIME):
                some = slice(begin, begin + _AT_A_TIME)
                scaled = torch.from_numpy(self._standardiser.transform(features[some]))
                scores[some] = self.network(scaled).numpy()
        scores[~filled] = -np.inf
        return scores

    def learn_many(
        self, features: FloatArray, filled: BoolArray, scores: FloatArray, chosen: IntArray
    ) -> list[RankerLesson | None]:
        """Take in choices and learn as soon as there are enough of them.

        Args:
            features: (T, C, F) of the candidates as they were ranked.
            filled: (T, C) which candidates there are.
            scores: (T, C) how they were ranked.
            chosen: (T,) the chosen item's column.

        Returns:
            One lesson for each gradient step; None where a loss was not finite and nothing was learned.
        """
        T, C, _ = features.shape
        if T and C > 1:
            columns, log_weight = self._contrast(filled, scores, chosen)
            missing = self._candidates - columns.shape[1]
            compared = take_columns(features, columns)
            self._waiting_features = np.concatenate(
                [self._waiting_features, np.pad(compared, ((0, 0), (0, missing), (0, 0)))]
            )
            self._waiting_weights = np.concatenate(
                [
                    self._waiting_weights,
                    np.pad(log_weight, ((0, 0), (0, missing)), constant_values=_PADDING),
                ]
            )
        lessons = []
        n = self._choices_per_step
        while len(self._waiting_weights) >= n:
            features, weights = self._waiting_features[:n], self._waiting_weights[:n]
            if self._lender is None:
                self._standardiser.learn_many(features[weights > _PADDING / 2])
            lessons.append(self._step(features, weights))
            self._remind(features, weights)
            self._waiting_features, self._waiting_weights = (
                self._waiting_features[n:].copy(),
                self._waiting_weights[n:].copy(),
            )
        return lessons

    def _step(self, compared: FloatArray, log_weight: FloatArray) -> RankerLesson | None:
        """One gradient step from (T, N, F) features, the chosen one first, and (T, N) weights."""
        each = self.network.each(torch.from_numpy(self._standardiser.transform(compared)))  # (T, N, E)
        weight = torch.from_numpy(log_weight)
        mixed = torch.tensordot(each.detach(), self.network.shares, dims=([-1], [0]))
        loss = served_softmax(mixed, weight)
        own = torch.stack([served_softmax(scores, weight) for scores in each.unbind(-1)])
        total = loss + own.sum()
        if not torch.isfinite(total):
            return None
        self._optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        if not torch.isfinite(nn.utils.get_total_norm(gradients)):
            return None
        self._optimiser.step()
        return RankerLesson(len(compared), float(loss.detach()), own.detach().numpy())

    def _remind(self, features: FloatArray, weights: FloatArray) -> None:
        """Learn again from choices of the past, and keep these for later.

        Experience replay (Lin, 1992, "Self-improving reactive agents"), of the ranker alone.
        """
        memory = len(self._memory_weights)
        if not memory:
            return
        owner = self._lender or self
        known = min(owner._memorised, memory)
        reminders = self._reminders - 1 + round(1.0 / owner._share)
        for _ in range(reminders if known >= len(weights) else 0):
            some = self._memory_rng.integers(0, known, len(weights))
            self._step(self._memory_features[some].astype(np.float32), self._memory_weights[some])
        if self._lender is not None:
            return
        places = (self._memorised + np.arange(len(weights))) % memory
        self._memory_features[places] = np.clip(features, -_LARGEST, _LARGEST)
        self._memory_weights[places] = weights
        self._memory_marks[places] = CHANGED
        self._memorised += len(weights)

    def _contrast(
        self, filled: BoolArray, scores: FloatArray, chosen: IntArray
    ) -> tuple[IntArray, FloatArray]:
        """Which candidates to compare (T, N), the chosen one first, and the logarithm of their weights (T, N)."""
        T, C = filled.shape
        own = np.arange(T)
        wanted = min(self._candidates, C) - 1
        top = int(wanted * self._TOP_SHARE)
        rest = wanted - top
        order = np.where(filled, scores, -np.inf)
        order[own, chosen] = np.inf
        by_score = np.argsort(-order, axis=1, kind="stable")  # the chosen one, then the best, empty ones last
        hard = by_score[:, : 1 + top]
        lottery = np.where(filled, self._rng.random((T, C)), -1.0)
        np.put_along_axis(lottery, hard, -1.0, axis=1)
        uniform = np.argpartition(-lottery, max(rest - 1, 0), axis=1)[:, :rest]
        columns = np.concatenate([hard, uniform], axis=1)

        left = np.maximum(filled.sum(axis=1) - hard.shape[1], 0)
        drawn = np.minimum(left, rest)
        log_weight = np.zeros((T, 1 + wanted), np.float32)
        log_weight[:, 1 + top :] = np.log(np.maximum(left, 1) / np.maximum(drawn, 1))[:, None]
        empty = ~take_columns(filled, columns)
        empty[:, 1 + top :] |= take_columns(lottery, uniform) < 0.0
        empty[:, 0] = False
        log_weight[empty] = _PADDING
        return columns, log_weight

    def live_state(self) -> LiveState:
        """Parameters, the optimiser's moments, the choices that wait, and those that are remembered."""
        return {
            **self.beginning(),
            **self._waiting(),
            "memory_features": Table(self._memory_features[: self._memorised], self._memory_marks),
            "memory_weights": Table(self._memory_weights[: self._memorised], self._memory_marks),
            "memorised": np.array([self._memorised]),
            "share": np.array([self._share]),
        }

    def shadow_arrays(self) -> Arrays:
        """What a shadow has of its own."""
        return {**self.beginning(), **self._waiting(), "rng": generator_array(self._rng)}

    def load_shadow(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `shadow_arrays`."""
        self.begin_from(arrays)
        self._load_waiting(arrays)
        restore_generator(self._rng, arrays["rng"])

    def _waiting(self) -> Arrays:
        """The choices that wait for a step, and of which of the remembered ones it will remind."""
        return {
            "waiting_features": self._waiting_features.copy(),
            "waiting_weights": self._waiting_weights.copy(),
            "memory_rng": generator_array(self._memory_rng),
        }

    def _load_waiting(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `_waiting`."""
        self._waiting_features = arrays["waiting_features"].copy()
        self._waiting_weights = arrays["waiting_weights"].copy()
        restore_generator(self._memory_rng, arrays["memory_rng"])

    def beginning(self) -> Arrays:
        """Parameters and moments, without any choices."""
        return optimised_arrays(self.network, self._optimiser)

    def begin_from(self, beginning: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `beginning`."""
        load_optimised(
            self.network, self._optimiser, beginning, settings="number of learner.ranker_learning_rates"
        )

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; of more choices than are to be remembered the latest.

        Raises:
            ValueError: Saved with another number of features, candidates or experts.
        """
        self.begin_from(arrays)
        saved, own = arrays["waiting_features"].shape[1:], self._waiting_features.shape[1:]
        if saved != own:
            raise ValueError(f"choices wait with candidates and features {saved}, configured are {own}")
        self._load_waiting(arrays)
        size, memory = len(arrays["memory_weights"]), len(self._memory_weights)
        memorised = int(arrays["memorised"][0])
        self._share = float(arrays.get("share", np.ones(1))[0])  # earlier versions did not say
        latest = np.arange(memorised - min(memorised, size, memory), memorised)
        # A ring of another size begins with the oldest that is kept.
        stays = size == memory or memorised == len(latest)
        first = 0 if stays else memorised - len(latest)
        self._memorised = memorised - first
        before, places = latest % max(size, 1), (latest - first) % max(memory, 1)
        self._memory_features[places] = arrays["memory_features"][before]
        self._memory_weights[places] = arrays["memory_weights"][before]
        self._memory_marks[:] = 0 if stays else CHANGED
