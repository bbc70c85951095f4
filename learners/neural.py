"""The neural model: item vectors, an encoder of histories, retrieval by inner product, multi-task heads.

B rows, S sequences, H slots, D numbers, K tasks, T choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.adam import adam_of
from learners.embedding_table import EmbeddingTable
from learners.encoders import ENCODERS, with_traits
from learners.event_batch import EventBatch, FloatArray, Histories, IntArray
from learners.losses import sampled_softmax
from learners.multitask import MultiTask, MultiTaskConfig, TaskLabels
from learners.nearest import nearest
from learners.negatives import NegativeSampler
from learners.parameters import load_optimised, optimised_arrays
from learners.recent_vectors import RecentVectors
from learners.row_index import ABSENT
from learners.slot_traits import slot_traits
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import LiveState, whole
from learners.task import Task
from learners.task_axes import TaskAxes

_ITEM_SCALE = 0.1
_CONTEXT_VECTORS = "encoder.context.weight"
_SEARCHED_AT_ONCE = 128  # users: their scores of all items are ten megabytes

EXACT_SEARCH = 20_000
"""Items; beyond, the search covers the latest that many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralLesson:
    """What one step did; see `learners.learner.Lesson`."""

    task_losses: FloatArray
    task_labels: IntArray
    relatedness: FloatArray | None
    gates: FloatArray | None
    affinity: FloatArray | None
    retrieval_loss: float
    retrieved: int
    skipped: tuple[str, ...]
    gradient_norms: FloatArray | None = None
    vector_norm: float = float("nan")
    compared_losses: tuple[FloatArray, FloatArray] | None = None
    """(K,) each: those of the heads and of their shadow, every label counting alike."""


class NeuralModel:
    """Scores items by vectors and foresees tasks; learns both from the same rows in one step.

    Args:
        tasks: Axis K.
        event_types: How many event types a history may hold.
        context_buckets: How many buckets a history's context may hold; 0 where none is declared.
        dimension: D.
        pair_features: F, counts about a user and an item that the heads take in beside the vectors.
        rates: Whether the last of them are `LabelRates`.
        encoder: A name of `encoders.ENCODERS`.
        encoder_length: How many of the newest history slots are encoded.
        multitask: What shapes the heads and how the tasks are balanced.
        learning_rate: Of the dense parameters (Adam).
        embedding_learning_rate: Of the item vectors (row-wise Adagrad).
        negatives: Shared uniform negatives of a step.
        seed: Of every draw.
        device: Where tensors live.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        event_types: int,
        dimension: int,
        pair_features: int,
        encoder: str,
        encoder_length: int,
        multitask: MultiTaskConfig,
        learning_rate: float,
        embedding_learning_rate: float,
        negatives: int,
        seed: int,
        device: str,
        rates: bool = False,
        context_buckets: int = 0,
    ) -> None:
        self.tasks = tuple(tasks)
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device
        self._length = encoder_length
        self._embedding_learning_rate = embedding_learning_rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ENCODERS[encoder](dimension, event_types, context_buckets)
            self._network = nn.ModuleDict({"encoder": network}).to(device)
        self._optimiser = adam_of(self._network.parameters(), learning_rate)
        table = {"scale": _ITEM_SCALE, "generator": self._generator, "device": device}
        self._inputs = EmbeddingTable(dimension, **table)  # type: ignore[arg-type]
        self._outputs = EmbeddingTable(dimension, **table)  # type: ignore[arg-type]
        self._recent = RecentVectors(self._outputs, EXACT_SEARCH)
        self._sampler = NegativeSampler(negatives, np.random.default_rng(seed + 1))
        self.multitask = MultiTask(
            self.tasks,
            3 * dimension + pair_features,
            multitask,
            device,
            counts=pair_features,
            rates=rates,
        )

        self.shadow: MultiTask | None = None
        """Heads that go on as they were, beside those that were turned, and learn from the same rows."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is learned densely."""
        return {"network": self._network, "heads": self.multitask.heads}

    @property
    def tables(self) -> dict[str, EmbeddingTable]:
        """Vectors of items."""
        return {"inputs": self._inputs, "outputs": self._outputs}

    # --- predicting

    @property
    def rows(self) -> int:
        """Item rows that there is room for."""
        return len(self._inputs.weight)

    def ensure(self, rows: int) -> None:
        """Make room for item rows 0 .. rows - 1."""
        self._inputs.ensure(rows)
        self._outputs.ensure(rows)

    def user_vectors(self, histories: Histories) -> Tensor:
        """(S, D) vectors, without gradients."""
        with torch.inference_mode():
            if not len(histories):
                return self._outputs.weight[:0]
            return self._encode(histories)[0]

    def nearest(self, users: Tensor, known: IntArray, count: int) -> IntArray:
        """The items nearest to each user: exact among `known` (N,) rows, (S, min(count, N)) of them."""
        if not len(users) or not len(known) or not count:
            return np.zeros((len(users), 0), np.int64)
        with torch.inference_mode():
            known, items = self._recent.take(known)
            found = [nearest(some, items, count) for some in torch.split(users, _SEARCHED_AT_ONCE)]
        rows: IntArray = known[torch.cat(found).cpu().numpy()]
        return rows

    def scores(self, users: Tensor, rows: IntArray) -> FloatArray:
        """(S, C) inner products of users (S, D) with items (S, C); empty slots get the score of row 0."""
        index = self._tensor(np.maximum(rows, 0))
        with torch.inference_mode():
            scores: FloatArray = torch.einsum("sd,scd->sc", users, self._outputs.take(index)).cpu().numpy()
        return scores

    def vectors(self, rows: IntArray) -> FloatArray:
        """(S, C, D) the items' output vectors; empty slots get that of row 0."""
        vectors: FloatArray = self._outputs.take(self._tensor(np.maximum(rows, 0))).cpu().numpy()
        return vectors

    def task_logits(
        self, users: Tensor, rows: IntArray, position: IntArray, pair_features: FloatArray
    ) -> FloatArray:
        """(B, K) what the heads foresee for users (B, D) with items (B,) shown at `position` (B,), given (B, F)."""
        if not len(rows):
            return np.zeros((0, len(self.tasks)), np.float32)
        return self.multitask.logits(self.pairs(users, rows, pair_features), position)

    def pairs(self, users: Tensor, rows: IntArray, pair_features: FloatArray) -> Tensor:
        """(B, inputs) what the heads take in: users (B, D), items (B,), their product, and (B, F) counts."""
        items = self._outputs.take(self._tensor(rows))
        return _pairs(users, items, self._tensor(pair_features))

    # --- learning

    def learn_many(
        self, batch: EventBatch, choices: IntArray, labelled: IntArray, pair_features: FloatArray
    ) -> NeuralLesson:
        """One step from some of a batch's rows.

        The embeddings follow the sum of the rows' gradients, so that what one row teaches does not depend on
        how many others share its batch.

        Args:
            batch: The batch.
            choices: (T,) rows that are choices.
            labelled: (L,) rows that have labels.
            pair_features: (L, F) their counts, scaled.
        """
        rows = np.concatenate([choices, labelled])
        sequences, sequence = np.unique(batch.sequence[rows], return_inverse=True)
        encoded, slots, mask = self._encode(batch.histories.take(sequences))
        # What retrieval and tasks say of users is summed here, and goes back through the encoder once.
        users = encoded.detach().requires_grad_()
        T = len(choices)
        targets = batch.item_rows[choices]
        negatives = self._sampler.sample() if T else np.zeros(0, np.int64)
        sampled = np.concatenate([targets, negatives])
        item_rows = np.concatenate([sampled, batch.item_rows[labelled]])
        items = self._outputs.take(self._tensor(item_rows)).requires_grad_()

        self._optimiser.zero_grad()
        self.multitask.clear()
        if self.shadow is not None:
            self.shadow.clear()
        skipped = []
        retrieval_loss = float("nan")
        if T and len(negatives):
            loss = sampled_softmax(
                users.index_select(0, self._tensor(sequence[:T])) @ items[: len(sampled)].T,
                self._tensor(self._sampler.log_expected(sampled, T)),
                self._tensor(targets),
                self._tensor(sampled),
            )
            if torch.isfinite(loss):
                (loss * T).backward()  # type: ignore[no-untyped-call]
                retrieval_loss = float(loss.detach())
            else:
                skipped.append("retrieval")
        lesson = beside = None
        if len(labelled):
            pairs = _pairs(
                users.index_select(0, self._tensor(sequence[T:])),
                items[len(sampled) :],
                self._tensor(pair_features),
            )
            labels = _labels(batch, labelled)
            lesson = self.multitask.learn(pairs, labels)
            if lesson.cosines is None:
                skipped.append("tasks")
            if self.shadow is not None:
                beside = self.shadow.learn(pairs.detach(), labels)
                # By what it says itself: what was said when an item was shown is what the other heads said.
                self.shadow.calibrate(beside.logits, labels.labels, labels.mask, labels.late)
        if users.grad is not None:
            (encoded * users.grad).sum().backward()  # type: ignore[no-untyped-call]
        if not self._step(batch.histories.take(sequences), slots, mask, item_rows, items):
            skipped.append("tasks" if len(labelled) else "retrieval")
        self._sampler.learn_many(targets)
        task_losses = lesson.losses if lesson else np.full(len(self.tasks), np.nan, np.float32)
        return NeuralLesson(
            task_losses=task_losses,
            task_labels=np.where(np.isnan(task_losses), 0, batch.label_mask[labelled].sum(axis=0)),
            relatedness=lesson.cosines if lesson else None,
            gates=lesson.gates if lesson else None,
            affinity=lesson.affinity if lesson else None,
            retrieval_loss=retrieval_loss,
            retrieved=T if retrieval_loss == retrieval_loss else 0,
            skipped=tuple(skipped),
            gradient_norms=lesson.norms if lesson else None,
            compared_losses=(lesson.plain_losses, beside.plain_losses) if lesson and beside else None,
            vector_norm=float(items.detach().norm(dim=1).mean()),
        )

    @property
    def learning_rates(self) -> dict[str, float]:
        """The present step sizes of item vectors, encoder and heads."""
        return {
            "embeddings": self._embedding_learning_rate,
            "network": self._optimiser.groups[0].learning_rate,
            "heads": self.multitask.learning_rate,
        }

    def _step(
        self, histories: Histories, slots: Tensor, mask: Tensor, item_rows: IntArray, items: Tensor
    ) -> bool:
        """Move the parameters; a gradient that is not finite moves nothing. Returns whether they were moved."""
        gradients = [p.grad for p in self._network.parameters() if p.grad is not None]
        gradients += self.multitask.gradients
        gradients += [tensor.grad for tensor in (slots, items) if tensor.grad is not None]
        if not bool(torch.isfinite(nn.utils.get_total_norm(gradients))):
            return False
        self._optimiser.step()
        self.multitask.apply()
        if self.shadow is not None and all(bool(torch.isfinite(g).all()) for g in self.shadow.gradients):
            self.shadow.apply()
        rate = self._embedding_learning_rate
        if slots.grad is not None:
            rows = self._tensor(histories.item_rows[:, -self._length :])
            self._inputs.learn_many(rows[mask], slots.grad[mask], rate)
        if items.grad is not None:
            self._outputs.learn_many(self._tensor(item_rows), items.grad, rate)
        return True

    def _encode(self, histories: Histories) -> tuple[Tensor, Tensor, Tensor]:
        """User vectors (S, D), the item vectors they came from (S, H, D) and the filled slots (S, H)."""
        newest = slice(-self._length, None)
        rows, types, age_s = (
            column[:, newest] for column in (histories.item_rows, histories.types, histories.age_s)
        )
        filled = rows != ABSENT
        mask = self._tensor(filled)
        slots = self._inputs.take(self._tensor(np.maximum(rows, 0))).requires_grad_(torch.is_grad_enabled())
        users = self._network["encoder"](
            slots,
            self._tensor(slot_traits(types, age_s, histories.now_s, filled)),
            mask,
            self._tensor(histories.context[:, newest].astype(np.int64)),
        )
        return users, slots, mask

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        self._inputs.forget(rows)
        self._outputs.forget(rows)
        self._sampler.forget(rows)

    def live_state(self) -> LiveState:
        """Vectors, parameters, moments, counts, weights' memory, and the state of every source of draws."""
        return {
            **nest("network", optimised_arrays(self._network, self._optimiser)),
            **nest("inputs", self._inputs.live_state()),
            **nest("outputs", self._outputs.live_state()),
            **nest("sampler", self._sampler.live_state()),
            **nest("tasks", self.multitask.state_dict()),
            "generator": self._generator.get_state().numpy().copy(),
        }

    def beginning(self) -> Arrays:
        """What is not a row of a table: parameters, moments, rates, calibration, weights' memory."""
        return {
            **nest("network", optimised_arrays(self._network, self._optimiser)),
            **nest("tasks", self.multitask.state_dict()),
        }

    def begin_from(self, beginning: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `beginning`."""
        load_optimised(
            self._network,
            self._optimiser,
            with_traits(unnest("network", beginning)),
            settings="learner.encoder",
            optional=(_CONTEXT_VECTORS,),
        )
        self.multitask.load_state_dict(unnest("tasks", beginning))

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return nest("tasks", self.multitask.task_axes)

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; vectors of context fields begin anew where these had other buckets or none.

        Raises:
            ValueError: Saved with other settings.
        """
        self.begin_from(arrays)
        self._inputs.load_state_dict(unnest("inputs", arrays))
        self._outputs.load_state_dict(unnest("outputs", arrays))
        self._sampler.load_state_dict(unnest("sampler", arrays))
        self._generator.set_state(torch.tensor(arrays["generator"]))


def _labels(batch: EventBatch, rows: IntArray) -> TaskLabels:
    """The labels of some of a batch's rows."""
    return TaskLabels(
        labels=batch.labels[rows],
        mask=batch.label_mask[rows],
        late=batch.late_labels(rows),
        position=batch.position[rows],
        group=batch.histories.lists(batch.sequence[rows]),
    )


def _pairs(users: Tensor, items: Tensor, features: Tensor) -> Tensor:
    """(B, 3 D + F): user, item, their product, and what is counted of them."""
    return torch.cat([users, items, users * items, features], dim=1)
