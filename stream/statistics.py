"""What a worker keeps of its own quality: windows, averages, drift. It is state, and as exact as all other state.

It changes with the step that it watches and before the next snapshot, so a checkpoint holds it as of the offsets that
are applied, and a step that is made again from there counts once, as its events do. What only goes up is not here:
Prometheus' counters begin at zero with each process, and Prometheus knows how to deal with that.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners.candidates import SOURCES
from learners.learner import Lesson
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import LiveState, Marks, Table, whole
from learners.task import Task
from learners.task_axes import BY_TASK, COUNTED, TaskAxes, carried_over
from learners.task_map import TaskMap
from monitoring.detectors.registry import Kind
from monitoring.drift import DriftFinding, DriftWatch
from monitoring.progressive import ProgressiveRanking, Smoothed
from monitoring.slate_answers import CLICKED, PLACES, SlateAnswers
from monitoring.spread import RecentEvents, RecentPlaces
from monitoring.task_windows import TaskWindows
from stream.pipeline import Forecasts, Served, Step
from stream.signal_columns import AXIS, LabelSums, SignalColumns, watched
from stream.slate_feedback import feedback
from stream.trials import DriftDecision, DriftOutcome, DriftRecord

_LATEST_FINDINGS = 20
_LOOK_AT_ITEMS = 4


class _Marked(Protocol):
    """What is kept in tables that are saved row by row."""

    marks: Marks

    def tables(self) -> dict[str, NDArray[Any]]: ...

    def rest(self) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRules:
    """How drift is looked for.

    Attributes:
        detector: A name of `monitoring.detectors.registry`.
        false_alarms: Of all detectors together in 100,000 events in which nothing changes, at most.
    """

    detector: Kind = "page_hinkley"
    false_alarms: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What a step told.

    Attributes:
        findings: Drift.
        reacted: What was done about drift, and what came of it.
        answers: (3, sources, stretches) places that were seen, answered and liked for the first time.
        novelty_bits: How little known was what the step's slates show, summed over places.
    """

    findings: Sequence[DriftFinding] = ()
    reacted: Sequence[DriftDecision | DriftOutcome] = ()
    answers: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((3, len(SOURCES), len(PLACES)), np.int64)
    )
    novelty_bits: float = 0.0

    @property
    def records(self) -> list[DriftRecord]:
        """What is to stand on the drift topic, in order."""
        return [*self.findings, *self.reacted]


class Statistics:
    """Watches the steps of one processor.

    Args:
        tasks: Axis K.
        window: Choices of the progressive window, and labels of each task's.
        drift: What looks for drift; None for nothing.
        slate_size: Places of a slate.

    Attributes:
        lock: Held while a step is counted; whoever looks from another thread holds it too.
        labels: (K,) labels so far.
        weights: (K,) of the tasks, lately.
        latest: The latest findings.
        events_seen: Events of all steps.
        event_time_ms: Of the newest event.
    """

    def __init__(
        self, tasks: Sequence[Task], *, window: int, drift: DriftRules | None, slate_size: int
    ) -> None:
        self.lock = threading.Lock()
        K = len(tasks)
        self._tasks = tuple(tasks)
        self.ranking = ProgressiveRanking(window)
        self.windows = TaskWindows(K, window)
        self.losses = Smoothed(K)
        self.gradients = Smoothed(K)
        self.rates = Smoothed(K)
        self.foreseen = Smoothed(K)
        self.related = Smoothed(K * K)
        self.training = Smoothed(2)
        self.labels = np.zeros(K, np.int64)
        self.weights = np.array([task.value for task in tasks], np.float64)
        self.answers = SlateAnswers(len(SOURCES), places=slate_size)
        self.places = RecentPlaces()
        self.events = RecentEvents()
        self.latest: deque[DriftFinding] = deque(maxlen=_LATEST_FINDINGS)
        self.events_seen = 0
        self.event_time_ms = 0
        self._columns = SignalColumns(tasks)
        self._drift = (
            DriftWatch(watched(tasks), drift.detector, drift.false_alarms) if drift is not None else None
        )

    @property
    def found(self) -> int:
        """Findings so far."""
        return self._drift.found if self._drift is not None else 0

    @property
    def leanings(self) -> list[float]:
        """Of all signals, see `Signals.leaning`; zeros where nothing is watched."""
        watch = self._drift
        if watch is None:
            return [0.0] * len(watched(self._tasks))
        return [watch.signals.leaning(s) for s in range(len(watch.signals.signals))]

    # --- steps

    def count(self, step: Step, now_ms: int) -> Noticed:
        """Take a step in, once."""
        with self.lock:
            self.event_time_ms = max(self.event_time_ms, step.event_time_ms)
            self.events_seen += step.events
            self._count_choices(step)
            popularity_bits = self._look_at_items(step)
            self.events.add(step.items)
            novelty_bits = self._count_slates(step.slates)
            labels = self._count_forecasts(step.forecasts)
            self.labels += step.label_mask.sum(axis=0)
            self._count_lesson(step.lesson)
            answers = self.answers.count(feedback(step.answering)) if step.answering else None
            told = (0, 0) if answers is None else (int(answers[CLICKED].sum()), self.answers.seen)
            findings = self._look_for_drift(step, labels, told, popularity_bits, now_ms)
            if answers is None:
                return Noticed(findings=findings, novelty_bits=novelty_bits)
            return Noticed(findings=findings, novelty_bits=novelty_bits, answers=answers)

    def count_owed(self, slates: Served) -> float:
        """Take in slates that belong to no step; how little known was what they show, see `Noticed`."""
        with self.lock:
            return self._count_slates(slates)

    def _count_choices(self, step: Step) -> None:
        self.ranking.update(step.ranks, step.known, step.was_candidate)
        losses = np.array([step.lesson.retrieval_loss, step.lesson.ranking_loss])
        if not np.isnan(losses).all():
            self.training.update(losses)

    def _count_slates(self, slates: Served) -> float:
        served = slates.columns
        if served is None:
            return 0.0
        filled = served.item_rows != ABSENT
        rows = served.item_rows[filled]
        self.places.add(rows)
        self.answers.remember(served.ids.tolist(), served.sources, filled)
        return self.events.surprise_bits(rows)

    def _count_forecasts(self, forecasts: Forecasts) -> LabelSums:
        counts: NDArray[np.int64] = forecasts.mask.sum(axis=0)
        if not len(forecasts):
            nothing = np.zeros(len(counts))
            return LabelSums(counts, nothing, nothing)
        sums = LabelSums(
            counts,
            np.where(forecasts.mask, forecasts.came, 0.0).sum(axis=0),
            np.where(forecasts.mask, forecasts.foreseen, 0.0).sum(axis=0),
        )
        total = np.where(counts > 0, counts, np.nan)
        self.rates.update(sums.labels / total, counts)
        self.foreseen.update(sums.forecasts / total, counts)
        self.windows.update(forecasts.foreseen, forecasts.came, forecasts.mask)
        return sums

    def _count_lesson(self, lesson: Lesson) -> None:
        self.weights = lesson.task_weights.astype(np.float64)
        if lesson.gradient_norms is not None:
            self.gradients.update(lesson.gradient_norms)
        if np.isfinite(lesson.task_losses).any():
            self.losses.update(lesson.task_losses, lesson.task_labels)
        if lesson.relatedness is not None:
            self.related.update(lesson.relatedness.ravel())

    def _look_at_items(self, step: Step) -> float | None:
        """How little expected the step's items were; in some of the steps, which is enough."""
        if self._drift is None or step.model_step % _LOOK_AT_ITEMS:
            return None
        return self.events.surprise_bits(step.items)

    def _look_for_drift(
        self,
        step: Step,
        labels: LabelSums,
        answers: tuple[int, int],
        popularity_bits: float | None,
        now_ms: int,
    ) -> list[DriftFinding]:
        if self._drift is None:
            return []
        told = self._columns.read(step, labels, answers, popularity_bits)
        if told is None:
            return []
        findings = self._drift.update(
            *told,
            events=self.events_seen,
            now_ms=now_ms,
            event_time_ms=self.event_time_ms,
            model_step=step.model_step,
        )
        self.latest.extend(findings)
        return findings

    # --- state

    def live_state(self) -> LiveState:
        """All of it. What has a row for each slate, place or label is saved row by row."""
        K = len(self.labels)
        related = {name: array.reshape(K, K) for name, array in self.related.state_dict().items()}
        state: LiveState = {
            "labels": self.labels.copy(),
            "weights": self.weights.copy(),
            "scalars": np.array([self.events_seen, self.event_time_ms]),
            "latest": np.frombuffer(msgspec.json.encode(list(self.latest)), np.uint8).copy(),
            **nest("ranking", self.ranking.state_dict()),
            **nest("related", related),
        }
        for name, average in self._averages().items():
            state |= nest(name, average.state_dict())
        for name, kept in self._marked().items():
            state |= nest(name, _live(kept))
        if self._drift is not None:
            state |= nest("drift", self._drift.state_dict())
            state |= nest("columns", self._columns.state_dict())
        return state

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        averages = [f"{name}.{part}" for name in self._averages() for part in ("sum", "weight")]
        of_tasks = [name for name in averages if not name.startswith("training.")]
        of_drift = {} if self._drift is None else nest("drift", self._drift.state_dict())
        return {
            "weights": {0: BY_TASK},
            **nest("columns", self._columns.task_axes),
            **{name: {0: COUNTED} for name in ("labels", "windows.taken", *of_tasks)},
            **{name: {0: AXIS} for name in of_drift if name != "drift.found"},
            **{f"windows.{part}": {1: COUNTED} for part in ("scores", "labels")},
            **{f"related.{part}": {0: COUNTED, 1: COUNTED} for part in ("sum", "weight")},
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]], tasks: TaskMap) -> None:
        """The inverse of `state_dict`, of these tasks; nothing, as older checkpoints have it, begins anew."""
        if not arrays:
            return
        watched_before = "drift.signals.sums" in arrays  # older checkpoints watched something else
        if not watched_before:
            arrays = {name: array for name, array in arrays.items() if not name.startswith("drift.")}
        arrays = carried_over(arrays, self.state_dict(), self.task_axes, tasks)
        self.labels, self.weights = arrays["labels"].astype(np.int64), arrays["weights"].astype(np.float64)
        self.events_seen, self.event_time_ms = arrays["scalars"].tolist()
        self.latest.clear()
        if watched_before:
            self.latest.extend(msgspec.json.decode(arrays["latest"].tobytes(), type=list[DriftFinding]))
        self.ranking.load_state_dict(unnest("ranking", arrays))
        self.related.load_state_dict(
            {name: array.ravel() for name, array in unnest("related", arrays).items()}
        )
        for name, piece in {**self._averages(), **self._marked()}.items():
            piece.load_state_dict(unnest(name, arrays))
        drift = unnest("drift", arrays)
        if self._drift is not None and watched_before:  # where it was switched off there was none
            self._drift.load_state_dict(drift)
            self._columns.load_state_dict(unnest("columns", arrays))

    def _averages(self) -> dict[str, Smoothed]:
        return {
            "losses": self.losses,
            "gradients": self.gradients,
            "rates": self.rates,
            "foreseen": self.foreseen,
            "training": self.training,
        }

    def _marked(self) -> dict[str, TaskWindows | SlateAnswers | RecentPlaces | RecentEvents]:
        return {
            "windows": self.windows,
            "answers": self.answers,
            "places": self.places,
            "events": self.events,
        }


def _live(kept: _Marked) -> LiveState:
    return {**{name: Table(table, kept.marks) for name, table in kept.tables().items()}, **kept.rest()}
