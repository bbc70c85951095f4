"""What the engine tells becomes numbers: the bridge from steps to `monitoring`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from learners.learner import Lesson
from learners.task import Task
from monitoring.drift import DriftFinding, DriftWatch
from monitoring.metrics import Metrics
from monitoring.progressive import ProgressiveRanking, Smoothed
from stream.checkpoints.manifest import Manifest
from stream.pipeline import Step
from stream.processor import Processed
from stream.shared_model import Merged
from stream.user_states import UserStates

_RECENT = 2_000
_ASSOCIATIONS_EVERY = 16  # steps


class WorkerObserver:
    """Watches one worker.

    Args:
        tasks: Axis K.
        metrics: Where numbers go.
        window: Choices of the progressive window.
        drift: Whether to look for drift.
    """

    def __init__(self, tasks: Sequence[Task], metrics: Metrics, *, window: int, drift: bool) -> None:
        self.metrics = metrics
        self._tasks = tuple(tasks)
        names = [task.name for task in tasks]
        self._ranking = ProgressiveRanking(window)
        self._losses = Smoothed(len(names))
        self._rates = Smoothed(len(names))
        self._foreseen = Smoothed(len(names))
        self._training = Smoothed(2)
        self._related = Smoothed(len(names) ** 2)
        self._weights = np.array([task.value for task in tasks])
        self._labels = np.zeros(len(names), np.int64)
        self._drift = DriftWatch(names) if drift else None
        self._freshness_ms: deque[float] = deque(maxlen=_RECENT)
        self._recent_findings: deque[DriftFinding] = deque(maxlen=20)
        self._findings = 0
        self._event_time_ms = 0
        self._started = time.monotonic()
        self._events = 0
        self._expired = 0
        self._steps = 0

    # --- told by the engine

    def step(self, processed: Processed, states: UserStates, items: int) -> Sequence[object]:
        """Count a step; the findings are for the drift topic."""
        metrics = self.metrics
        metrics.decode.observe(processed.decode_s)
        metrics.skipped.inc(processed.skipped)
        metrics.duplicates.inc(processed.duplicates)
        for letter in processed.dead_letters:
            metrics.dead_letters[letter.reason].inc()
        for partition, offset in states.applied.items():
            metrics.applied(partition, offset)
        metrics.recommendations.inc(len(processed.recommendations))
        metrics.last_step.set_to_current_time()
        if processed.step is None:
            return ()
        step = processed.step
        metrics.step.observe(processed.step_s)
        metrics.events.inc(step.events)
        metrics.followed.inc(step.followed)
        metrics.late_events.inc(step.late)
        metrics.batch_events.observe(step.events)
        for name, count in step.removed.items():
            metrics.removed[name].inc(count)
        for name, count in step.placed.items():
            metrics.places[name].inc(count)
        metrics.users.set(len(states))
        metrics.items.set(items)
        metrics.pending.set(states.pending)
        metrics.expired.inc(max(states.expired - self._expired, 0))
        self._expired = states.expired
        metrics.model_step.set(step.model_step)
        self._events += step.events
        self._event_time_ms = max(self._event_time_ms, step.event_time_ms)
        metrics.last_event.set(self._event_time_ms / 1000.0)
        self._watch_ranking(step)
        return self._watch_tasks(step)

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

    # --- asked by people

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

    def _watch_ranking(self, step: Step) -> None:
        self._ranking.update(step.ranks, step.known)
        lesson = step.lesson
        self._training.update(np.array([lesson.retrieval_loss, lesson.ranking_loss]))
        metrics = self.metrics
        metrics.ranked.inc(len(step.ranks))
        for name, whole in (("sliding", False), ("run", True)):
            metrics.hit_rate.labels(name).set(self._ranking.hit_rate(whole))
            metrics.reciprocal_rank.labels(name).set(self._ranking.reciprocal_rank(whole))
        metrics.recall.set(self._ranking.recall())
        metrics.retrieval_loss.set(self._training.values[0])
        metrics.ranking_loss.set(self._training.values[1])
        for part in lesson.skipped:
            metrics.skips[part].inc()

    def _watch_tasks(self, step: Step) -> list[DriftFinding]:
        lesson, metrics = step.lesson, self.metrics
        self._weights = lesson.task_weights
        counts = step.label_mask.sum(axis=0)
        self._labels += counts
        self._losses.update(lesson.task_losses, counts)
        if len(step.labels):
            known = np.where(step.label_mask, 1.0, np.nan)
            total = np.maximum(counts, 1)
            missing = np.where(counts > 0, 1.0, np.nan)
            self._rates.update(np.nansum(step.labels * known, axis=0) / total * missing, counts)
            self._foreseen.update(np.nansum(step.task_scores * known, axis=0) / total * missing, counts)
            for delay in step.label_delay_s.tolist():
                metrics.label_delay.observe(delay)
        if lesson.relatedness is not None:
            both = np.outer(counts > 0, counts > 0)
            self._related.update(np.where(both, lesson.relatedness, np.nan).ravel())
        positives = (step.labels * step.label_mask > 0.0).sum(axis=0)
        late = step.label_late.sum(axis=0)
        losses, rates, foreseen = self._losses.values, self._rates.values, self._foreseen.values
        for n in range(len(self._tasks)):
            metrics.task_weight[n].set(self._weights[n])
            metrics.task_loss[n].set(losses[n])
            metrics.task_rate[n].set(rates[n])
            metrics.task_calibration[n].set(foreseen[n] / rates[n] if rates[n] > 0.0 else float("nan"))
            metrics.labels[n][0].inc(int(counts[n] - positives[n]))
            metrics.labels[n][1].inc(int(positives[n]))
            metrics.late_labels[n].inc(int(late[n]))
        related = self._related.values.reshape(len(self._tasks), -1)
        for row, children in zip(related.tolist(), metrics.relatedness, strict=True):
            for value, child in zip(row, children, strict=True):
                child.set(value)
        if self._steps % _ASSOCIATIONS_EVERY == 0:
            self._show_associations(lesson)
        self._steps += 1
        return self._look_for_drift(step, counts)

    def _show_associations(self, lesson: Lesson) -> None:
        """Matrices of many numbers that change slowly: not every step. Pairs of which nothing is known are left out."""
        for measure, children in self.metrics.associations.items():
            matrix = lesson.related.get(measure)
            if matrix is not None:
                for n, m in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
                    children[n][m].set(float(matrix[n, m]))
        if lesson.gates is not None:
            for (n, expert), share in np.ndenumerate(lesson.gates):
                if self._labels[n]:
                    self.metrics.gate(n, expert, float(share))

    def _look_for_drift(self, step: Step, counts: Any) -> list[DriftFinding]:
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


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
