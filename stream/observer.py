"""What the engine tells becomes numbers: the bridge from steps to `monitoring`.

Counters are counted with each step, and begin at zero with each process. What goes on over a restart is the
processor's, see `statistics`; it is looked at when somebody asks, and so is what it has given up since.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

import numpy as np

from connectors.dead_letter import Reason
from connectors.recommendation import Recommendation
from learners.candidates import SOURCES
from learners.event_batch import FloatArray
from learners.exploration import PLACED
from learners.filters import FILTERS
from learners.learner import Lesson
from learners.row_index import ABSENT
from learners.task import Task
from monitoring.drift import findings_of
from monitoring.metrics import Metrics
from monitoring.recent_slates import MadeSlate, RecentSlates
from monitoring.slate_answers import PLACES
from stream.checkpoints.manifest import Manifest
from stream.drift_policy import PIECE_OF
from stream.gauges import show_drift, show_lesson, show_ranking, show_slates, show_tasks
from stream.pipeline import Served, Step
from stream.processor import EVICTED, Processed, Processor
from stream.shared_model import Merged
from stream.signal_columns import watched
from stream.statistics import Noticed, Statistics
from stream.trials import DECISIONS, OUTCOMES, DriftDecision

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
        evicted=EVICTED,
        signals=[(signal.name, signal.task, findings_of(signal)) for signal in watched(tasks)],
        reactions=tuple(PIECE_OF),
        decisions=DECISIONS,
        outcomes=OUTCOMES,
    )


class WorkerObserver:
    """Watches one worker.

    Args:
        metrics: Where numbers go.
        processor: What it begins with; after a restart what the checkpoint held.
    """

    def __init__(self, metrics: Metrics, processor: Processor) -> None:
        self.metrics = metrics
        self._tasks = tuple(processor.pipeline.learner.tasks)
        self.recent_slates = RecentSlates()
        self._freshness_ms: deque[float] = deque(maxlen=_RECENT)
        self._started = time.monotonic()
        self._events = 0
        self._stepped_at = time.time()  # before the first step: nobody is to think that it was long ago
        self._lesson: Lesson | None = None
        self._gates: FloatArray | None = None
        self._processor = processor
        self._expired = processor.states.expired
        self._evicted = processor.evictions

    # --- told by the engine

    def step(self, processed: Processed, processor: Processor) -> None:
        """Count a step."""
        began = time.perf_counter()
        self._stepped_at = time.time()
        self._processor = processor
        self._count(processed)
        self.metrics.observing.inc(processed.watch_s + time.perf_counter() - began)

    def published(self, arrived_ms: Sequence[float], published_ms: float) -> None:
        """Freshness of everything that a step published."""
        freshness_ms = np.maximum(published_ms - np.asarray(arrived_ms, np.float64), 0.0)
        self._freshness_ms.extend(freshness_ms.tolist())
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

    def _wrote(self, manifest: Manifest) -> None:
        self.metrics.checkpoints[manifest.kind].inc()
        self.metrics.checkpoint_bytes_written.inc(manifest.bytes)

    # --- asked by Prometheus and by people

    def render(self) -> bytes:
        """The exposition of this moment."""
        metrics, processor = self.metrics, self._processor
        statistics = processor.statistics
        with statistics.lock:
            self._show_state(processor)
            self._count_given_up(processor)
            metrics.last_event.set(statistics.event_time_ms / 1000.0)
            show_ranking(metrics, statistics)
            show_slates(metrics, statistics, len(processor.pipeline.items))
            show_tasks(metrics, statistics, self._tasks)
            show_drift(metrics, statistics, processor.trials.shown)
            if self._lesson is not None:
                lesson = replace(self._lesson, gates=self._gates)
                show_lesson(metrics, lesson, (statistics.labels > 0).tolist())
        return metrics.render()

    def summary(self) -> dict[str, Any]:
        """What `status` and the demo show; NaN becomes None."""
        statistics = self._processor.statistics
        with statistics.lock:
            return {
                "events_per_s": round(self._events / max(time.monotonic() - self._started, 1e-9), 1),
                "freshness_ms": self._freshness(),
                "hr10": _number(statistics.ranking.hit_rate()),
                "hr10_whole_run": _number(statistics.ranking.hit_rate(whole=True)),
                "mrr20": _number(statistics.ranking.reciprocal_rank()),
                "candidate_recall": _number(statistics.ranking.recall()),
                "choices_ranked": statistics.ranking.scored,
                **_of_tasks(statistics, [task.name for task in self._tasks]),
                "drift_events": statistics.found,
                "drift": [asdict(finding) for finding in statistics.latest],
                "event_time_ms": statistics.event_time_ms,
            }

    def _freshness(self) -> dict[str, float | None]:
        freshness = np.array(self._freshness_ms)
        return {f"p{q}": _number(np.percentile(freshness, q)) if len(freshness) else None for q in (50, 99)}

    # --- pieces of a step

    def _count(self, processed: Processed) -> None:
        metrics = self.metrics
        metrics.decode.observe(processed.decode_s)
        _add(metrics.skipped, processed.skipped)
        _add(metrics.duplicates, processed.duplicates)
        for letter in processed.dead_letters:
            metrics.dead_letters[letter.reason].inc()
        metrics.recommendations.inc(len(processed.recommendations))
        for slates in processed.owed:
            self._count_slates(slates)
        metrics.novelty.inc(processed.noticed.novelty_bits)
        step = processed.step
        if step is None:
            return
        metrics.step.observe(processed.step_s)
        metrics.events.inc(step.events)
        _add(metrics.followed, step.followed)
        _add(metrics.late_events, step.late)
        metrics.batch_events.observe(step.events)
        self._events += step.events
        self._count_lesson(step)
        self._count_slates(step.slates)
        self._count_labels(step)
        self._count_noticed(processed.noticed)

    def _count_lesson(self, step: Step) -> None:
        lesson = self._lesson = step.lesson
        if lesson.gates is not None:  # they are looked at now and then
            self._gates = lesson.gates
        _add(self.metrics.ranked, len(step.ranks))
        for part in lesson.skipped:
            self.metrics.skips[part].inc()

    def _count_slates(self, slates: Served) -> None:
        metrics, served = self.metrics, slates.columns
        for name, count in slates.removed.items():
            _add(metrics.removed[name], count)
        for name, count in slates.placed.items():
            _add(metrics.placed[name], count)
        if served is None:
            return
        filled = served.item_rows != ABSENT
        brought = np.bincount(served.sources[filled], minlength=len(SOURCES)).tolist()
        for child, count in zip(metrics.source_places, brought, strict=True):
            _add(child, count)
        _add(metrics.repeat_places, int(np.count_nonzero(served.repeats)))
        _add(metrics.new_places, int(np.count_nonzero(served.new & filled)))
        self.recent_slates.add(map(_made, slates.recommendations))

    def _count_labels(self, step: Step) -> None:
        if not len(step.labels):
            return
        self.metrics.label_delay.observe(step.label_delay_s)
        told = np.stack([step.label_mask, step.label_mask & (step.labels > 0.0), step.label_late])
        for n, (count, positive, late) in enumerate(told.sum(axis=1).T.tolist()):
            no, yes = self.metrics.labels[n]
            _add(no, count - positive)
            _add(yes, positive)
            _add(self.metrics.late_labels[n], late)

    def _count_noticed(self, noticed: Noticed) -> None:
        metrics = self.metrics
        for finding in noticed.findings:
            metrics.drift[finding.signal, finding.task, finding.direction, finding.verdict].inc()
        for record in noticed.reacted:
            if isinstance(record, DriftDecision):
                metrics.decisions[record.reaction, record.decision].inc()
            else:
                metrics.outcomes[record.reaction, record.outcome].inc()
        for became, source, stretch in zip(*np.nonzero(noticed.answers), strict=True):
            metrics.reactions[became][source][stretch].inc(int(noticed.answers[became, source, stretch]))

    # --- pieces of an exposition: numbers that another thread may read while a step changes them

    def _show_state(self, processor: Processor) -> None:
        metrics = self.metrics
        metrics.last_step.set(self._stepped_at)
        for partition, offset in dict(processor.states.applied).items():
            metrics.applied.set(partition, offset)
        metrics.users.set(len(processor.states))
        metrics.items.set(len(processor.pipeline.items))
        metrics.pending.set(processor.states.pending)
        metrics.model_step.set(processor.pipeline.learner.step)

    def _count_given_up(self, processor: Processor) -> None:
        """What was given up since somebody asked; what a checkpoint counted belongs to an earlier process."""
        expired, evicted = processor.states.expired, processor.evictions
        _add(self.metrics.expired, max(expired - self._expired, 0))
        for name, count in evicted.items():
            _add(self.metrics.evictions[name], max(count - self._evicted[name], 0))
        self._expired, self._evicted = expired, evicted


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


def _of_tasks(statistics: Statistics, names: Sequence[str]) -> dict[str, Any]:
    seen = statistics.labels > 0
    related = statistics.related.values.reshape(len(names), -1)
    return {
        "tasks": {
            name: {
                "labels": int(statistics.labels[n]),
                "loss": _number(statistics.losses.values[n]),
                "weight": _number(statistics.weights[n]),
                "label_mean": _number(statistics.rates.values[n]),
                "foreseen_mean": _number(statistics.foreseen.values[n]),
            }
            for n, name in enumerate(names)
        },
        "relatedness": {
            name: {other: _number(related[n, m]) for m, other in enumerate(names) if seen[m] and m != n}
            for n, name in enumerate(names)
            if seen[n]
        },
    }


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
