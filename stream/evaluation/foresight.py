"""What the tasks foresaw when there was still something to foresee: at the impression, not when its label came.

The pipeline's own forecast of a label is made when the label becomes known, which is right for learning, but
by then a purchase may have been betrayed by the click before it. Here every event is forecast at its own
moment, and the forecast waits with it for the label.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import EventBatch
from learners.learner import Learner
from stream.attribution import LabelRows
from stream.batching import Arrivals, Batcher
from stream.user_states import UserStates

_WINDOWS_KEPT = 2  # a closed window is noticed at the next event, which may come late
_Key = tuple[int, int, int]


class ForeseeingBatcher(Batcher):
    """A batcher that has the learner forecast every event of a step before the step learns anything.

    Args:
        event_types: As for `Batcher`.
        target_types: As for `Batcher`.
        learner: That forecasts; `predict_many` leaves no trace in it.
    """

    def __init__(self, event_types: Sequence[str], target_types: frozenset[str], learner: Learner) -> None:
        super().__init__(event_types, target_types)
        self._learner = learner
        self._keep_ms = 1000.0 * _WINDOWS_KEPT * max(task.window_s for task in learner.tasks)
        self._waiting: OrderedDict[_Key, NDArray[np.float32]] = OrderedDict()
        self.seconds = 0.0
        """What forecasting has taken so far."""
        self.of_labels: NDArray[np.float32] = np.zeros((0, len(learner.tasks)), np.float32)
        """(L, K) forecasts of the labels of the latest step."""
        self.found: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """(L,) whether there was one; a forgotten user's or item's row may have lost it."""

    def batch(self, arrivals: Arrivals, labels: LabelRows, states: UserStates, tasks: int) -> EventBatch:
        """See `Batcher`; forecasts the arrivals, and finds the forecasts of the labels.

        Raises:
            FloatingPointError: A forecast is not finite.
        """
        started = time.perf_counter()
        columns = arrivals.columns
        B = len(columns.users)
        forecasts = self._learner.predict_many(
            EventBatch(
                histories=states.histories(columns.users, columns.as_of, columns.times_ms, columns),
                sequence=np.arange(B),
                item_rows=columns.items,
                position=arrivals.position,
                target=np.zeros(B, np.bool_),
                labels=np.zeros((B, tasks), np.float32),
                label_mask=np.ones((B, tasks), np.bool_),
            )
        ).task_scores
        if not np.isfinite(forecasts).all():
            raise FloatingPointError("A task's forecast is not finite.")
        keys = _keys(columns.users, columns.items, columns.times_ms)
        for key, forecast in zip(keys, forecasts, strict=True):
            self._waiting.setdefault(key, forecast)  # the first of equal ones opens the row that waits
        wanted = _keys(labels.users, labels.items, labels.moments_ms)
        nothing = np.zeros(tasks, np.float32)
        self.found = np.array([key in self._waiting for key in wanted], np.bool_)
        self.of_labels = np.array([self._waiting.get(key, nothing) for key in wanted], np.float32).reshape(
            -1, tasks
        )
        self._forget(int(columns.times_ms.max()))
        self.seconds += time.perf_counter() - started
        return super().batch(arrivals, labels, states, tasks)

    def _forget(self, now_ms: int) -> None:
        while self._waiting and next(iter(self._waiting))[2] < now_ms - self._keep_ms:
            self._waiting.popitem(last=False)


def _keys(users: NDArray[np.int64], items: NDArray[np.int64], times_ms: NDArray[np.int64]) -> list[_Key]:
    return list(zip(users.tolist(), items.tolist(), times_ms.tolist(), strict=True))
