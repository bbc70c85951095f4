"""Copies of some rows of a table, side by side: to gather rows that lie apart takes longer than a product with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from learners.embedding_table import EmbeddingTable
from learners.event_batch import IntArray
from learners.row_index import ABSENT
from learners.state_arrays import grown


class RecentVectors:
    """The vectors of the latest rows of a list that grows at its end, kept as the table has them.

    The row at place n of the list stands in slot n modulo the number of slots, so a row that is new takes the place of
    the oldest one, and where a row stands depends on the list alone.

    Args:
        table: Whose rows.
        most: How many slots.
    """

    def __init__(self, table: EmbeddingTable, most: int) -> None:
        self._table, self._most = table, most
        self._rows: IntArray = np.zeros(0, np.int64)
        self._vectors = torch.zeros(0, table.weight.shape[1], device=table.weight.device)

    def take(self, rows: IntArray) -> tuple[IntArray, Tensor]:
        """The latest of all rows (N,) and their vectors: (M,) and (M, D), until the next call."""
        turn = len(rows) // self._most * self._most
        wanted = np.concatenate([rows[turn:], rows[max(len(rows) - self._most, 0) : turn]])
        M = len(wanted)
        self._grow(M)
        slots = np.flatnonzero((self._rows[:M] != wanted) | self._table.written(wanted))
        if len(slots):
            stale = wanted[slots]
            device = self._vectors.device
            self._vectors[torch.from_numpy(slots).to(device)] = self._table.take(
                torch.from_numpy(stale).to(device)
            )
            self._rows[slots] = stale
            self._table.seen(stale)
        return wanted, self._vectors[:M]

    def _grow(self, slots: int) -> None:
        have = len(self._rows)
        self._rows = grown(self._rows, slots, fill=ABSENT)
        more = self._vectors.new_empty(len(self._rows) - have, self._vectors.shape[1])
        self._vectors = torch.cat([self._vectors, more]) if len(more) else self._vectors
