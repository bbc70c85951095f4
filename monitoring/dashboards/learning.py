"""What the model learns: ranking, tasks, their weights and why."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards.panels import bars, board, lines, matrix, mean, of, per_second

_LABEL = 'measure="label"'
_ERROR = 'measure="error"'
_AFFINITY = 'measure="affinity"'
_TASK = 'task=~"$task"'
_TOGETHER = "task, other"


def _associated(measure: str) -> str:
    """The same of a measure that may take as long as the longest window: until then 0 for tasks that have labels."""
    found = mean(of("freshet_task_association", _TASK, measure), by=_TOGETHER)
    return f"{found} or 0 * {mean(of('freshet_task_relatedness', _TASK), by=_TOGETHER)}"


def learning() -> Dashboard:
    """For whoever asks why a task's weight moved."""
    ranking = (
        lines(
            "Hit rate",
            "Choices foreseen among the first ten: in the sliding window, and since the state began.",
            ('job:freshet_progressive_hit_rate:mean{job=~"$job"}', "{{window}}"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Candidate recall",
            "Share of the chosen known items that the ranker compared with others: it cannot be better.",
            (mean(of("freshet_candidate_recall"), by="instance"), "{{instance}}"),
            unit="percentunit",
            limits=(0, 1),
        ),
        lines(
            "Losses",
            "Softmax losses of neural retrieval and of the ranker, smoothed.",
            (mean(of("freshet_retrieval_loss")), "retrieval"),
            (mean(of("freshet_ranking_loss")), "ranker"),
        ),
        lines(
            "Learning steps",
            "Steps a second that the model has learned, and choices that it ranked before.",
            (f"sum(deriv({of('freshet_model_step')}[1m]))", "steps"),
            (per_second("freshet_choices_ranked_total"), "choices"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Step sizes",
            "Learning rates by part; those of the heads become smaller, reactions may raise them.",
            (f"max by (part) ({of('freshet_learning_rate')})", "{{part}}"),
            logarithmic=True,
        ),
        lines(
            "Learning steps left out",
            "A minute: a loss or a gradient was no finite number. A few change nothing.",
            (f"sum by (part) (increase({of('freshet_nonfinite_skips_total')}[1m]))", "{{part}}"),
            limits=(0, None),
            thresholds=((1, "red"),),
            bars=True,
        ),
    )
    tasks = (
        lines(
            "Loss",
            "Before learning, smoothed. A task without labels has none.",
            (mean(of("freshet_task_loss", _TASK), by="task"), "{{task}}"),
        ),
        lines(
            "Area under the curve",
            "Of the latest labels, before learning; .5 is guessing.",
            ('job:freshet_task_auc:mean{job=~"$job", task=~"$task"}', "{{task}}"),
            limits=(0.4, 1),
            thresholds=((0.5, "red"),),
        ),
        lines(
            "Calibration",
            "Foreseen over observed; 1 is right, above promises too much.",
            (mean(of("freshet_task_calibration_ratio", _TASK), by="task"), "{{task}}"),
            limits=(0, 3),
            thresholds=((0.9, "orange"), (1.0, "green"), (1.1, "orange")),
        ),
        lines(
            "Calibration error",
            "Mean distance of forecasts and observed shares, over 20 bins of the latest labels.",
            ('job:freshet_task_calibration_error:mean{job=~"$job", task=~"$task"}', "{{task}}"),
            limits=(0, None),
        ),
        lines(
            "Mean label",
            "How often the answer is yes, or the mean value, smoothed.",
            (mean(of("freshet_task_label_mean", _TASK), by="task"), "{{task}}"),
            unit="percentunit",
            limits=(0, None),
        ),
        lines(
            "Labels",
            "Labels a second that became known, positives by task and all negatives.",
            (per_second("freshet_labels_total", _TASK, 'positive="yes"', by="task"), "{{task}}"),
            (per_second("freshet_labels_total", _TASK, 'positive="no"'), "negatives"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Late labels",
            "A second: positives that came after their negative, and corrected it.",
            (per_second("freshet_late_labels_total", _TASK, by="task"), "{{task}}"),
            unit="ops",
            limits=(0, None),
        ),
        lines(
            "Label delay",
            "Event time from impression to label, an hour back.",
            (
                f"histogram_quantile(0.5, sum by (le) (rate({of('freshet_label_delay_seconds_bucket')}[1h])))",
                "median",
            ),
            (
                f"histogram_quantile(0.9, sum by (le) (rate({of('freshet_label_delay_seconds_bucket')}[1h])))",
                "90 %",
            ),
            unit="s",
            limits=(0, None),
        ),
        lines(
            "Labels in the window",
            "What the area under the curve and the calibration error are worked out of.",
            (f"sum by (task) ({of('freshet_task_window_labels', _TASK)})", "{{task}}"),
            limits=(0, None),
        ),
    )
    weights = (
        lines(
            "Task weights",
            "What each task's gradient is multiplied by. `freshet explain weights` says why.",
            (mean(of("freshet_task_weight", _TASK), by="task"), "{{task}}"),
            limits=(0, None),
        ),
        lines(
            "Gradient norms",
            "Where the tasks meet, before weighting: what a balancing weighting goes by.",
            (mean(of("freshet_task_gradient_norm", _TASK), by="task"), "{{task}}"),
            limits=(0, None),
        ),
        bars(
            "Gates",
            "How much of each expert a task takes, on average. Tasks that take alike share what they learn.",
            (mean(of("freshet_task_gate", _TASK), by="task, expert"), "{{task}}, expert {{expert}}"),
            unit="percentunit",
            limits=(0.0, 1.0),
        ),
        matrix(
            "Relatedness: cosine of gradients",
            "1: what helps one helps the other. Below 0: they disagree about the shared experts.",
            mean(of("freshet_task_relatedness", _TASK), by=_TOGETHER),
            row="task",
            column="other",
        ),
        matrix(
            "Correlation of labels",
            "Whether tasks are answered together, whatever the model says. 0 until the windows of both have closed.",
            _associated(_LABEL),
            row="task",
            column="other",
        ),
        matrix(
            "Correlation of errors",
            "Whether the model is wrong about both at once.",
            _associated(_ERROR),
            row="task",
            column="other",
        ),
        matrix(
            "Affinity",
            "By how much of itself the loss of the column falls after a step on the row.",
            _associated(_AFFINITY),
            row="task",
            column="other",
            limits=(-0.01, 0.01),
            decimals=4,
        ),
    )
    return board(
        "learning",
        "learning",
        "What the model learns: ranking, tasks, their weights and why.",
        (("Ranking", ranking), ("Tasks", tasks), ("Weights and relatedness", weights)),
    )
