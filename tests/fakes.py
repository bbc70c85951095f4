"""A learner without a model, and what stands around the engine: all of it in memory, none of it torch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from builders import decoder
from numpy.typing import NDArray

from connectors.dead_letter import DeadLetter
from connectors.event_types import STANDARD_TYPES
from connectors.recommendation import Recommendation
from learners.candidates import EVIDENCE, Candidates
from learners.context_fields import NO_CONTEXT, ContextFields
from learners.counts.counts import Counts
from learners.event_batch import BoolArray, EventBatch, FloatArray, Histories, IntArray
from learners.filters import FILTERS
from learners.known_item import KnownItem, known_item
from learners.learner import EVICTED, Lesson, Predictions, Slates
from learners.prerank import BRIEF, Brief
from learners.row_index import ABSENT
from learners.state_changes import LiveState
from learners.task import Task
from learners.task_axes import Axis
from learners.task_map import TaskMap, named
from learners.weightings.weighting import Explanation
from stream.attribution import Attribution, LabelSource
from stream.batching import Batcher
from stream.checkpoints.manifest import Manifest
from stream.checkpoints.store import CheckpointStore
from stream.pipeline import Pipeline
from stream.processor import Processor
from stream.statistics import DriftRules, Statistics
from stream.trials import ReactionRules, Trials
from stream.user_states import UserStates

TASKS = (Task(name="click", window_s=60.0), Task(name="purchase", value=2.0, window_s=600.0))


class CountingLearner:
    """Recommends what was chosen most, and keeps a diary of what it was asked.

    Attributes:
        counts: How often each item row was chosen.
        diary: The calls in their order, each with a copy of what it was given.
    """

    version = "counting"

    def __init__(self, tasks: Sequence[Task] = TASKS) -> None:
        self.tasks = tuple(tasks)
        self.step = 0
        self.counts: dict[int, int] = {}
        self.diary: list[tuple[str, Any]] = []
        self.given_up = dict.fromkeys(EVICTED, 0)
        self.known: BoolArray = np.ones(len(self.tasks), np.bool_)

    @property
    def answered(self) -> BoolArray:
        return self.known

    @property
    def evictions(self) -> dict[str, int]:
        return dict(self.given_up)

    @property
    def shown_axis(self) -> Axis:
        return ()

    def tasks_saved(self, arrays: Mapping[str, NDArray[Any]]) -> TaskMap:
        return TaskMap.of(arrays, self.tasks)

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        return np.zeros((len(items), 0), np.float32)

    def explain(self) -> list[Explanation]:
        return []

    def forget_users(self, rows: IntArray) -> None:
        if len(rows):
            self.diary.append(("forget users", rows.tolist()))

    def predict_many(self, batch: EventBatch) -> Predictions:
        self.diary.append(("predict", (batch, dict(self.counts))))
        targets, labelled = np.flatnonzero(batch.target), np.flatnonzero(batch.label_mask.any(axis=1))
        T, K = len(targets), len(self.tasks)
        chosen = batch.item_rows[targets]
        rows = self._best() or [ABSENT]
        return Predictions(
            labelled=labelled,
            task_scores=np.full((len(labelled), K), 0.5, np.float32),
            settled_scores=np.full((0 if batch.settled is None else len(batch.settled), K), 0.5, np.float32),
            shown=np.zeros((len(labelled), 0), np.float32),
            targets=targets,
            ranks=np.array(
                [self._best().index(row) if row in self.counts else -1 for row in chosen.tolist()], np.int64
            ),
            known=np.array([row in self.counts for row in chosen.tolist()], np.bool_),
            brief=Brief(np.zeros((T, 0), np.int64), np.zeros((T, 0, len(BRIEF)), np.float32)),
            candidates=_candidates(np.tile(np.array(rows, np.int64), (T, 1))),
            features=np.zeros((T, len(rows), 0), np.float32),
            scores=np.tile(np.array([self.counts.get(row, -np.inf) for row in rows], np.float32), (T, 1)),
        )

    def learn_many(self, batch: EventBatch, predictions: Predictions) -> Lesson:
        self.diary.append(("learn", (batch, predictions)))
        for row in batch.item_rows[batch.target].tolist():
            self.counts[row] = self.counts.get(row, 0) + 1
        self.step += 1
        K = len(self.tasks)
        return Lesson(
            task_losses=np.full(K, np.nan, np.float32),
            task_labels=np.zeros(K, np.int64),
            task_weights=np.ones(K, np.float32),
            relatedness=None,
        )

    def recommend(self, histories: Histories, size: int) -> Slates:
        self.diary.append(("recommend", histories))
        S, best = len(histories), self._best()[:size]
        rows = np.full((S, size), ABSENT, np.int64)
        rows[:, : len(best)] = best
        return Slates(
            item_rows=rows,
            scores=np.zeros((S, size), np.float32),
            task_scores=np.zeros((S, size, len(self.tasks)), np.float32),
            trained=np.ones(len(self.tasks), np.bool_),
            parts=np.zeros((S, size, len(self.tasks) + 3), np.float32),
            sources=np.zeros((S, size), np.int64),
            placed=np.zeros((S, size), np.int8),
            because=np.repeat(histories.item_rows[:, -1:], size, axis=1),
            propensity=np.ones((S, size), np.float32),
            removed=np.zeros(len(FILTERS), np.int64),
            new=np.zeros((S, size), np.bool_),
        )

    def preview(self, histories: Histories, size: int) -> Slates:
        written = len(self.diary)
        slates = self.recommend(histories, size)
        del self.diary[written:]
        return slates

    def known_item(self, row: int, now_s: float, most: int) -> KnownItem:
        return known_item(Counts(max_pairs=16), row, now_s, most)

    def forget_items(self, rows: IntArray) -> None:
        self.diary.append(("forget", rows.tolist()))
        for row in rows.tolist():
            self.counts.pop(row, None)

    def live_state(self) -> LiveState:
        return dict(self.state_dict())

    def state_dict(self) -> dict[str, NDArray[Any]]:
        return {
            "counts": np.array(sorted(self.counts.items()), np.int64).reshape(-1, 2),
            "step": np.array([self.step]),
            **named(self.tasks),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.counts = {int(row): int(count) for row, count in arrays["counts"]}
        self.step = int(arrays["step"][0])

    def _best(self) -> list[int]:
        return sorted(self.counts, key=lambda row: (-self.counts[row], row))


def _candidates(rows: IntArray) -> Candidates:
    T, C = rows.shape
    return Candidates(
        rows=rows,
        evidence=np.zeros((T, C, EVIDENCE), np.float32),
        sources=np.zeros((T, C), np.uint8),
        rest=np.zeros((T, 0), np.int64),
    )


def pipeline(
    learner: Any = None,
    *,
    max_items: int = 1_000,
    slate_size: int = 3,
    context: ContextFields = NO_CONTEXT,
) -> Pipeline:
    """A pipeline of the standard types; clicks and purchases are choices."""
    batcher = Batcher(STANDARD_TYPES, frozenset({"click", "purchase"}), context=context)
    learner = learner or CountingLearner()
    sources = {
        task.name: LabelSource(event_types=frozenset({batcher.number(task.name)})) for task in learner.tasks
    }
    noticing = frozenset({batcher.number("click"), batcher.number("view")})
    return Pipeline(
        learner,
        batcher,
        Attribution(learner.tasks, sources, batcher.impression, noticing),
        max_items=max_items,
        slate_size=slate_size,
    )


def user_states(
    *, max_users: int = 1_000, history_length: int = 5, context: ContextFields = NO_CONTEXT
) -> UserStates:
    return UserStates(
        history_length=history_length,
        max_users=max_users,
        slate_size=3,
        max_pending=1_000,
        context=context,
    )


def statistics(tasks: Sequence[Task] = TASKS, *, window: int = 100, drift: bool = True) -> Statistics:
    return Statistics(
        tasks, window=window, drift=DriftRules(false_alarms=0.6) if drift else None, slate_size=3
    )


def processor(learner: Any = None, *, context: ContextFields = NO_CONTEXT, **bounds: int) -> Processor:
    """A processor that has seen nothing."""
    users = {name: bounds.pop(name) for name in ("max_users", "history_length") if name in bounds}
    worked = pipeline(learner, context=context, **bounds)
    return Processor(
        decoder(),
        worked,
        user_states(context=context, **users),
        statistics(worked.learner.tasks),
        Trials(worked.learner, ReactionRules()),
    )


def in_one_portion(learned: Processor) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """All of its state, as a store takes it."""
    snapshot = learned.snapshot(whole=True)
    assert snapshot is not None
    return snapshot.pieces


@dataclass
class MemoryPublisher:
    """Takes results; they count as delivered at once, or when the test says so.

    Attributes:
        sent: What was handed over, in order.
        updates: Model updates, delivered at once.
        held: With `hold`, the deliveries that the test must complete.
    """

    hold: bool = False
    error: Exception | None = None
    delivery_error: Exception | None = None
    sent: list[tuple[list[Recommendation], list[DeadLetter], list[object]]] = field(default_factory=list)
    held: list[asyncio.Future[None]] = field(default_factory=list)
    updates: list[list[bytes]] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(
        self,
        recommendations: Sequence[Recommendation],
        dead_letters: Sequence[DeadLetter],
        findings: Sequence[object],
        require_lease: Callable[[], None] = lambda: None,
    ) -> None:
        require_lease()
        if self.error is not None:
            raise self.error
        delivery: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.delivery_error is not None:
            delivery.set_exception(self.delivery_error)
        elif not self.hold:
            delivery.set_result(None)
        self.held.append(delivery)
        async with self.arrived:
            self.sent.append((list(recommendations), list(dead_letters), list(findings)))
            self.arrived.notify_all()
        await delivery

    async def tell(self, update: Sequence[bytes]) -> None:
        self.updates.append(list(update))

    async def wait_for(self, count: int) -> None:
        """Until so many steps' results were handed over."""
        async with self.arrived:
            await asyncio.wait_for(self.arrived.wait_for(lambda: len(self.sent) >= count), 10.0)

    @property
    def recommendations(self) -> list[Recommendation]:
        return [slate for slates, _, _ in self.sent for slate in slates]


@dataclass
class Diary:
    """An observer that writes down what it is told."""

    steps: list[int] = field(default_factory=list)
    published_at: list[tuple[list[float], float]] = field(default_factory=list)
    manifests: list[Manifest] = field(default_factory=list)
    merges: list[Manifest] = field(default_factory=list)
    failures: int = 0
    failed_steps: int = 0
    told_bytes: int = 0
    heard_updates: int = 0

    def step(self, processed: Any, processor: Processor) -> None:
        self.steps.append(processed.step.events if processed.step else 0)

    def published(self, arrived_ms: Sequence[float], published_ms: float) -> None:
        self.published_at.append((list(arrived_ms), published_ms))

    def checkpointed(self, manifest: Manifest, deltas: int, stalled_s: float, wrote_s: float) -> None:
        self.manifests.append(manifest)

    def merged(self, manifest: Manifest, took_s: float) -> None:
        self.merges.append(manifest)

    def checkpoint_failed(self) -> None:
        self.failures += 1

    def told(self, update: int) -> None:
        self.told_bytes += update

    def heard(self, merged: Any, update: int) -> None:
        self.heard_updates += merged.updates

    def step_failed(self) -> None:
        self.failed_steps += 1


class BrokenStore(CheckpointStore):
    """A folder that cannot be written until it is mended."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.broken = True
        self.attempts = 0

    def write(self, *args: Any, **kwargs: Any) -> Manifest:
        self.attempts += 1
        if self.broken:
            raise OSError(30, "Read-only file system")
        return super().write(*args, **kwargs)
