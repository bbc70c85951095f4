"""The best n rows by several keys at once, kept exactly while keys of touched rows rise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays


class Leaders(NamedTuple):
    """For each of G keys the n rows with the largest values.

    A row's keys may only grow, and only when it is touched. Then the best n are always among the former
    best n and the touched row, so an update costs O(n), whatever the catalogue's size.

    Attributes:
        rows: (G, n) row numbers, in no order; `ABSENT` where there are fewer.
        keys: (G, n) their keys; -inf where there are fewer.
    """

    rows: IntArray
    keys: NDArray[np.float64]

    @classmethod
    def empty(cls, groups: int, n: int) -> Leaders:
        """No leaders yet."""
        return cls(np.full((groups, n), ABSENT, np.int64), np.full((groups, n), -np.inf))

    def best_first(self, group: int) -> IntArray:
        """The leaders by one key."""
        filled = self.rows[group] != ABSENT
        order = np.argsort(-self.keys[group][filled], kind="stable")
        best: IntArray = self.rows[group][filled][order]
        return best

    def all_rows(self) -> IntArray:
        """The leaders by any key, each once."""
        rows = np.unique(self.rows)
        filled: IntArray = rows[rows != ABSENT]
        return filled

    def reset(self, rows: IntArray, keys: NDArray[np.float64]) -> None:
        """Start anew from all rows in use: after rows were given up.

        Args:
            rows: (R,) row numbers.
            keys: (R, G) their keys.
        """
        self.rows[:] = ABSENT
        self.keys[:] = -np.inf
        best = np.argsort(-keys, axis=0, kind="stable")[: self.rows.shape[1]].T  # (G, n')
        self.rows[:, : best.shape[1]] = rows[best]
        self.keys[:, : best.shape[1]] = np.take_along_axis(keys.T, best, axis=1)

    def state_dict(self) -> Arrays:
        """The leaders: where keys tie at the edge, they depend on what came before."""
        return {"rows": self.rows.copy(), "keys": self.keys.copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self.rows[:] = arrays["rows"]
        self.keys[:] = arrays["keys"]


@compiled
def lead(leaders: Leaders, group: int, row: int, key: float) -> None:
    """Let a touched row compete by one key."""
    weakest = 0
    for place in range(leaders.rows.shape[1]):
        if leaders.rows[group, place] == row:
            leaders.keys[group, place] = key
            return
        if leaders.keys[group, place] < leaders.keys[group, weakest]:
            weakest = place
    if key > leaders.keys[group, weakest]:
        leaders.rows[group, weakest] = row
        leaders.keys[group, weakest] = key
