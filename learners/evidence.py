"""How much each task has to go by: whether it is taught at all, and what its forecasts are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, EventBatch
from learners.state_arrays import Arrays
from learners.task import Task
from learners.task_axes import BY_TASK, COUNTED, TaskAxes

_NEVER_S = 1e18  # workers tell each other finite numbers alone


class Evidence:
    """Labels of K tasks, counted.

    Args:
        tasks: Axis K.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        K = len(tasks)
        self._binary = np.array([task.kind != "regression" for task in tasks])
        self._positives, self._negatives = np.zeros((2, K))
        self._answered_s = np.full(K, _NEVER_S)  # event time of the first answer

    @property
    def answered(self) -> BoolArray:
        """(K,) which tasks anybody ever answered."""
        answered: BoolArray = np.asarray(self._positives > 0.0)
        return answered

    @property
    def amounts(self) -> NDArray[np.float64]:
        """(K,) how much each task has to go by: a binary one as many labels as it has of the rarer kind."""
        return np.where(self._binary, np.minimum(self._positives, self._negatives), self._positives)

    def learn_many(self, batch: EventBatch) -> None:
        """Count a step's labels, before anything is taught by them."""
        unanswered = ~self.answered
        self._positives += (batch.labels * batch.label_mask > 0.0).sum(axis=0)
        self._negatives += ((batch.labels == 0.0) & batch.label_mask).sum(axis=0)
        first = unanswered & self.answered
        if first.any():
            moments = batch.histories.now_s if batch.happenings is None else batch.happenings.now_s
            self._answered_s[first] = moments.max()

    def late(self, batch: EventBatch) -> BoolArray | None:
        """(B, K) which labels correct a negative that was taught; None where nobody knows of any.

        What was shown before anybody had ever answered a task taught it nothing when its window closed.
        """
        if batch.late is None:
            return None
        late: BoolArray = batch.late & (batch.histories.now_s[batch.sequence, None] > self._answered_s)
        return late

    def state_dict(self) -> Arrays:
        """All counts."""
        return {
            "positives": self._positives.copy(),
            "negatives": self._negatives.copy(),
            "answered_s": self._answered_s.copy(),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {
            "positives": {0: COUNTED},
            "negatives": {0: COUNTED},
            "answered_s": {0: BY_TASK},
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; other arrays are of no account."""
        self._positives, self._negatives = arrays["positives"].copy(), arrays["negatives"].copy()
        since = np.where(self.answered, 0.0, _NEVER_S)  # earlier versions did not say
        self._answered_s = arrays.get("answered_s", since).copy()
