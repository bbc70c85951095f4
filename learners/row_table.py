"""Columns with a row for each item or user: they grow together, and know which rows changed since they were saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray
from learners.state_arrays import grown
from learners.state_changes import CHANGED, LiveState, Marks, Table

_AT_FIRST = 16


class RowTable:
    """Named columns.

    Args:
        empty: By column, a row that was never written: what type and shape a row has, and one value all over.

    Attributes:
        marks: (N,) whoever writes rows without `mark` sets these himself.
    """

    def __init__(self, **empty: NDArray[Any] | np.generic) -> None:
        self._fill = {name: np.asarray(row).flat[0] for name, row in empty.items()}
        self._columns = {
            name: np.full((_AT_FIRST, *np.shape(row)), self._fill[name], np.asarray(row).dtype)
            for name, row in empty.items()
        }
        self.marks: Marks = np.zeros(_AT_FIRST, np.uint8)

    def __len__(self) -> int:
        return len(self.marks)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """(N, ...) the live column, until the table grows."""
        return self._columns[column]

    def ensure(self, rows: int) -> None:
        """Make room for rows 0 .. rows - 1, doubling."""
        if rows <= len(self):
            return
        for name, column in self._columns.items():
            self._columns[name] = grown(column, rows, fill=self._fill[name])
        self.marks = grown(self.marks, rows)

    def mark(self, rows: IntArray | int) -> None:
        """These were written."""
        self.marks[rows] = CHANGED

    def forget(self, rows: IntArray) -> IntArray:
        """Empty those of the rows that there are, and return them."""
        rows = rows[rows < len(self)]
        for name, column in self._columns.items():
            column[rows] = self._fill[name]
        self.mark(rows)
        return rows

    def live_state(self, rows: int | None = None) -> LiveState:
        """All columns; where not all rows are in use, the first so many of them."""
        return {
            name: Table(column[:rows], self.marks, self._fill[name]) for name, column in self._columns.items()
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Columns as they were saved; other arrays are of no account."""
        self._columns = {
            name: arrays[name].astype(column.dtype, copy=False) for name, column in self._columns.items()
        }
        self.marks = np.zeros(len(next(iter(self._columns.values()))), np.uint8)
