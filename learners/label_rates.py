"""How often a user, and an item, was answered with yes: decayed counts for each task, as features of its heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.counts.decay import AS_OF_S
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.row_table import RowTable
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import LiveState, whole
from learners.task_axes import BY_TASK, COUNTED, Axis, Each, Rest, TaskAxes, width

_SHRINKAGE = 10.0  # labels of the common rate that a user or an item begins with
_POOLED = 1.0  # positives of all tasks together that a user or an item begins with
_MOST_LIFT = 4.0
_MOST_LABELS = 1 << 20
_PRIOR = (0.5, 1.0)  # positives and labels of a task that everybody begins with

RATES: Axis = (Each(fill=0.0), Each(fill=0.0), Rest(4))
"""What stands along R: a lift of the user and one of the item for each task, then both over all, and their labels.

A task without labels has lift 0, and whatever reads it begins with weight 0: nobody else's forecast depends on it.
"""


class LabelRates:
    """Lifts of users' and items' rates over the common one.

    A rate is shrunk to the common one, (positives + m g) / (labels + m): whoever has no labels has lift 0.

    Args:
        tasks: K.
        half_life_s: After this time a label counts half.
    """

    def __init__(self, tasks: int, half_life_s: float = 60 * 86_400.0) -> None:
        self.tasks = tasks
        self._users = _Counts(tasks, half_life_s)
        self._items = _Counts(tasks, half_life_s)
        self._half_life_s = half_life_s
        self._common, self._common_at_s = np.zeros((2, tasks)), -np.inf  # positives and labels of everybody

    def describe(
        self, users: IntArray, items: IntArray, now_s: NDArray[np.float64], sequence: IntArray
    ) -> FloatArray:
        """(B, R): log lifts of user (K) and item (K), both over all tasks, and logs of how many labels there are.

        A rare task learns more from what a user does with all others than from its own few positives.

        Args:
            users: (S,) user rows.
            items: (B,) item rows.
            now_s: (S,) the users' moments.
            sequence: (B,) whose items these are.
        """
        of_users = self._rates(self._users, users, now_s)
        of_items = self._rates(self._items, items, now_s[sequence])
        pairs = zip(of_users, of_items, strict=True)
        return np.concatenate(
            [part for user, item in pairs for part in (user.take(sequence, axis=0), item)], axis=1
        )

    def _rates(
        self, counts: _Counts, rows: IntArray, now_s: NDArray[np.float64]
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(N, K) lifts of rows (N,) at moments, (N, 1) over all tasks, and (N, 1) how many labels there are."""
        rate = ((self._common[0] + _PRIOR[0]) / (self._common[1] + _PRIOR[1])).astype(np.float32)
        positives, known = counts.at(rows, now_s)
        lift = np.log((positives / rate + _SHRINKAGE) / (known + _SHRINKAGE))
        pooled = np.log((positives.sum(axis=1, keepdims=True) + _POOLED) / (known @ rate[:, None] + _POOLED))
        size = np.log1p(known.max(axis=1, initial=0.0, keepdims=True)) / 4.0
        return np.clip(lift, -_MOST_LIFT, _MOST_LIFT), np.clip(pooled, -_MOST_LIFT, _MOST_LIFT), size

    def learn_many(
        self,
        users: IntArray,
        items: IntArray,
        labels: FloatArray,
        mask: BoolArray,
        late: BoolArray,
        now_s: NDArray[np.float64],
    ) -> None:
        """Count (L, K) labels that became known; a late positive takes its negative back.

        Args:
            users: (L,) user rows.
            items: (L,) item rows.
            labels: (L, K) values.
            mask: (L, K) which are known.
            late: (L, K) which are late positives.
            now_s: (L,) the moments to which they belong.
        """
        positives = np.where(mask, labels, 0.0).astype(np.float32)
        known = (mask & ~late).astype(np.float32)
        self._add_common(positives, known, now_s)
        self._users.add(users, positives, known, now_s)
        self._items.add(items, positives, known, now_s)

    def _add_common(self, positives: FloatArray, known: FloatArray, now_s: NDArray[np.float64]) -> None:
        """Add (L, K) counts of everybody, each fading from its own moment on."""
        if not len(now_s):
            return
        newest_s = max(float(now_s.max()), self._common_at_s)
        fading = 0.5 ** ((newest_s - now_s) / self._half_life_s)
        self._common *= 0.5 ** ((newest_s - self._common_at_s) / self._half_life_s)
        self._common += fading @ positives, fading @ known
        self._common_at_s = newest_s

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Users or items that are gone: their rows will be used for others."""
        if users is not None:
            self._users.forget(users)
        if items is not None:
            self._items.forget(items)

    def live_state(self) -> LiveState:
        """All counts."""
        return {
            **nest("users", self._users.live_state()),
            **nest("items", self._items.live_state()),
            "common": self._common.copy(),
            "common_at_s": np.array([self._common_at_s]),
        }

    def state_dict(self) -> Arrays:
        """All counts as arrays."""
        return whole(self.live_state())

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {"users.counts": {2: COUNTED}, "items.counts": {2: COUNTED}, "common": {1: BY_TASK}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._users.load_state_dict(unnest("users", arrays))
        self._items.load_state_dict(unnest("items", arrays))
        self._common = arrays["common"].copy()
        # Earlier versions never forgot, and did not say until when they had counted.
        until_s = self._users.newest_s if "common_at_s" not in arrays else float(arrays["common_at_s"][0])
        self._common_at_s = until_s


def rates_width(tasks: int) -> int:
    """R, numbers of a row for K tasks, see `RATES`."""
    return width(RATES, tasks)


class _Counts:
    """Positives and labels of each row, as of at most an hour before its latest label.

    What comes meanwhile weighs more (forward decay, see `counts.popularity`). Where there are too many labels for
    floats to count on, both are halved: it is their ratio that matters.
    """

    def __init__(self, tasks: int, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._rows = RowTable(counts=np.zeros((2, tasks), np.float32), at_s=np.float64(0.0))

    @property
    def newest_s(self) -> float:
        """When anything was counted last, or up to an hour before."""
        return float(self._rows["at_s"].max())

    def at(self, rows: IntArray, now_s: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
        """(B, K) positives and (B, K) labels of rows at moments; rows that were never touched have none."""
        there = rows < len(self._rows)
        own = np.where(there, rows, 0)
        fading = np.maximum(now_s - self._rows["at_s"][own], 0.0) / self._half_life_s
        counts = self._rows["counts"][own] * (there * 0.5**fading)[:, None, None].astype(np.float32)
        return counts[:, 0], counts[:, 1]

    def add(
        self, rows: IntArray, positives: FloatArray, known: FloatArray, now_s: NDArray[np.float64]
    ) -> None:
        """Add (L, K) counts to (L,) rows, each fading from its own moment on."""
        if not len(rows):
            return
        self._rows.ensure(int(rows.max()) + 1)
        counts, at_s = self._rows["counts"], self._rows["at_s"]
        unique, inverse = np.unique(rows, return_inverse=True)
        self._rows.mark(unique)
        latest = at_s[unique]
        np.maximum.at(latest, inverse, now_s)
        ahead = latest - at_s[unique]
        stale = ahead > AS_OF_S
        kept = 0.5 ** (ahead[stale] / self._half_life_s)
        counts[unique[stale]] *= kept[:, None, None].astype(np.float32)
        at_s[unique[stale]] = latest[stale]
        weight = 2.0 ** ((now_s - at_s[rows]) / self._half_life_s)
        np.add.at(
            counts,
            rows,
            np.stack([positives, known], axis=1) * weight[:, None, None].astype(np.float32),
        )
        counts[unique] *= np.where(counts[unique, 1:] > _MOST_LABELS, np.float32(0.5), np.float32(1.0))

    def forget(self, rows: IntArray) -> None:
        self._rows.forget(rows)

    def live_state(self) -> LiveState:
        return self._rows.live_state()

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._rows.load_state_dict(arrays)
