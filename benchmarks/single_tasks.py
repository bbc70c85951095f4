"""What tasks gain from each other: all of them in one model against one model a task, by the evaluation's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.logs import settings_for
from stream.allocator import keep_temporaries
from stream.evaluation.evaluate import evaluate
from stream.evaluation.log import EvaluationLog, read_log
from stream.evaluation.report import report
from stream.settings import TaskSettings, load

_QUICK_EVENTS = 10_000
_FIGURES = ("auc", "log_loss", "calibration", "calibration_error", "mae", "r2")


def measure(quick: bool, logs: Sequence[Path], seeds: int = 3) -> list[dict[str, Any]]:
    """One row for each task that a log has labels of: every figure together and alone.

    Args:
        quick: Only the first 10,000 events of each log, and one seed.
        logs: Folders or files with event logs.
        seeds: How many seeds.
    """
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_log([path], types=None, limit=_QUICK_EVENTS if quick else None)
        answered = [
            task for task in load().tasks if set(task.event_types) & set(log.types) and task.name != "click"
        ]
        together = _tasks(log, answered, 1 if quick else seeds)
        for task in answered:
            alone = _tasks(log, [task], 1 if quick else seeds)
            rows.append({"log": path.name, "task": task.name, **_compared(together, alone, task.name)})
    return rows


def _tasks(log: EvaluationLog, tasks: Sequence[TaskSettings], seeds: int) -> list[dict[str, Any]]:
    """What a model of these tasks foresaw, by seed."""
    return [
        report(evaluate(log, settings_for(log, seed=seed).model_copy(update={"tasks": tuple(tasks)})))[
            "tasks"
        ]
        for seed in range(seeds)
    ]


def _compared(
    together: Sequence[dict[str, Any]], alone: Sequence[dict[str, Any]], task: str
) -> dict[str, Any]:
    """Means over the seeds; the AUC's and the log-loss's differences with their standard deviations."""
    row: dict[str, Any] = {"labels": together[0][task]["n"]}
    for figure in _FIGURES:
        if together[0][task].get(figure) is None:
            continue
        ours, theirs = (
            np.array([one[task][figure] for one in runs], np.float64) for runs in (together, alone)
        )
        gap = ours - theirs
        row[figure] = f"{ours.mean():.4f} | {theirs.mean():.4f} ({gap.mean():+.4f} ± {gap.std():.4f})"
    return row
