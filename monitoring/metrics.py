"""Every metric of freshet: base units, `freshet_` prefix, bounded labels, children bound once."""

from __future__ import annotations

from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_FRESHNESS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_MERGE_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0)
_STAGE_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_DELAY_S = (1, 10, 60, 300, 1800, 3600, 21600, 86400)


class Metrics:
    """One registry; names of tasks and reasons are fixed at the start, so labels are bounded.

    Args:
        tasks: Names, axis K.
        reasons: Codes of dead letters.
        filters: Names of what leaves candidates out of slates.
        placed: Names of why an item stands in its place.
    """

    content_type = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(
        self,
        tasks: Sequence[str],
        reasons: Sequence[str],
        *,
        filters: Sequence[str] = (),
        placed: Sequence[str] = (),
    ) -> None:
        self.registry = registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.PlatformCollector(registry=registry)

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"freshet_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"freshet_{name}", text, labels, registry=registry)

        def histogram(
            name: str, text: str, buckets: Sequence[float], labels: Sequence[str] = ()
        ) -> Histogram:
            return Histogram(f"freshet_{name}", text, labels, buckets=buckets, registry=registry)

        self.events = counter("events_learned_total", "Events applied to all state.")
        self.followed = counter(
            "events_followed_total", "Events of other workers' partitions, applied to all that is counted."
        )
        self.owned = gauge("partitions_owned", "Partitions whose events this worker answers.")
        updates = counter(
            "model_updates_total",
            "Updates of the model between workers, by what became of them.",
            ["outcome"],
        )
        self.updates_told, self.updates_heard, self.updates_refused = (
            updates.labels(outcome) for outcome in ("told", "merged", "refused")
        )
        update_bytes = counter("model_update_bytes_total", "Bytes of the model topic.", ["direction"])
        self.update_bytes_told, self.update_bytes_heard = map(update_bytes.labels, ("out", "in"))
        self.recommendations = counter("recommendations_total", "Recommendations published.")
        removed = counter(
            "candidates_removed_total", "Candidates that a filter left out of slates.", ["filter"]
        )
        self.removed = {name: removed.labels(name) for name in filters}
        places = counter("places_total", "Places of slates, by why their items stand there.", ["placed"])
        self.places = {name: places.labels(name) for name in placed}
        self.skipped = counter("records_skipped_total", "Records that had been applied and were read again.")
        self.duplicates = counter(
            "duplicates_total", "Events that had been applied and were sent again, told by their ids."
        )
        self.late_events = counter(
            "late_events_total", "Applied events that came too late for their user's history."
        )
        dead = counter("dead_letters_total", "Records that were refused, by reason.", ["reason"])
        self.dead_letters = {reason: dead.labels(reason) for reason in reasons}
        self.freshness = histogram(
            "freshness_seconds",
            "From an event's arrival at the broker to its recommendation acknowledged.",
            _FRESHNESS_S,
        )
        self.batch_events = histogram("batch_events", "Events of a step.", _BATCH)
        stage = histogram("stage_seconds", "Time of a step's stage.", _STAGE_S, ["stage"])
        self.decode = stage.labels("decode")
        self.step = stage.labels("step")
        self.lost = counter("events_lost_total", "Records that were deleted before they were read.")
        self.step_failures = counter("step_failures_total", "Steps that raised.")
        self.last_step = gauge("last_step_timestamp_seconds", "When the last step ended.")
        self.last_event = gauge("last_event_timestamp_seconds", "Event time of the newest applied event.")
        self.buffered = gauge("buffered_records", "Records that were read and wait for their step.")
        applied = gauge("applied_offset", "Last applied offset.", ["partition"])
        self._applied_family = applied
        self._applied_children: dict[int, Gauge] = {}
        self.users = gauge("users", "Users remembered.")
        self.items = gauge("items", "Items known.")
        self.pending = gauge("pending_impressions", "Impressions that wait for labels.")
        self.expired = counter(
            "expired_impressions_total", "Impressions that left without their labels: there were too many."
        )
        self.model_step = gauge("model_step", "Batches that the model has learned.")

        self.checkpoint_at = gauge("checkpoint_timestamp_seconds", "When the last checkpoint was taken.")
        self.checkpoint_write = histogram("checkpoint_write_seconds", "Time to write a checkpoint.", _STAGE_S)
        self.checkpoint_stall = histogram(
            "checkpoint_stall_seconds", "How long the stream stood still for a checkpoint.", _STAGE_S
        )
        self.checkpoint_merge = histogram(
            "checkpoint_merge_seconds",
            "Time to merge checkpoints to a whole one, beside the stream.",
            _MERGE_S,
        )
        self.checkpoint_bytes = gauge("checkpoint_bytes", "Size of the last checkpoint.")
        self.checkpoint_bytes_written = counter(
            "checkpoint_written_bytes_total", "Bytes of all checkpoints written, merged ones too."
        )
        self.checkpoint_deltas = gauge(
            "checkpoint_deltas", "Incremental checkpoints since the newest whole one."
        )
        written = counter("checkpoints_total", "Checkpoints written, by what they hold.", ["kind"])
        self.checkpoints = {kind: written.labels(kind) for kind in ("full", "delta")}
        self.checkpoint_failures = counter(
            "checkpoint_failures_total", "Checkpoints that could not be written."
        )

        self.hit_rate = gauge(
            "progressive_hit_rate", "Share of choices foreseen within the first 10.", ["window"]
        )
        self.reciprocal_rank = gauge(
            "progressive_mrr", "Mean reciprocal rank within the first 20.", ["window"]
        )
        self.recall = gauge("candidate_recall", "Share of chosen known items that were candidates.")
        self.ranked = counter("choices_ranked_total", "Choices that were foreseen before they were learned.")
        self.retrieval_loss = gauge("retrieval_loss", "Sampled softmax loss of the neural model, smoothed.")
        self.ranking_loss = gauge(
            "ranking_loss", "Softmax loss of the ranker over served candidates, smoothed."
        )

        def per_task(name: str, text: str) -> list[Gauge]:
            family = gauge(name, text, ["task"])
            return [family.labels(task) for task in tasks]

        self.task_loss = per_task("task_loss", "Loss before learning, smoothed.")
        self.task_weight = per_task("task_weight", "Present weight.")
        self.task_rate = per_task("task_label_mean", "Mean of the known labels, smoothed.")
        self.task_calibration = per_task("task_calibration_ratio", "Foreseen over observed, smoothed.")
        labels = counter("labels_total", "Labels that became known.", ["task", "positive"])
        self.labels = [(labels.labels(task, "no"), labels.labels(task, "yes")) for task in tasks]
        late = counter(
            "late_labels_total", "Positives after their window, which corrected a negative.", ["task"]
        )
        self.late_labels = [late.labels(task) for task in tasks]
        self.label_delay = histogram("label_delay_seconds", "Event time from impression to label.", _DELAY_S)
        related = gauge("task_relatedness", "Cosine of two tasks' gradients, smoothed.", ["task", "other"])
        self.relatedness = [[related.labels(task, other) for other in tasks] for task in tasks]
        association = gauge(
            "task_association", "How two tasks go together, by measure.", ["measure", "task", "other"]
        )
        self.associations = {
            measure: [[association.labels(measure, task, other) for other in tasks] for task in tasks]
            for measure in ("label", "error", "information", "affinity")
        }
        self._gate_family = gauge(
            "task_gate", "Mean share of an expert in a task's mixture.", ["task", "expert"]
        )
        self._gate_children: dict[tuple[int, int], Gauge] = {}
        self._tasks = tuple(tasks)
        skips = counter(
            "nonfinite_skips_total", "Learning steps left out because a loss was not finite.", ["part"]
        )
        self.skips = {part: skips.labels(part) for part in ("retrieval", "tasks", "ranker")}
        found = counter("drift_findings_total", "Drift findings.", ["task", "direction"])
        self.drift = {
            (task, direction): found.labels(task, direction)
            for task in tasks
            for direction in ("worse", "better")
        }

    def applied(self, partition: int, offset: int) -> None:
        """The last applied offset of a partition; partitions are bounded by the topic."""
        if partition not in self._applied_children:
            self._applied_children[partition] = self._applied_family.labels(str(partition))
        self._applied_children[partition].set(offset)

    def gate(self, task: int, expert: int, share: float) -> None:
        """The mean gate of a task for an expert; experts are bounded by the settings."""
        if (task, expert) not in self._gate_children:
            self._gate_children[task, expert] = self._gate_family.labels(self._tasks[task], str(expert))
        self._gate_children[task, expert].set(share)

    def render(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return prometheus_client.generate_latest(self.registry)
