"""For each row the rows that go with it: a bounded list of decayed weights, the weakest giving way to a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.decay import left
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, grown
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole

PRIOR = 0.5
"""Added to a row's total weight, so that what was seen once is no certainty."""


class Neighbours(NamedTuple):
    """M neighbours of N rows by J weights; what compiled loops take.

    The first weights decay with time, by `half_lives_s`; the others by a factor each time the row is touched,
    by `kept_per_touch`. The latter are free of any time scale: "among the last few that came after it".

    Attributes:
        rows: (N, M) the neighbours, `ABSENT` in empty slots, which come last.
        weights: (N, M, J) how strongly each goes with the row, as of `touched_s`.
        totals: (N, J) the same, summed over all that ever went with the row.
        touched_s: (N,) event time of the latest addition.
        marks: (N,) which rows changed since they were saved.
        half_lives_s: (P,).
        kept_per_touch: (J - P,).
    """

    rows: NDArray[np.int32]
    weights: FloatArray
    totals: FloatArray
    touched_s: NDArray[np.float64]
    marks: Marks
    half_lives_s: NDArray[np.float64]
    kept_per_touch: FloatArray


class NeighbourTable:
    """Holds neighbours and lets them grow, be forgotten, saved and restored.

    Args:
        neighbours: M.
        half_lives_s: Of the weights that decay with time.
        kept_per_touch: Factors of those that decay when touched.
    """

    def __init__(
        self, neighbours: int, half_lives_s: NDArray[np.float64], kept_per_touch: tuple[float, ...] = ()
    ) -> None:
        J = len(half_lives_s) + len(kept_per_touch)
        self.arrays = Neighbours(
            rows=np.full((16, neighbours), ABSENT, np.int32),
            weights=np.zeros((16, neighbours, J), np.float32),
            totals=np.zeros((16, J), np.float32),
            touched_s=np.full(16, -np.inf),
            marks=np.zeros(16, np.uint8),
            half_lives_s=half_lives_s,
            kept_per_touch=np.array(kept_per_touch, np.float32),
        )

    def ensure(self, rows: int) -> None:
        """Make room for rows 0 .. rows - 1."""
        of = self.arrays
        if rows > len(of.rows):
            self.arrays = of._replace(
                rows=grown(of.rows, rows, fill=ABSENT),
                weights=grown(of.weights, rows),
                totals=grown(of.totals, rows),
                touched_s=grown(of.touched_s, rows, fill=-np.inf),
                marks=grown(of.marks, rows),
            )

    def learn_many(self, rows: IntArray, neighbours: IntArray, amounts: FloatArray, now_s: Any) -> None:
        """Add pairs (B,) by amounts (B,) at the moments (B,), one after the other."""
        self.ensure(int(max(rows.max(initial=-1), neighbours.max(initial=-1))) + 1)
        for row, neighbour, amount, now in zip(rows, neighbours, amounts, now_s, strict=True):
            strengthen(self.arrays, row, neighbour, amount, now)

    def shares(self, row: int, now_s: float) -> tuple[NDArray[np.int32], FloatArray]:
        """The neighbours of a row at a moment: (M,) rows and (M, J) shares of the row's total, prior included."""
        shares = np.zeros_like(self.arrays.weights[0])
        if 0 <= row < len(self.arrays.rows):
            factors = np.zeros(shares.shape[1], np.float32)
            share_factors(self.arrays, row, now_s, factors)
            shares = self.arrays.weights[row] * factors
            return self.arrays.rows[row].copy(), shares
        return np.full(len(shares), ABSENT, np.int32), shares

    def forget(self, rows: IntArray, neighbours: IntArray | None = None) -> None:
        """Give up rows whose owners are gone, as rows and as neighbours.

        Args:
            rows: Of the table.
            neighbours: What is given up as neighbours, where that is something else than rows.
        """
        own = rows[rows < len(self.arrays.rows)]
        self.arrays.rows[own] = ABSENT
        self.arrays.weights[own] = 0.0
        self.arrays.totals[own] = 0.0
        self.arrays.touched_s[own] = -np.inf
        self.arrays.marks[own] = CHANGED
        gone = np.zeros(int(self.arrays.rows.max(initial=0)) + 1, np.bool_)
        others = rows if neighbours is None else neighbours
        gone[others[others < len(gone)]] = True
        _close_gaps(self.arrays, gone)

    def live_state(self) -> LiveState:
        """All neighbours."""
        of = self.arrays
        return {
            "rows": Table(of.rows, of.marks, ABSENT),
            "weights": Table(of.weights, of.marks),
            "totals": Table(of.totals, of.marks),
            "touched_s": Table(of.touched_s, of.marks, -np.inf),
        }

    def state_dict(self) -> Arrays:
        """All neighbours as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with another number of neighbours or of weights.
        """
        have, saved = self.arrays.weights.shape[1:], arrays["weights"].shape[1:]
        if saved != have:
            raise ValueError(f"saved with neighbours and weights {saved}, configured are {have}")
        self.arrays = self.arrays._replace(
            **{name: arrays[name].copy() for name in self.live_state()},
            marks=np.zeros(len(arrays["rows"]), np.uint8),
        )


@compiled
def strengthen(table: Neighbours, row: int, neighbour: int, amount: float, now_s: float) -> None:
    """Let `neighbour` go with `row` by `amount` more; everything else of the row decays until now.

    An event out of order adds what would be left of it by now.
    """
    M, J, P = table.weights.shape[1], table.weights.shape[2], len(table.half_lives_s)
    table.marks[row] = CHANGED
    elapsed = now_s - table.touched_s[row]
    slot, weakest, least = -1, 0, np.inf
    for m in range(M):
        if table.rows[row, m] == ABSENT:
            if slot < 0:
                weakest, least = m, -1.0
            break
        if table.rows[row, m] == neighbour:
            slot = m
    for j in range(J):
        kept = left(elapsed, table.half_lives_s[j]) if j < P else table.kept_per_touch[j - P]
        added = amount
        if j < P and elapsed < 0.0:
            added = amount * left(-elapsed, table.half_lives_s[j])
        table.totals[row, j] = table.totals[row, j] * kept + added
        for m in range(M):
            if table.rows[row, m] == ABSENT:
                break
            table.weights[row, m, j] *= kept
    table.touched_s[row] = max(table.touched_s[row], now_s)
    if slot < 0:
        if least >= 0.0:
            for m in range(M):
                strength = 0.0
                for j in range(P):
                    strength += table.weights[row, m, j]
                if strength < least:
                    weakest, least = m, strength
        slot = weakest
        table.rows[row, slot] = neighbour
        for j in range(J):
            table.weights[row, slot, j] = 0.0
    for j in range(J):
        added = amount
        if j < P and elapsed < 0.0:
            added = amount * left(-elapsed, table.half_lives_s[j])
        table.weights[row, slot, j] += added


@compiled
def share_factors(table: Neighbours, row: int, now_s: float, out: FloatArray) -> None:
    """(J,) what a row's weights are multiplied by at a moment to be shares of its decayed total plus a prior."""
    elapsed = now_s - table.touched_s[row]
    for j in range(len(out)):
        kept = left(elapsed, table.half_lives_s[j]) if j < len(table.half_lives_s) else 1.0
        out[j] = kept / (table.totals[row, j] * kept + PRIOR)


@compiled
def _close_gaps(table: Neighbours, gone: NDArray[np.bool_]) -> None:
    """Drop neighbours that are gone; the others move up, since filled slots come first."""
    for row in range(len(table.rows)):
        to = 0
        for m in range(table.rows.shape[1]):
            neighbour = table.rows[row, m]
            if neighbour == ABSENT:
                break
            if gone[neighbour]:
                table.marks[row] = CHANGED
                continue
            if to < m:
                table.rows[row, to] = neighbour
                table.weights[row, to] = table.weights[row, m]
            to += 1
        for m in range(to, table.rows.shape[1]):
            if table.rows[row, m] == ABSENT:
                break
            table.rows[row, m] = ABSENT
            table.weights[row, m] = 0.0
