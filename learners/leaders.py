"""The best n rows by several keys at once, kept exactly while keys of touched rows rise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray
from learners.state_arrays import Arrays


class Leaders:
    """For each of P keys the n rows with the largest values.

    A row's keys may only grow, and only when it is touched. Then the best n are always among the former
    best n and the touched rows, so an update costs O(touched + n), whatever the catalogue's size.

    Args:
        columns: P, how many keys there are.
        n: How many rows are kept for each.
    """

    def __init__(self, columns: int, n: int) -> None:
        self._n = n
        self._rows: list[IntArray] = [np.zeros(0, np.int64) for _ in range(columns)]

    def update(
        self, rows: IntArray, keys: NDArray[np.float64], leader_keys: list[NDArray[np.float64]]
    ) -> None:
        """Let touched rows compete.

        Args:
            rows: (R,) touched rows, each once.
            keys: (R, P) their keys.
            leader_keys: For each column the present keys of its present leaders (`rows_of(column)`).
        """
        for column, leaders in enumerate(self._rows):
            old = ~np.isin(leaders, rows)
            contenders = np.concatenate([leaders[old], rows])
            values = np.concatenate([leader_keys[column][old], keys[:, column]])
            if len(contenders) > self._n:
                best = np.argpartition(-values, self._n - 1)[: self._n]
                contenders = contenders[best]
            self._rows[column] = contenders

    def rows_of(self, column: int) -> IntArray:
        """The leaders by one key, in no order."""
        return self._rows[column]

    def all_rows(self) -> IntArray:
        """The leaders by any key, each once."""
        return np.unique(np.concatenate(self._rows)) if self._rows else np.zeros(0, np.int64)

    def reset(self, rows: IntArray, keys: NDArray[np.float64]) -> None:
        """Start anew from all rows in use: after rows were given up."""
        self._rows = [np.zeros(0, np.int64) for _ in self._rows]
        self.update(rows, keys, [np.zeros(0) for _ in self._rows])

    def state_dict(self) -> Arrays:
        """(P, rows) the leaders: where keys tie at the edge, they depend on what came before."""
        return {"rows": np.stack(self._rows)}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._rows = list(arrays["rows"].copy())
