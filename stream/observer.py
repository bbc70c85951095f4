"""What the engine tells becomes numbers: the bridge from steps to `monitoring`.

Counters are counted with each step. What has to be worked out (windows, matrices, averages) is worked out when somebody
asks: Prometheus every few seconds, and not every step.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from connectors.dead_letter import Reason
from connectors.recommendation import Recommendation
from learners.candidates import SOURCES
from learners.event_batch import IntArray
from learners.exploration import PLACED
from learners.filters import FILTERS
from learners.learner import Lesson
from learners.row_index import ABSENT
from learners.task import Task
from monitoring.drift import DriftFinding, DriftWatch
from monitoring.metrics import WINDOWS, Metrics
from monitoring.progressive import ProgressiveRanking, Smoothed
from monitoring.recent_slates import MadeSlate, RecentSlates
from monitoring.slate_answers import PLACES, SlateAnswers
from monitoring.spread import RecentEvents, RecentPlaces
from monitoring.task_windows import TaskWindows
from stream.checkpoints.manifest import Manifest
from stream.pipeline import Step
from stream.processor import Processed
from stream.reactions import reactions
from stream.shared_model import Merged
from stream.user_states import UserStates

_RECENT = 2_000


class Counts(Protocol):
    """A counter."""

    def inc(self, amount: float = 1) -> None:
        """Count."""


def worker_metrics(tasks: Sequence[Task]) -> Metrics:
    """The metrics of a worker, with every label's values."""
    return Metrics(
        [task.name for task in tasks],
        list(Reason),
        filters=FILTERS,
        placed=PLACED,
        sources=SOURCES,
        places=PLACES,
    )


class WorkerObserver:
    """Watches one worker.

    Args:
        tasks: Axis K.
        metrics: Where numbers go.
        window: Choices of the progressive window, and labels of each task's.
        drift: Whether to look for drift.
    """

    def __init__(self, tasks: Sequence[Task], metrics: Metrics, *, window: int, drift: bool) -> None:
        self.metrics = metrics
        self._lock = threading.Lock()  # steps are told in one thread, and numbers asked for in another
        self._tasks = tuple(tasks)
        names = [task.name for task in tasks]
        self._ranking = ProgressiveRanking(window)
        self._windows = TaskWindows(len(names), window)
        self._losses = Smoothed(len(names))
        self._gradients = Smoothed(len(names))
        self._rates = Smoothed(len(names))
        self._foreseen = Smoothed(len(names))
        self._training = Smoothed(2)
        self._related = Smoothed(len(names) ** 2)
        self._weights = np.array([task.value for task in tasks])
        self._labels = np.zeros(len(names), np.int64)
        self._related_so_far: Mapping[str, NDArray[np.floating]] = {}
        self._gates: NDArray[np.floating] | None = None
        self._learning_rates: Mapping[str, float] = {}
        self._answers = SlateAnswers(len(SOURCES))
        self._recent_places = RecentPlaces()
        self.recent_slates = RecentSlates()
        self._recent_events = RecentEvents()
        self._drift = DriftWatch(names) if drift else None
        self._freshness_ms: deque[float] = deque(maxlen=_RECENT)
        self._recent_findings: deque[DriftFinding] = deque(maxlen=20)
        self._findings = 0
        self._event_time_ms = 0
        self._started = time.monotonic()
        self._events = 0
        self._expired = 0
        self._applied: dict[int, int] = {}
        self._stepped_at = 0.0
        self._users = self._items = self._pending = self._model_step = 0

    # --- told by the engine

    def step(self, processed: Processed, states: UserStates, items: int) -> Sequence[object]:
        """Count a step; the findings are for the drift topic."""
        began = time.perf_counter()
        with self._lock:
            findings = self._count(processed, states, items)
        self.metrics.observing.inc(time.perf_counter() - began)
        return findings

    def published(self, arrived_ms: Sequence[float], published_ms: float) -> None:
        """Freshness of everything that a step published."""
        for arrived in arrived_ms:
            freshness_ms = max(published_ms - arrived, 0.0)
            self._freshness_ms.append(freshness_ms)
            self.metrics.freshness.observe(freshness_ms / 1000.0)

    def checkpointed(self, manifest: Manifest, deltas: int, stalled_s: float, wrote_s: float) -> None:
        """A checkpoint is safe."""
        self.metrics.checkpoint_at.set(manifest.created_at_ms / 1000.0)
        self.metrics.checkpoint_stall.observe(stalled_s)
        self.metrics.checkpoint_write.observe(wrote_s)
        self.metrics.checkpoint_bytes.set(manifest.bytes)
        self.metrics.checkpoint_deltas.set(deltas)
        self._wrote(manifest)

    def merged(self, manifest: Manifest, took_s: float) -> None:
        """Deltas were merged to a whole checkpoint."""
        self.metrics.checkpoint_merge.observe(took_s)
        self._wrote(manifest)

    def checkpoint_failed(self) -> None:
        """A checkpoint could not be written."""
        self.metrics.checkpoint_failures.inc()

    def step_failed(self) -> None:
        """A step raised."""
        self.metrics.step_failures.inc()

    def lost(self, records: int) -> None:
        """So many records were deleted before they were read."""
        self.metrics.lost.inc(records)

    def told(self, update: int) -> None:
        """A model update of so many bytes was published."""
        self.metrics.updates_told.inc()
        self.metrics.update_bytes_told.inc(update)

    def heard(self, merged: Merged, update: int) -> None:
        """What came of records of the model topic, of so many bytes."""
        self.metrics.updates_heard.inc(merged.updates)
        self.metrics.updates_refused.inc(merged.refused)
        self.metrics.update_bytes_heard.inc(update)

    def buffered(self, records: int) -> None:
        """Records wait."""
        self.metrics.buffered.set(records)

    def _wrote(self, manifest: Manifest) -> None:
        self.metrics.checkpoints[manifest.kind].inc()
        self.metrics.checkpoint_bytes_written.inc(manifest.bytes)

    # --- asked by Prometheus and by people

    def render(self) -> bytes:
        """The exposition of this moment."""
        with self._lock:
            self._show_state()
            self._show_ranking()
            self._show_tasks()
            self._show_relations()
        return self.metrics.render()

    def summary(self) -> dict[str, Any]:
        """What `status` and the demo show; NaN becomes None."""
        freshness = np.array(self._freshness_ms)
        names = [task.name for task in self._tasks]
        seen = self._labels > 0
        related = self._related.values.reshape(len(names), -1)
        return {
            "events_per_s": round(self._events / max(time.monotonic() - self._started, 1e-9), 1),
            "freshness_ms": {
                f"p{q}": _number(np.percentile(freshness, q)) if len(freshness) else None for q in (50, 99)
            },
            "hr10": _number(self._ranking.hit_rate()),
            "hr10_whole_run": _number(self._ranking.hit_rate(whole=True)),
            "mrr20": _number(self._ranking.reciprocal_rank()),
            "candidate_recall": _number(self._ranking.recall()),
            "choices_ranked": self._ranking.scored,
            "tasks": {
                name: {
                    "labels": int(self._labels[n]),
                    "loss": _number(self._losses.values[n]),
                    "weight": _number(self._weights[n]),
                    "label_mean": _number(self._rates.values[n]),
                    "foreseen_mean": _number(self._foreseen.values[n]),
                }
                for n, name in enumerate(names)
            },
            "relatedness": {
                name: {other: _number(related[n, m]) for m, other in enumerate(names) if seen[m] and m != n}
                for n, name in enumerate(names)
                if seen[n]
            },
            "drift_events": self._findings,
            "drift": [asdict(finding) for finding in self._recent_findings],
            "event_time_ms": self._event_time_ms,
        }

    # --- pieces of a step

    def _count(self, processed: Processed, states: UserStates, items: int) -> Sequence[object]:
        metrics = self.metrics
        metrics.decode.observe(processed.decode_s)
        _add(metrics.skipped, processed.skipped)
        _add(metrics.duplicates, processed.duplicates)
        for letter in processed.dead_letters:
            metrics.dead_letters[letter.reason].inc()
        metrics.recommendations.inc(len(processed.recommendations))
        self._applied, self._stepped_at = dict(states.applied), time.time()
        if processed.step is None:
            return ()
        step = processed.step
        metrics.step.observe(processed.step_s)
        metrics.events.inc(step.events)
        _add(metrics.followed, step.followed)
        _add(metrics.late_events, step.late)
        metrics.batch_events.observe(step.events)
        _add(metrics.expired, max(states.expired - self._expired, 0))
        self._expired, self._pending = states.expired, states.pending
        self._users, self._items, self._model_step = len(states), items, step.model_step
        self._events += step.events
        self._event_time_ms = max(self._event_time_ms, step.event_time_ms)
        self._watch_ranking(step)
        self._watch_slates(step)
        self._watch_answers(step)
        return self._watch_tasks(step)

    def _watch_ranking(self, step: Step) -> None:
        lesson = step.lesson
        self._ranking.update(step.ranks, step.known)
        if not (np.isnan(lesson.retrieval_loss) and np.isnan(lesson.ranking_loss)):
            self._training.update(np.array([lesson.retrieval_loss, lesson.ranking_loss]))
        self._learning_rates = lesson.learning_rates
        _add(self.metrics.ranked, len(step.ranks))
        for part in lesson.skipped:
            self.metrics.skips[part].inc()

    def _watch_slates(self, step: Step) -> None:
        metrics, served = self.metrics, step.served
        for name, count in step.removed.items():
            _add(metrics.removed[name], count)
        for name, count in step.placed.items():
            _add(metrics.placed[name], count)
        self._recent_events.add(step.items)
        if served is None:
            return
        filled = served.item_rows != ABSENT
        rows = served.item_rows[filled]
        brought = np.bincount(served.sources[filled], minlength=len(SOURCES)).tolist()
        for child, count in zip(metrics.source_places, brought, strict=True):
            _add(child, count)
        _add(metrics.repeat_places, int(served.repeats.sum()))
        _add(metrics.new_places, int((served.new & filled).sum()))
        metrics.novelty.inc(self._recent_events.surprise_bits(rows))
        self._recent_places.add(rows)
        self.recent_slates.add(map(_made, step.recommendations))
        ids = [made.recommendation_id for made in step.recommendations]
        self._answers.remember(ids, served.sources, filled.sum(axis=1).tolist())

    def _watch_answers(self, step: Step) -> None:
        if step.answering:
            counts = self._answers.count(reactions(step.answering))
            for became, source, stretch in zip(*np.nonzero(counts), strict=True):
                self.metrics.reactions[became][source][stretch].inc(int(counts[became, source, stretch]))

    def _watch_tasks(self, step: Step) -> list[DriftFinding]:
        lesson, metrics = step.lesson, self.metrics
        self._weights = lesson.task_weights
        counts = step.label_mask.sum(axis=0)
        self._labels += counts
        if lesson.gradient_norms is not None:
            self._gradients.update(lesson.gradient_norms)
        if np.isfinite(lesson.task_losses).any():
            self._losses.update(lesson.task_losses, counts)
        if len(step.labels):
            total = np.where(counts > 0, counts, np.nan)
            self._rates.update(np.where(step.label_mask, step.labels, 0.0).sum(axis=0) / total, counts)
            self._foreseen.update(
                np.where(step.label_mask, step.task_scores, 0.0).sum(axis=0) / total, counts
            )
            self._windows.update(step.task_scores, step.labels, step.label_mask)
            for delay in step.label_delay_s.tolist():
                metrics.label_delay.observe(delay)
            self._count_labels(step, counts)
        if lesson.relatedness is not None:
            both = np.outer(counts > 0, counts > 0)
            self._related.update(np.where(both, lesson.relatedness, np.nan).ravel())
        self._keep_relations(lesson)
        return self._look_for_drift(step, counts)

    def _count_labels(self, step: Step, counts: IntArray) -> None:
        positives = (step.labels * step.label_mask > 0.0).sum(axis=0)
        late = step.label_late.sum(axis=0)
        for n in np.flatnonzero(counts).tolist():
            no, yes = self.metrics.labels[n]
            no.inc(int(counts[n] - positives[n]))
            yes.inc(int(positives[n]))
            _add(self.metrics.late_labels[n], int(late[n]))

    def _keep_relations(self, lesson: Lesson) -> None:
        self._related_so_far = lesson.related
        if lesson.gates is not None:
            self._gates = lesson.gates

    def _look_for_drift(self, step: Step, counts: IntArray) -> list[DriftFinding]:
        if self._drift is None:
            return []
        findings = self._drift.update(
            step.lesson.task_losses,
            counts,
            now_ms=time.time_ns() // 1_000_000,
            event_time_ms=self._event_time_ms,
            model_step=step.model_step,
        )
        for finding in findings:
            self._findings += 1
            self._recent_findings.append(finding)
            self.metrics.drift[finding.task, finding.direction].inc()
        return findings

    # --- pieces of what is shown

    def _show_state(self) -> None:
        metrics = self.metrics
        metrics.last_step.set(self._stepped_at)
        metrics.last_event.set(self._event_time_ms / 1000.0)
        for partition, offset in self._applied.items():
            metrics.applied.set(partition, offset)
        metrics.users.set(self._users)
        metrics.items.set(self._items)
        metrics.pending.set(self._pending)
        metrics.model_step.set(self._model_step)
        variety = self._recent_places.variety(self._items)
        metrics.coverage.set(variety.coverage if self._items else float("nan"))
        metrics.gini.set(variety.gini)

    def _show_ranking(self) -> None:
        metrics, ranking = self.metrics, self._ranking
        for name in WINDOWS:
            whole = name == "run"
            metrics.hit_rate[name].set(ranking.hit_rate(whole))
            metrics.reciprocal_rank[name].set(ranking.reciprocal_rank(whole))
            metrics.gain[name].set(ranking.gain(whole))
            metrics.choices[name].set(ranking.held(whole))
        metrics.recall.set(ranking.recall())
        retrieval, ranker = self._training.values.tolist()
        metrics.retrieval_loss.set(retrieval)
        metrics.ranking_loss.set(ranker)
        for part, rate in self._learning_rates.items():
            metrics.learning_rates[part].set(rate)

    def _show_tasks(self) -> None:
        metrics = self.metrics
        losses, norms = self._losses.values, self._gradients.values
        rates, foreseen = self._rates.values, self._foreseen.values
        for n, task in enumerate(self._tasks):
            metrics.task_weight[n].set(self._weights[n])
            metrics.task_loss[n].set(losses[n])
            metrics.task_gradient[n].set(norms[n])
            metrics.task_rate[n].set(rates[n])
            metrics.task_calibration[n].set(foreseen[n] / rates[n] if rates[n] > 0.0 else float("nan"))
            auc, calibration_error = self._windows.figures(n)
            metrics.task_auc[n].set(auc if task.kind != "regression" else float("nan"))
            metrics.task_calibration_error[n].set(calibration_error)
            metrics.task_window[n].set(self._windows.held(n))

    def _show_relations(self) -> None:
        """How tasks go together. Pairs of which nothing is known are left out."""
        related = self._related.values.reshape(len(self._tasks), -1)
        for row, children in zip(related.tolist(), self.metrics.relatedness, strict=True):
            for value, child in zip(row, children, strict=True):
                child.set(value)
        for measure, table in self.metrics.associations.items():
            matrix = self._related_so_far.get(measure)
            if matrix is not None:
                for n, m in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
                    table[n][m].set(float(matrix[n, m]))
        if self._gates is not None:
            for (n, expert), share in np.ndenumerate(self._gates):
                if self._labels[n]:
                    self.metrics.gates[n].set(expert, float(share))


def _made(slate: Recommendation) -> MadeSlate:
    return MadeSlate(
        slate.user_id,
        slate.generated_at_ms,
        [item.item_id for item in slate.items],
        [item.source for item in slate.items],
    )


def _add(counter: Counts, count: int) -> None:
    """Most things do not happen in most steps, and adding nothing costs as much as adding something."""
    if count:
        counter.inc(count)


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
