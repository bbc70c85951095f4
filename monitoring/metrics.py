"""The metrics of one worker, ready to be set: one registry, labels bounded, children bound once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitoring.catalogue import CATALOGUE, PREFIX, Definition
from monitoring.tally import Tally

PARTS = ("retrieval", "tasks", "ranker")
"""What a learning step may leave out."""

RATES = ("embeddings", "network", "heads", "ranker")
"""The parts of a model that have step sizes of their own."""

UPDATES = ("told", "merged", "refused")
"""What becomes of updates of the model."""

MEASURES = ("label", "error", "information", "affinity")
WINDOWS = ("sliding", "run")

Metric = TypeVar("Metric", Counter, Gauge)


class Metrics:
    """Everything in `catalogue`; names of tasks and reasons are fixed at the start, so labels are bounded.

    Args:
        tasks: Names, axis K.
        reasons: Codes of dead letters.
        filters: Names of what leaves candidates out of slates.
        placed: Names of why an item stands in its place.
        sources: Names of what brings items.
        places: Names of stretches of a slate.
        evicted: Names of what is given up beyond a bound.
        signals: What is watched for drift: names, tasks (empty for nobody's), and what may be found: directions and
            verdicts.
        reactions: Names of what is done about drift.
        decisions: Names of what is decided about it.
        outcomes: Names of what comes of it.
    """

    content_type = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(
        self,
        tasks: Sequence[str],
        reasons: Sequence[str],
        *,
        filters: Sequence[str] = (),
        placed: Sequence[str] = (),
        sources: Sequence[str] = (),
        places: Sequence[str] = (),
        evicted: Sequence[str] = (),
        signals: Sequence[tuple[str, str, Sequence[tuple[str, str]]]] = (),
        reactions: Sequence[str] = (),
        decisions: Sequence[str] = (),
        outcomes: Sequence[str] = (),
    ) -> None:
        self.registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=self.registry)
        prometheus_client.PlatformCollector(registry=self.registry)
        definitions = {each.name: each for group in CATALOGUE.values() for each in group}

        def counter(name: str) -> Counter:
            return Counter(*_named(definitions[name]), registry=self.registry)

        def gauge(name: str) -> Gauge:
            return Gauge(*_named(definitions[name]), registry=self.registry)

        def histogram(name: str) -> Histogram:
            wanted = definitions[name]
            return Histogram(*_named(wanted), buckets=wanted.buckets, registry=self.registry)

        def tally(name: str) -> Tally:
            wanted = definitions[name]
            made = Tally(PREFIX + wanted.name, wanted.meaning, wanted.buckets)
            self.registry.register(made)
            return made

        def per_task(name: str) -> list[Gauge]:
            return _each(gauge(name), tasks)

        self.ready = gauge("ready")
        self.owned = gauge("partitions_owned")
        self.rebalances = counter("rebalances_total")
        self.events = counter("events_learned_total")
        self.followed = counter("events_followed_total")
        updates = counter("model_updates_total")
        self.updates_told, self.updates_heard, self.updates_refused = map(updates.labels, UPDATES)
        update_bytes = counter("model_update_bytes_total")
        self.update_bytes_told, self.update_bytes_heard = map(update_bytes.labels, ("out", "in"))
        self.skipped = counter("records_skipped_total")
        self.lost = counter("events_lost_total")
        self.duplicates = counter("duplicates_total")
        self.late_events = counter("late_events_total")
        self.dead_letters = _named_children(counter("dead_letters_total"), reasons)
        self.step_failures = counter("step_failures_total")
        self.freshness = tally("freshness_seconds")
        self.batch_events = histogram("batch_events")
        stage = histogram("stage_seconds")
        self.decode, self.step = stage.labels("decode"), stage.labels("step")
        self.observing = counter("observer_seconds_total")
        self.last_step = gauge("last_step_timestamp_seconds")
        self.last_event = gauge("last_event_timestamp_seconds")
        self.buffered = gauge("buffered_records")
        self.undelivered = gauge("undelivered_seconds")
        self.applied = _Numbered(gauge("applied_offset"))
        self.lag = _Numbered(gauge("lag_records"))
        self.caught_up = _Numbered(gauge("caught_up_timestamp_seconds"))

        self.users = gauge("users")
        self.items = gauge("items")
        self.pending = gauge("pending_impressions")
        self.expired = counter("expired_impressions_total")
        self.evictions = _named_children(counter("evictions_total"), evicted)
        self.model_step = gauge("model_step")
        self.state_bytes = _Numbered(gauge("state_bytes"))

        self.checkpoint_at = gauge("checkpoint_timestamp_seconds")
        self.checkpoint_interval = gauge("checkpoint_interval_seconds")
        self.checkpoint_write = histogram("checkpoint_write_seconds")
        self.checkpoint_stall = histogram("checkpoint_stall_seconds")
        self.checkpoint_merge = histogram("checkpoint_merge_seconds")
        self.checkpoint_bytes = gauge("checkpoint_bytes")
        self.checkpoint_bytes_written = counter("checkpoint_written_bytes_total")
        self.checkpoint_deltas = gauge("checkpoint_deltas")
        self.checkpoints = _named_children(counter("checkpoints_total"), ("full", "delta"))
        self.checkpoint_failures = counter("checkpoint_failures_total")

        self.hit_rate = _named_children(gauge("progressive_hit_rate"), WINDOWS)
        self.reciprocal_rank = _named_children(gauge("progressive_mrr"), WINDOWS)
        self.gain = _named_children(gauge("progressive_ndcg"), WINDOWS)
        self.choices = _named_children(gauge("progressive_choices"), WINDOWS)
        self.recall = gauge("candidate_recall")
        self.ranked = counter("choices_ranked_total")
        self.retrieval_loss = gauge("retrieval_loss")
        self.ranking_loss = gauge("ranking_loss")

        self.task_loss = per_task("task_loss")
        self.task_weight = per_task("task_weight")
        self.task_gradient = per_task("task_gradient_norm")
        self.task_rate = per_task("task_label_mean")
        self.task_calibration = per_task("task_calibration_ratio")
        self.task_auc = per_task("task_auc")
        self.task_calibration_error = per_task("task_calibration_error")
        self.task_window = per_task("task_window_labels")
        labels = counter("labels_total")
        self.labels = [(labels.labels(task, "no"), labels.labels(task, "yes")) for task in tasks]
        self.late_labels = _each(counter("late_labels_total"), tasks)
        self.label_delay = tally("label_delay_seconds")
        related = gauge("task_relatedness")
        self.relatedness = [[related.labels(task, other) for other in tasks] for task in tasks]
        association = gauge("task_association")
        self.associations = {
            measure: [[association.labels(measure, task, other) for other in tasks] for task in tasks]
            for measure in MEASURES
        }
        for table in self.associations.values():
            for children in table:
                for child in children:
                    child.set(math.nan)
        gates = gauge("task_gate")
        self.gates = [_Numbered(gates, task) for task in tasks]
        self.learning_rates = _named_children(gauge("learning_rate"), RATES)
        self.skips = _named_children(counter("nonfinite_skips_total"), PARTS)

        self.recommendations = counter("recommendations_total")
        self.placed = _named_children(counter("places_total"), placed)
        self.source_places = _each(counter("source_places_total"), sources)
        self.repeat_places = counter("repeat_places_total")
        self.new_places = counter("new_item_places_total")
        self.novelty = counter("place_novelty_bits_total")
        self.coverage = gauge("slate_coverage_ratio")
        self.gini = gauge("slate_gini")
        self.removed = _named_children(counter("candidates_removed_total"), filters)
        self.reactions = [
            [[family.labels(source, stretch) for stretch in places] for source in sources]
            for family in map(
                counter, ("shown_places_total", "clicked_places_total", "satisfied_places_total")
            )
        ]
        found = counter("drift_findings_total")
        self.drift = {
            (signal, task, *finding): found.labels(signal, task, *finding)
            for signal, task, findings in signals
            for finding in findings
        }
        leaning = gauge("drift_leaning")
        self.leanings = [leaning.labels(signal, task) for signal, task, _ in signals]
        decided, came = counter("drift_decisions_total"), counter("drift_outcomes_total")
        self.decisions = {(one, what): decided.labels(one, what) for one in reactions for what in decisions}
        self.outcomes = {(one, what): came.labels(one, what) for one in reactions for what in outcomes}
        self.reacting = _named_children(gauge("drift_reaction_active"), reactions)
        self.trial_difference = _named_children(gauge("drift_trial_difference"), reactions)

    def compute(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """Have a gauge computed whenever it is asked for: it cannot freeze at an old value."""
        gauge.set_function(value)

    def render(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)


class _Numbered:
    """Children of a gauge that come and go, though not without bound: partitions, experts, pieces of the state."""

    def __init__(self, family: Gauge, *first: str) -> None:
        self._family, self._first = family, first
        self._children: dict[object, Gauge] = {}

    def set(self, key: object, value: float) -> None:
        """Set the child of this name; it is made where there is none."""
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._family.labels(*self._first, str(key))
        child.set(value)

    def replace(self, values: Mapping[int, float] | Mapping[str, float]) -> None:
        """Set these children; there are no others any more."""
        for key in self._children.keys() - values.keys():
            del self._children[key]
            self._family.remove(*self._first, str(key))
        for name, value in values.items():
            self.set(name, value)


def _named(definition: Definition) -> tuple[str, str, Sequence[str]]:
    return PREFIX + definition.name, definition.meaning, definition.labels


def _each(family: Metric, names: Iterable[str]) -> list[Metric]:
    return [family.labels(name) for name in names]


def _named_children(family: Metric, names: Sequence[str]) -> dict[str, Metric]:
    return dict(zip(names, _each(family, names), strict=True))
