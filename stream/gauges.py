"""What the statistics have come to, as gauges. Worked out when somebody asks: every few seconds, and not every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learners.learner import Lesson
from learners.task import Task
from monitoring.metrics import WINDOWS, Metrics
from stream.statistics import Statistics


def show_ranking(metrics: Metrics, statistics: Statistics) -> None:
    """How good the latest rankings were."""
    ranking = statistics.ranking
    for name in WINDOWS:
        whole = name == "run"
        metrics.hit_rate[name].set(ranking.hit_rate(whole))
        metrics.reciprocal_rank[name].set(ranking.reciprocal_rank(whole))
        metrics.gain[name].set(ranking.gain(whole))
        metrics.choices[name].set(ranking.held(whole))
    metrics.recall.set(ranking.recall())
    retrieval, ranker = statistics.training.values.tolist()
    metrics.retrieval_loss.set(retrieval)
    metrics.ranking_loss.set(ranker)


def show_slates(metrics: Metrics, statistics: Statistics, items: int) -> None:
    """How the latest slates spread over so many items."""
    variety = statistics.places.variety(items)
    metrics.coverage.set(variety.coverage if items else float("nan"))
    metrics.gini.set(variety.gini)


def show_tasks(metrics: Metrics, statistics: Statistics, tasks: Sequence[Task]) -> None:
    """How each task is doing."""
    losses, norms = statistics.losses.values, statistics.gradients.values
    rates, foreseen = statistics.rates.values, statistics.foreseen.values
    for n, task in enumerate(tasks):
        metrics.task_weight[n].set(statistics.weights[n])
        metrics.task_loss[n].set(losses[n])
        metrics.task_gradient[n].set(norms[n])
        metrics.task_rate[n].set(rates[n])
        metrics.task_calibration[n].set(foreseen[n] / rates[n] if rates[n] > 0.0 else float("nan"))
        auc, calibration_error = statistics.windows.figures(n)
        metrics.task_auc[n].set(auc if task.kind != "regression" else float("nan"))
        metrics.task_calibration_error[n].set(calibration_error)
        metrics.task_window[n].set(statistics.windows.held(n))
    related = statistics.related.values.reshape(len(tasks), -1)
    for row, children in zip(related.tolist(), metrics.relatedness, strict=True):
        for value, child in zip(row, children, strict=True):
            child.set(value)


def show_drift(metrics: Metrics, statistics: Statistics, trials: Mapping[str, float]) -> None:
    """Where signals lean, and which reactions are under way, with their mean differences to their shadows."""
    for child, leaning in zip(metrics.leanings, statistics.leanings, strict=True):
        child.set(leaning)
    for reaction, active in metrics.reacting.items():
        active.set(float(reaction in trials))
        metrics.trial_difference[reaction].set(trials.get(reaction, 0.0))


def show_lesson(metrics: Metrics, lesson: Lesson, seen: Sequence[bool]) -> None:
    """What the newest lesson says of the model. Pairs of which nothing is known are left out.

    Args:
        metrics: Where numbers go.
        lesson: The newest.
        seen: (K,) which tasks have had labels.
    """
    for part, rate in lesson.learning_rates.items():
        metrics.learning_rates[part].set(rate)
    matrices = {} if lesson.related is None else lesson.related.matrices
    for measure, table in metrics.associations.items() if matrices else ():
        for n, m in zip(*np.nonzero(np.isfinite(matrices[measure])), strict=True):
            table[n][m].set(float(matrices[measure][n, m]))
    if lesson.gates is not None:
        for (n, expert), share in np.ndenumerate(lesson.gates):
            if seen[n]:
                metrics.gates[n].set(expert, float(share))
