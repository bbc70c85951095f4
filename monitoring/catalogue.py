"""Every metric with its type, labels and meaning: what the registry and docs/metrics.md are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

PREFIX = "freshet_"

FRESHNESS_OBJECTIVE_S = 1.0
"""What the service level objective counts as fresh; an edge of `freshet_freshness_seconds`."""

_FRESHNESS_S = (
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    FRESHNESS_OBJECTIVE_S,
    2.0,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
_MERGE_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0)
_STAGE_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_DELAY_S = (1, 10, 60, 300, 1800, 3600, 21600, 86400)

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    Attributes:
        name: In base units, without the prefix; counters end in `_total`.
        kind: Its type.
        meaning: A sentence or two, for people.
        labels: Names; their values are bounded by settings and code.
        buckets: Upper edges of a histogram.
    """

    name: str
    kind: Kind
    meaning: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()


def _counter(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name, "gauge", meaning, labels)


def _histogram(name: str, buckets: Sequence[float], meaning: str, *labels: str) -> Definition:
    return Definition(name, "histogram", meaning, labels, buckets)


_STREAM = (
    _gauge("ready", "1 while `/readyz` says yes, else 0."),
    _gauge("partitions_owned", "Partitions whose events this worker answers."),
    _counter("rebalances_total", "How often the group shared its partitions anew."),
    _counter(
        "events_learned_total", "Events applied to all state; of several workers, by the one that owns them."
    ),
    _counter("events_followed_total", "Events of other workers' partitions, applied to all that is counted."),
    _counter(
        "model_updates_total", "Updates of the model between workers, by what became of them.", "outcome"
    ),
    _counter("model_update_bytes_total", "Bytes written to the model topic and read from it.", "direction"),
    _counter(
        "records_skipped_total", "Records that had been applied and were read again, told by their offsets."
    ),
    _counter("events_lost_total", "Records that the topic's retention deleted before they were read."),
    _counter("duplicates_total", "Events that had been applied and were sent again, told by their ids."),
    _counter("late_events_total", "Applied events that came too late for their user's history."),
    _counter("dead_letters_total", "Records that were refused, by reason.", "reason"),
    _counter(
        "step_failures_total",
        "Steps that raised. Each is made again record by record, and what the learner fails on is refused.",
    ),
    _histogram(
        "freshness_seconds",
        _FRESHNESS_S,
        "From an event's arrival at the broker to its step's recommendations acknowledged. Without events that "
        "another worker, which is gone, may have answered.",
    ),
    _histogram("batch_events", _BATCH, "Events of a step."),
    _histogram("stage_seconds", _STAGE_S, "Time of a step's stage: `decode`, `step`.", "stage"),
    _counter("observer_seconds_total", "Time that the step's thread spent on metrics and drift."),
    _gauge("last_step_timestamp_seconds", "When the last step ended, or the worker began."),
    _gauge("last_event_timestamp_seconds", "Event time of the newest applied event."),
    _gauge("buffered_records", "Records that were read and wait for their step."),
    _gauge(
        "undelivered_seconds",
        "How long the oldest results have waited for the broker to take them; 0 where none wait.",
    ),
    _gauge("applied_offset", "Last applied offset.", "partition"),
    _gauge(
        "lag_records",
        "Records of an owned partition that are not applied yet, looked at every two seconds.",
        "partition",
    ),
    _gauge(
        "caught_up_timestamp_seconds",
        "Everything that arrived in an owned partition before this moment is applied; at first, when it was "
        "first looked at. The lag in seconds is the time since.",
        "partition",
    ),
)

_STATE = (
    _gauge("users", "Users remembered."),
    _gauge("items", "Items known."),
    _gauge("pending_impressions", "Impressions that wait for labels, late ones too."),
    _counter("expired_impressions_total", "Impressions that left without their labels: there were too many."),
    _counter(
        "evictions_total",
        "Given up because there were too many, what was silent for longest first; `what` is `users`, `items`, `pairs` "
        "(of users and what they chose) or `owned` (of users and what they own).",
        "what",
    ),
    _gauge("model_step", "Steps that the model has learned."),
    _gauge("state_bytes", "Arrays of the state, by piece; texts are counted as 256 bytes each.", "piece"),
)

_CHECKPOINTS = (
    _gauge("checkpoint_timestamp_seconds", "When the last checkpoint was taken; 0 before the first one."),
    _gauge("checkpoint_interval_seconds", "How long after one checkpoint the next is due, as it is set."),
    _histogram("checkpoint_write_seconds", _STAGE_S, "Time to write a checkpoint, beside the stream."),
    _histogram(
        "checkpoint_stall_seconds", _STAGE_S, "The longest that the stream stood still for a checkpoint."
    ),
    _histogram(
        "checkpoint_merge_seconds", _MERGE_S, "Time to merge checkpoints to a whole one, beside the stream."
    ),
    _gauge("checkpoint_bytes", "Size of the last checkpoint, incremental ones too."),
    _counter("checkpoint_written_bytes_total", "Bytes of all checkpoints written, merged ones too."),
    _gauge(
        "checkpoint_deltas", "Incremental checkpoints since the newest whole one: how many a restart reads."
    ),
    _counter(
        "checkpoints_total",
        "Checkpoints written; `kind` is `full` or `delta`, merged ones count as `full`.",
        "kind",
    ),
    _counter("checkpoint_failures_total", "Checkpoints that could not be written."),
)

_RANKING = (
    _gauge(
        "progressive_hit_rate",
        "Share of choices foreseen within the first 10; `window` is `sliding` or `run`.",
        "window",
    ),
    _gauge("progressive_mrr", "Mean reciprocal rank within the first 20.", "window"),
    _gauge("progressive_ndcg", "Mean discounted gain within the first 10, one relevant item each.", "window"),
    _gauge(
        "progressive_choices",
        "Choices in the window: what weighs the three above when workers are averaged.",
        "window",
    ),
    _gauge(
        "candidate_recall", "Share of chosen known items that the ranker compared: what bounds the hit rate."
    ),
    _counter("choices_ranked_total", "Choices that were foreseen before they were learned."),
    _gauge("retrieval_loss", "Sampled softmax loss of the neural model, smoothed."),
    _gauge("ranking_loss", "Softmax loss of the ranker over served candidates, smoothed."),
)

_TASKS = (
    _gauge("task_loss", "Loss before learning, smoothed.", "task"),
    _gauge("task_weight", "Present weight.", "task"),
    _gauge(
        "task_gradient_norm",
        "Norm of the task's gradient at the experts, summed over a batch's labels, smoothed.",
        "task",
    ),
    _gauge(
        "task_label_mean", "Mean of what came of impressions whose windows have closed, smoothed.", "task"
    ),
    _gauge("task_calibration_ratio", "Foreseen over observed, smoothed; 1 is right.", "task"),
    _gauge(
        "task_auc",
        "Probability that a positive was forecast above a negative, in a sliding window; not of regressions.",
        "task",
    ),
    _gauge(
        "task_calibration_error",
        "Expected calibration error over 20 bins of equal count, in a sliding window.",
        "task",
    ),
    _gauge(
        "task_window_labels",
        "Labels in that window: what weighs the two above when workers are averaged.",
        "task",
    ),
    _counter("labels_total", "Labels that became known; `positive` is `yes` or `no`.", "task", "positive"),
    _counter("late_labels_total", "Positives that came after their negative, and corrected it.", "task"),
    _histogram("label_delay_seconds", _DELAY_S, "Event time from impression to label."),
    _gauge("task_relatedness", "Cosine of two tasks' gradients, smoothed.", "task", "other"),
    _gauge(
        "task_association",
        "How two tasks go together: `label` and `error` (correlations), `information` (bits), `affinity` (by how much "
        "of itself the loss of `other` falls after a step on `task`). NaN where nothing is known yet.",
        "measure",
        "task",
        "other",
    ),
    _gauge("task_gate", "Mean share of an expert in a task's mixture.", "task", "expert"),
    _gauge(
        "learning_rate",
        "Step size of a part of the model: `embeddings`, `network`, `heads`, `ranker`.",
        "part",
    ),
    _counter(
        "nonfinite_skips_total",
        "Learning steps left out because something was not finite; `part` is `retrieval`, `tasks` or `ranker`.",
        "part",
    ),
)

_RECOMMENDATIONS = (
    _counter("recommendations_total", "Slates made, each to be published."),
    _counter(
        "places_total",
        "Places of slates, by why their items stand there: `ranked`, `explored`, `new`.",
        "placed",
    ),
    _counter("source_places_total", "Places of slates, by the source that brought their items.", "source"),
    _counter("repeat_places_total", "Places whose item stood in the user's history."),
    _counter(
        "new_item_places_total",
        "Places whose item was new (`recommend.new_age_s`, `recommend.new_impressions`).",
    ),
    _counter(
        "place_novelty_bits_total",
        "Sum over places of -log2 of the item's share of the latest events: how little known was what was shown.",
    ),
    _gauge(
        "slate_coverage_ratio",
        "Share of the known items that stand in the latest 40,000 places of slates of this worker.",
    ),
    _gauge(
        "slate_gini",
        "Gini coefficient of how often each known item stands in them: 0 all alike, towards 1 a few only.",
    ),
    _counter("candidates_removed_total", "Candidates that a filter left out of slates.", "filter"),
    _counter(
        "shown_places_total", "Places of the latest slates that were seen, once each.", "source", "places"
    ),
    _counter(
        "clicked_places_total",
        "And that were answered: by any event on them but an impression, once each.",
        "source",
        "places",
    ),
    _counter(
        "satisfied_places_total",
        "And that satisfied: a like, a purchase, a rating of at least 4, a dwell of at least 30 s, once each.",
        "source",
        "places",
    ),
)

_DRIFT = (
    _counter(
        "drift_findings_total",
        "Drift findings; `direction` is `worse` or `better`, or `changed` for what is neither; `verdict` is `act` "
        "where it is worse and another signal says so too, else why it is no reason to; `task` is empty where it is "
        "no task's.",
        "signal",
        "task",
        "direction",
        "verdict",
    ),
    _gauge(
        "drift_leaning",
        "How certainly the latest groups of a signal lie above (positive) or below what is usual, in standard errors.",
        "signal",
        "task",
    ),
    _counter(
        "drift_decisions_total",
        "What was decided about findings that are reason to act: `acted`, `busy` (turned already), `cool_down`, "
        "`switched_off`.",
        "reaction",
        "decision",
    ),
    _counter(
        "drift_outcomes_total",
        "What came of reactions: `serves`, it was better beside the piece as it is; `dropped`, it was not and never "
        "served; `kept`, it serves and was not worse; `undone`, it was; `ended` in time.",
        "reaction",
        "outcome",
    ),
    _gauge("drift_reaction_active", "1 while a reaction is tried or serves.", "reaction"),
    _gauge(
        "drift_trial_difference",
        "Of the reaction under way, mean difference to the piece as it was so far (discounted gain of choices, or loss "
        "of labels with its sign turned), more being better; 0 where none is.",
        "reaction",
    ),
)

CATALOGUE: dict[str, tuple[Definition, ...]] = {
    "Stream": _STREAM,
    "State": _STATE,
    "Checkpoints": _CHECKPOINTS,
    "Ranking": _RANKING,
    "Tasks": _TASKS,
    "Recommendations": _RECOMMENDATIONS,
    "Drift": _DRIFT,
}
"""All metrics, by what they are about."""
