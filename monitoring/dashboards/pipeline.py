"""How the work gets done: Kafka, batches, stages, checkpoints, memory; by worker."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import board, lines, of, per_second, quantile


def _lately(name: str) -> str:
    return f"histogram_quantile(0.99, sum by (le) (rate({of(f'{name}_bucket')}[10m])))"


def pipeline() -> Dashboard:
    """For whoever runs the workers."""
    stream = (
        lines(
            "Records behind, by partition",
            "Records on the topic that are not applied yet.",
            (f"max by (partition) ({of('freshet_lag_records')})", "{{partition}}"),
            limits=(0, None),
        ),
        lines(
            "Seconds behind, by partition",
            "Everything that arrived so long ago is applied.",
            (f"max by (partition) (time() - {of('freshet_caught_up_timestamp_seconds')})", "{{partition}}"),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Offsets applied, by partition",
            "Records a second; workers apply all partitions, their own and those that they follow.",
            (f"max by (partition) (deriv({of('freshet_applied_offset')}[1m]))", "{{partition}}"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Events by worker",
            "Events of its own partitions that a worker has learned, a second.",
            (per_second("freshet_events_learned_total", by="instance"), "{{instance}}"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Events followed by worker",
            "Events of other workers' partitions, a second.",
            (per_second("freshet_events_followed_total", by="instance"), "{{instance}}"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Partitions and rebalances",
            "Partitions of each worker, and how often the group shared them anew in the last five minutes.",
            (f"sum by (instance) ({of('freshet_partitions_owned')})", "{{instance}}"),
            (f"sum(increase({of('freshet_rebalances_total')}[5m]))", "rebalances"),
            limits=(0, None),
        ),
        lines(
            "Model updates",
            "What workers tell each other of what they learned, in a minute; refused are those of other settings.",
            (f"sum by (outcome) (increase({of('freshet_model_updates_total')}[1m]))", "{{outcome}}"),
            limits=(0, None),
        ),
        lines(
            "Bytes of model updates",
            "Written and read, a second, by worker.",
            (
                per_second("freshet_model_update_bytes_total", by="instance, direction"),
                "{{instance}} {{direction}}",
            ),
            unit="Bps",
            limits=(0, None),
        ),
        lines(
            "Not applied, or not again",
            "Records a second that were read again, sent again, too late, refused, or deleted before they were read.",
            (per_second("freshet_records_skipped_total"), "read again"),
            (per_second("freshet_duplicates_total"), "duplicates"),
            (per_second("freshet_late_events_total"), "late"),
            (per_second("freshet_dead_letters_total"), "dead letters"),
            (per_second("freshet_events_lost_total"), "lost"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Records buffered",
            "Read and waiting for their step. At four batches the worker is as fast as it can be.",
            (f"sum by (instance) ({of('freshet_buffered_records')})", "{{instance}}"),
            limits=(0, None),
        ),
        lines(
            "Results undelivered",
            "How long the oldest results have waited for the broker.",
            (f"max by (instance) ({of('freshet_undelivered_seconds')})", "{{instance}}"),
            unit="s",
            limits=(0, None),
            thresholds=((10, "orange"), (30, "red")),
        ),
    )
    steps = (
        lines(
            "Time of a stage",
            "Decoding, and the step itself: labels, predicting, learning, slates.",
            (quantile(0.5, "freshet_stage_seconds", by="stage"), "{{stage}}, median"),
            (quantile(0.99, "freshet_stage_seconds", by="stage"), "{{stage}}, 99 %"),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Events of a step",
            "Full batches (worker.batch_max_events) mean that there is more than enough to do.",
            (quantile(0.5, "freshet_batch_events"), "median"),
            (quantile(0.99, "freshet_batch_events"), "99 %"),
            limits=(0, None),
        ),
        lines(
            "Where a worker's time goes",
            "Share of a second: decoding, steps, metrics and drift; and processors used by all threads.",
            (per_second("freshet_stage_seconds_sum", by="stage"), "{{stage}}"),
            (per_second("freshet_observer_seconds_total"), "metrics and drift"),
            (per_second("process_cpu_seconds_total"), "processors"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Failed steps",
            "In a minute; each is made again record by record.",
            (f"sum by (instance) (increase({of('freshet_step_failures_total')}[1m]))", "{{instance}}"),
            limits=(0, None),
            thresholds=((1, "red"),),
            bars=True,
        ),
        lines(
            "Since the last step",
            "A line that climbs while records wait is a worker that is stuck.",
            (f"max by (instance) (time() - {of('freshet_last_step_timestamp_seconds')})", "{{instance}}"),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Freshness by worker",
            "99 % of the events were answered within this time.",
            (quantile(0.99, "freshet_freshness_seconds", by="instance"), "{{instance}}"),
            unit="s",
            limits=(0, None),
        ),
    )
    checkpoints = (
        lines(
            "Age",
            "Since the last checkpoint.",
            (
                f"max by (instance) (time() - ({of('freshet_checkpoint_timestamp_seconds')} > 0))",
                "{{instance}}",
            ),
            unit="s",
            limits=(0, None),
            thresholds=((60, "orange"), (300, "red")),
        ),
        lines(
            "Time",
            "99 % of the last: how long the stream stood still, and writing and merging beside it; ten minutes.",
            *((_lately(f"freshet_checkpoint_{what}_seconds"), what) for what in ("stall", "write", "merge")),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Written, and not",
            "In a minute, by kind; and those that failed.",
            (f"sum by (kind) (increase({of('freshet_checkpoints_total')}[1m]))", "{{kind}}"),
            (f"sum(increase({of('freshet_checkpoint_failures_total')}[1m]))", "failed"),
            limits=(0, None),
        ),
        lines(
            "Size",
            "Of the last checkpoint, incremental ones too.",
            (f"max by (instance) ({of('freshet_checkpoint_bytes')})", "{{instance}}"),
            unit="bytes",
            limits=(0, None),
        ),
        lines(
            "Bytes written",
            "A second, merged ones too.",
            (per_second("freshet_checkpoint_written_bytes_total", by="instance"), "{{instance}}"),
            unit="Bps",
            limits=(0, None),
        ),
        lines(
            "Increments since the newest whole one",
            "How many a restart reads.",
            (f"max by (instance) ({of('freshet_checkpoint_deltas')})", "{{instance}}"),
            limits=(0, None),
        ),
    )
    memory = (
        lines(
            "Memory",
            "Resident memory of each worker.",
            (f"sum by (instance) ({of('process_resident_memory_bytes')})", "{{instance}}"),
            unit="bytes",
            limits=(0, None),
        ),
        lines(
            "State by piece",
            "Arrays, of the worker that has most of each; texts are counted as 256 bytes.",
            (f"max by (piece) ({of('freshet_state_bytes')})", "{{piece}}"),
            unit="bytes",
            limits=(0, None),
            stacked=True,
        ),
        lines(
            "What is remembered",
            "Users, items and waiting impressions; the same on all workers.",
            (f"max by (job) ({of('freshet_users')})", "users"),
            (f"max by (job) ({of('freshet_items')})", "items"),
            (f"max by (job) ({of('freshet_pending_impressions')})", "impressions"),
            limits=(0, None),
        ),
        lines(
            "Given up",
            "In a minute, since there are too many; what was silent for longest goes first. Much of it all the "
            "time: the bound is too low for what comes.",
            (f"max by (what) (increase({of('freshet_evictions_total')}[1m]))", "{{what}}"),
            limits=(0, None),
            width=24,
        ),
    )
    return board(
        "pipeline",
        "pipeline",
        "How the work gets done: Kafka, batches, stages, checkpoints, memory.",
        (("The stream", stream), ("Steps", steps), ("Checkpoints", checkpoints), ("Memory", memory)),
    )
