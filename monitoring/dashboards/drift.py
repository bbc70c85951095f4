"""What changed and what was done about it: findings, reactions, and the figures in which a change shows."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import board, lines, mean, number, of, per_second, share

_WORSE = 'direction="worse"'
_BETTER = 'direction="better"'
_TASK = 'task=~"$task"'
_ANY_TASK = 'task=~"$task|"'  # signals that are no task's have an empty one


def _now_over_before(name: str, *labels: str) -> str:
    gauge = of(name, *labels)  # one moment that is no number makes an hour none: that worker is left out
    return mean(f"avg_over_time({gauge}[5m]) / avg_over_time({gauge}[1h])", by="task")


def drift() -> Dashboard:
    """For whoever sees a finding and asks what is behind it."""
    findings = (
        number(
            "Findings, worse",
            "In the last day: something is foreseen or answered worse than it was, by one signal or more.",
            f"sum(increase({of('freshet_drift_findings_total', _ANY_TASK, _WORSE)}[1d]))",
            decimals=0,
            width=6,
            thresholds=((1, "orange"),),
        ),
        number(
            "Findings, better",
            "In the last day: something is foreseen or answered better. A young model gives these because it learns.",
            f"sum(increase({of('freshet_drift_findings_total', _ANY_TASK, _BETTER)}[1d]))",
            decimals=0,
            width=6,
        ),
        number(
            "Sliding over whole run",
            "Hit rate of the sliding window over that since the start: below 1 is worse than it used to be.",
            'job:freshet_progressive_hit_rate:mean{job=~"$job", window="sliding"} / ignoring (window) '
            'job:freshet_progressive_hit_rate:mean{job=~"$job", window="run"}',
            decimals=2,
            width=6,
        ),
        number(
            "Event time behind the clock",
            "How old the newest applied event is by its own time. Simulated and replayed streams have their own time.",
            f"min(time() - {of('freshet_last_event_timestamp_seconds')})",
            unit="s",
            decimals=0,
            width=6,
        ),
        lines(
            "Findings",
            "By signal and verdict: act is worse by another signal, too; alone is not. All dashboards annotate them.",
            (
                "sum by (signal, task, verdict) "
                f"(increase({of('freshet_drift_findings_total', _ANY_TASK)}[1m]))",
                "{{signal}} {{task}}, {{verdict}}",
            ),
            width=12,
            limits=(0, None),
            bars=True,
        ),
        lines(
            "Decisions and outcomes",
            "What was done about findings that are reason to act, and what came of it; annotations, too.",
            (
                f"sum by (reaction, decision) (increase({of('freshet_drift_decisions_total')}[1m]))",
                "{{reaction}}: {{decision}}",
            ),
            (
                f"sum by (reaction, outcome) (increase({of('freshet_drift_outcomes_total')}[1m]))",
                "{{reaction}}: {{outcome}}",
            ),
            width=12,
            limits=(0, None),
            bars=True,
        ),
    )
    reactions = (
        lines(
            "Signals, now beside before",
            "Where the latest values of a signal lie beside what is usual for it, in standard errors: beyond 3 either "
            "way something goes on, whether or not it is enough for a finding.",
            (mean(of("freshet_drift_leaning", _ANY_TASK), by="signal"), "{{signal}}"),
            thresholds=((0.0, "green"),),
        ),
        lines(
            "Reactions under way",
            "Workers that try a turned piece beside the one that serves, or serve by it. Each ends by itself.",
            (f"sum by (reaction) ({of('freshet_drift_reaction_active')})", "{{reaction}}"),
            limits=(0, None),
        ),
        lines(
            "Trial: turned less not turned",
            "How much better the turned piece foresees the same examples than the piece as it was. Above 0 by more "
            "than chance it begins to serve, below it is undone.",
            (mean(of("freshet_drift_trial_difference"), by="reaction"), "{{reaction}}"),
            thresholds=((0.0, "green"),),
        ),
    )
    tasks = (
        lines(
            "Loss, now over the last hour",
            "The last five minutes over the last hour: above 1 the task got harder to foresee.",
            (_now_over_before("freshet_task_loss", _TASK), "{{task}}"),
            thresholds=((1.0, "green"), (1.25, "red")),
        ),
        lines(
            "Mean label, now over the last hour",
            "A base rate that moves: users answer more or less often than they did.",
            (_now_over_before("freshet_task_label_mean", _TASK), "{{task}}"),
            thresholds=((1.0, "green"),),
        ),
        lines(
            "Calibration",
            "Foreseen over observed: what a base rate that moves does first.",
            (mean(of("freshet_task_calibration_ratio", _TASK), by="task"), "{{task}}"),
            limits=(0, 3),
            thresholds=((0.9, "orange"), (1.0, "green"), (1.1, "orange")),
        ),
    )
    stream = (
        lines(
            "Label delay",
            "Mean event time from impression to label: labels that come later look like negatives at first.",
            (
                share(
                    per_second("freshet_label_delay_seconds_sum"),
                    per_second("freshet_label_delay_seconds_count"),
                ),
                "mean",
            ),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Choices foreseen",
            "In the sliding window: tastes that change show here, whatever the tasks say.",
            ('job:freshet_progressive_hit_rate:mean{job=~"$job", window="sliding"}', "HR@10"),
            ('job:freshet_progressive_mrr:mean{job=~"$job", window="sliding"}', "MRR@20"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Catalogue and users",
            "Items and users known; a catalogue that is made anew grows steeply.",
            (f"max by (job) ({of('freshet_items')})", "items"),
            (f"max by (job) ({of('freshet_users')})", "users"),
            limits=(0, None),
        ),
        lines(
            "Novelty of what is recommended",
            "Mean -log2 of the items' shares of the latest events.",
            (
                share(per_second("freshet_place_novelty_bits_total"), per_second("freshet_places_total")),
                "bits a place",
            ),
        ),
        lines(
            "Order and repetition",
            "Events a second that came too late for a history, and that were sent again.",
            (per_second("freshet_late_events_total"), "late"),
            (per_second("freshet_duplicates_total"), "duplicates"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Refused by reason",
            "A producer that changed shows here first.",
            (per_second("freshet_dead_letters_total", by="reason"), "{{reason}}"),
            unit="ops",
            limits=(0, None),
        ),
    )
    return board(
        "drift",
        "drift",
        "What changed and what was done about it, and the figures in which a change shows.",
        (
            ("Findings and reactions", findings),
            ("Before and after", reactions),
            ("Tasks, before and after", tasks),
            ("The stream", stream),
        ),
    )
