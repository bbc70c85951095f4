"""The latest forecasts and labels of each task, and how good they were: ranking and calibration, live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.ring import moved
from monitoring.task_quality import auc, calibration_error


class TaskWindows:
    """A sliding window of labels for each task; figures are worked out when they are asked for.

    Args:
        tasks: K.
        labels: W, of each window.

    Attributes:
        marks: (W,) 1 where a row of the tables was written.
    """

    def __init__(self, tasks: int, labels: int = 5_000) -> None:
        self._scores = np.zeros((labels, tasks), np.float32)
        self._labels = np.zeros((labels, tasks), np.float32)
        self.marks = np.zeros(labels, np.uint8)
        self._taken = np.zeros(tasks, np.int64)
        self._asked = np.full(tasks, -1)
        self._figures = np.full((tasks, 2), np.nan)

    def update(
        self, scores: NDArray[np.floating], labels: NDArray[np.floating], mask: NDArray[np.bool_]
    ) -> None:
        """Take (L, K) forecasts and labels, of which the mask says which are known."""
        tasks, rows = np.nonzero(mask.T)  # task by task, so that a window's latest labels are written last
        counts = np.bincount(tasks, minlength=len(self._taken))
        nth = np.arange(len(tasks)) - (np.cumsum(counts) - counts)[tasks]
        at = (self._taken[tasks] + nth) % len(self._scores)
        self._scores[at, tasks], self._labels[at, tasks] = scores[rows, tasks], labels[rows, tasks]
        self.marks[at] = 1
        self._taken += counts

    def held(self, task: int) -> int:
        """How many labels the window of a task holds."""
        return int(min(self._taken[task], len(self._scores)))

    def figures(self, task: int) -> tuple[float, float]:
        """Area under the curve and expected calibration error; NaN where they cannot be told."""
        if self._asked[task] != self._taken[task]:
            self._asked[task] = self._taken[task]
            held = self.held(task)
            p, y = self._scores[:held, task].astype(np.float64), self._labels[:held, task]
            self._figures[task] = auc(p, y > 0.0), calibration_error(p, y)
        curve, error = self._figures[task].tolist()
        return curve, error

    def tables(self) -> dict[str, NDArray[Any]]:
        """(W, K) what has marks, the live arrays."""
        return {"scores": self._scores, "labels": self._labels}

    def rest(self) -> dict[str, NDArray[Any]]:
        """What has none, copied."""
        return {"taken": self._taken.copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `tables` and `rest` together; of another window, the latest labels that fit."""
        self._taken = arrays["taken"].astype(np.int64)
        self._asked[:] = -1
        for task, taken in enumerate(self._taken.tolist()):
            before, at, self._taken[task] = moved(taken, len(arrays["scores"]), len(self._scores))
            for table, name in ((self._scores, "scores"), (self._labels, "labels")):
                table[at, task] = arrays[name][before, task]
