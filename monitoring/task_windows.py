"""The latest forecasts and labels of each task, and how good they were: ranking and calibration, live."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.task_quality import auc, calibration_error


class TaskWindows:
    """A sliding window of labels for each task; figures are worked out when they are asked for.

    Args:
        tasks: K.
        labels: Of each window.
    """

    def __init__(self, tasks: int, labels: int = 5_000) -> None:
        self._scores = np.zeros((tasks, labels), np.float32)
        self._labels = np.zeros((tasks, labels), np.float32)
        self._taken = np.zeros(tasks, np.int64)
        self._asked = np.full(tasks, -1)
        self._figures = np.full((tasks, 2), np.nan)

    def update(
        self, scores: NDArray[np.floating], labels: NDArray[np.floating], mask: NDArray[np.bool_]
    ) -> None:
        """Take (L, K) forecasts and labels, of which the mask says which are known."""
        size = self._scores.shape[1]
        for task in np.flatnonzero(mask.any(axis=0)).tolist():
            known = np.flatnonzero(mask[:, task])[-size:]
            at = (self._taken[task] + np.arange(len(known))) % size
            self._scores[task, at], self._labels[task, at] = scores[known, task], labels[known, task]
            self._taken[task] += len(known)

    def held(self, task: int) -> int:
        """How many labels the window of a task holds."""
        return int(min(self._taken[task], self._scores.shape[1]))

    def figures(self, task: int) -> tuple[float, float]:
        """Area under the curve and expected calibration error; NaN where they cannot be told."""
        if self._asked[task] != self._taken[task]:
            self._asked[task] = self._taken[task]
            held = self.held(task)
            p, y = self._scores[task, :held].astype(np.float64), self._labels[task, :held]
            self._figures[task] = auc(p, y > 0.0), calibration_error(p, y)
        curve, error = self._figures[task].tolist()
        return curve, error
