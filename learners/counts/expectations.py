"""How often an item is chosen, over how often the ranker expected it: what the other counts have not told yet.

The ratio goes back into the ranker as a feature. It is boosting's idea (fit what is left: Friedman, 2001,
"Greedy function approximation"), with one number an item and a memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.decay import left, left_of
from learners.event_batch import FloatArray, IntArray
from learners.log_shares import log_shares
from learners.row_index import ABSENT
from learners.row_table import RowTable
from learners.state_arrays import Arrays
from learners.state_changes import CHANGED, LiveState, Marks, whole

HALF_LIVES_CHOICES = np.array([300.0, 3_000.0])
"""Memory, in ranked choices of anything."""

_LEAST_SHARE = 1e-4
_PRIOR = 0.5


class ExpectationArrays(NamedTuple):
    """What compiled loops take.

    Attributes:
        expected: (N, 2) decayed sums of the probabilities that the ranker gave.
        chosen: (N, 2) decayed choices, of those that were ranked.
        touched_n: (N,) at which ranked choice both were up to date.
        marks: (N,) which rows changed since they were saved.
    """

    expected: FloatArray
    chosen: FloatArray
    touched_n: IntArray
    marks: Marks


class Expectations:
    """Compares what the ranker expected with what was chosen."""

    def __init__(self) -> None:
        nothing = np.zeros(len(HALF_LIVES_CHOICES), np.float32)
        self._items = RowTable(expected=nothing, chosen=nothing, touched_n=np.int64(0))
        self.ranked = 0

    @property
    def arrays(self) -> ExpectationArrays:
        """For compiled loops; valid until the next call that makes room."""
        of = self._items
        return ExpectationArrays(of["expected"], of["chosen"], of["touched_n"], of.marks)

    def learn_many(self, rows: IntArray, scores: FloatArray, chosen: IntArray) -> None:
        """Compare.

        Args:
            rows: (T, C) candidates, `ABSENT` where there are fewer.
            scores: (T, C) the ranker's scores: logarithms of what was expected, but for a constant.
            chosen: (T,) the chosen items, candidates all of them: where none could be chosen, to expect one of them
                would make every known item seem chosen less than it should be.
        """
        if len(rows):
            _learn_many(self.arrays, rows, _shares(rows, scores), chosen, self.ranked)
            self.ranked += len(rows)

    def exceeded(self, rows: IntArray) -> FloatArray:
        """(2, N) choices over expected choices of items (N,); around 1, and 1 where nothing is known."""
        of = self.arrays
        kept = left_of(self.ranked - of.touched_n[rows], HALF_LIVES_CHOICES)
        chosen, expected = of.chosen.take(rows, axis=0).T, of.expected.take(rows, axis=0).T
        ratios: FloatArray = (chosen * kept + _PRIOR) / (expected * kept + _PRIOR)
        return ratios

    def ensure(self, rows: int) -> None:
        """Make room for item rows 0 .. rows - 1."""
        self._items.ensure(rows)

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        self._items.forget(rows)

    def live_state(self) -> LiveState:
        """Everything."""
        return {**self._items.live_state(), "ranked": np.array([self.ranked])}

    def state_dict(self) -> Arrays:
        """Everything as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._items.load_state_dict(arrays)
        self.ranked = int(arrays["ranked"][0])


def _shares(rows: IntArray, scores: FloatArray) -> FloatArray:
    """(T, C) probabilities from scores, 0 where there is no candidate or its score is no number."""
    there = (rows != ABSENT) & np.isfinite(scores)
    shares: FloatArray = np.where(there, np.exp(log_shares(scores, there)), 0.0)
    return shares


@compiled
def _learn_many(
    of: ExpectationArrays, rows: IntArray, shares: FloatArray, chosen: IntArray, ranked: int
) -> None:
    T, C = rows.shape
    for t in range(T):
        for c in range(C):
            row = rows[t, c]
            if row == ABSENT:
                continue
            share = shares[t, c]
            if share < _LEAST_SHARE and row != chosen[t]:
                continue
            for h in range(len(HALF_LIVES_CHOICES)):
                kept = left(float(ranked + t - of.touched_n[row]), HALF_LIVES_CHOICES[h])
                of.expected[row, h] = of.expected[row, h] * kept + share
                of.chosen[row, h] = of.chosen[row, h] * kept + (1.0 if row == chosen[t] else 0.0)
            of.touched_n[row] = ranked + t
            of.marks[row] = CHANGED
