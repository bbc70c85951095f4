"""Is it alive, is it fresh, is it good?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.catalogue import FRESHNESS_OBJECTIVE_S
from monitoring.dashboards.panels import board, lines, number, of, per_second, quantile, share

_FRESH = f'le="{FRESHNESS_OBJECTIVE_S}"'


def overview() -> Dashboard:
    """What to look at first."""
    alive = (
        number(
            "Workers ready",
            "Workers whose /readyz says yes. Fewer than were started: look at the alerts and the others' logs.",
            f"sum({of('freshet_ready')})",
        ),
        number(
            "Alerts firing",
            "Of freshet's alerts; docs/operations.md has an entry for each.",
            'count(ALERTS{alertstate="firing", alertname=~"Freshet.*"}) or vector(0)',
            thresholds=((1, "red"),),
        ),
        number(
            "Behind",
            "The oldest record that is not applied yet arrived at most so long ago, of all partitions.",
            f"max(time() - {of('freshet_caught_up_timestamp_seconds')})",
            unit="s",
            decimals=0,
            thresholds=((30, "orange"), (300, "red")),
        ),
        number(
            "Last step",
            "Since the last step of the worker that has been silent for longest. Without events there are no steps.",
            f"max(time() - {of('freshet_last_step_timestamp_seconds')})",
            unit="s",
            decimals=0,
        ),
        number(
            "Checkpoint age",
            "Since the oldest of the workers' last checkpoints: what a crash would make it do again.",
            f"max(time() - ({of('freshet_checkpoint_timestamp_seconds')} > 0))",
            unit="s",
            decimals=0,
            thresholds=((60, "orange"), (300, "red")),
        ),
        number(
            "Dead letters",
            "Records refused in the last hour.",
            f"sum(increase({of('freshet_dead_letters_total')}[1h]))",
            decimals=0,
            thresholds=((1, "orange"), (100, "red")),
        ),
    )
    fresh = (
        lines(
            "Events and recommendations",
            "Events learned and slates made a second, all workers.",
            (per_second("freshet_events_learned_total"), "events"),
            (per_second("freshet_recommendations_total"), "recommendations"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Freshness",
            "From an event's arrival at the broker to its recommendations acknowledged. The line is the objective.",
            (quantile(0.5, "freshet_freshness_seconds"), "median"),
            (quantile(0.99, "freshet_freshness_seconds"), "99 %"),
            unit="s",
            limits=(0, None),
            thresholds=((FRESHNESS_OBJECTIVE_S, "red"),),
        ),
        lines(
            "Fresh in time",
            f"Share of the events that were answered within {FRESHNESS_OBJECTIVE_S:g} s; 99 % are promised.",
            (
                share(
                    per_second("freshet_freshness_seconds_bucket", _FRESH),
                    per_second("freshet_freshness_seconds_count"),
                ),
                "of events",
            ),
            unit="percentunit",
            limits=(None, 1),
            thresholds=((0.99, "green"),),
        ),
        lines(
            "Error budget burnt",
            "How many times faster than allowed the freshness objective's budget is used up; 1 uses it up in 30 days. "
            "Alerts: 14.4 over an hour, 6 over six, 3 over a day, 1 over three days.",
            ('job:freshet_stale:ratio_rate5m{job=~"$job"} / 0.01', "5 minutes"),
            ('job:freshet_stale:ratio_rate1h{job=~"$job"} / 0.01', "1 hour"),
            ('job:freshet_stale:ratio_rate6h{job=~"$job"} / 0.01', "6 hours"),
            limits=(0, None),
            thresholds=((1, "orange"), (14.4, "red")),
        ),
        lines(
            "Records behind",
            "Records that are on the topic and not applied yet.",
            ('job:freshet_lag_records:sum{job=~"$job"}', "{{job}}"),
            limits=(0, None),
        ),
        lines(
            "What went wrong",
            "A second: records refused or lost, steps that raised, learning steps left out, checkpoints that failed.",
            (per_second("freshet_dead_letters_total"), "dead letters"),
            (per_second("freshet_step_failures_total"), "failed steps"),
            (per_second("freshet_nonfinite_skips_total"), "skipped learning steps"),
            (per_second("freshet_checkpoint_failures_total"), "failed checkpoints"),
            (per_second("freshet_events_lost_total"), "lost records"),
            unit="ops",
            limits=(0, None),
        ),
    )
    good = (
        lines(
            "Choices foreseen",
            "Progressive validation: how well the latest choices were foreseen before they were learned.",
            ('job:freshet_progressive_hit_rate:mean{job=~"$job", window="sliding"}', "HR@10"),
            ('job:freshet_progressive_ndcg:mean{job=~"$job", window="sliding"}', "NDCG@10"),
            ('job:freshet_progressive_mrr:mean{job=~"$job", window="sliding"}', "MRR@20"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Recommendations taken",
            "Of the places that were seen: answered, and liked (purchase, good rating, long dwell). Five minutes.",
            ('job:freshet_clicked_places:ratio_rate5m{job=~"$job"}', "answered"),
            ('job:freshet_satisfied_places:ratio_rate5m{job=~"$job"}', "satisfied"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Tasks: area under the curve",
            "Probability that a positive is forecast above a negative, in the latest labels; .5 is guessing.",
            ('job:freshet_task_auc:mean{job=~"$job", task=~"$task"}', "{{task}}"),
            limits=(0.4, 1),
            thresholds=((0.5, "red"),),
        ),
    )
    return board(
        "overview",
        "overview",
        "Is it alive, is it fresh, is it good?",
        (("Alive", alive), ("Fresh", fresh), ("Good", good)),
    )
