"""For each row the rows that go with it: a bounded list of decayed weights, the weakest giving way to a new one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.decay import AS_OF_S, MAX_HALVINGS, left
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, grown
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole

PRIOR = 0.5
"""Added to a row's total weight, so that what was seen once is no certainty."""

_BLOCK = 4  # places that are marked together, and the smallest list
_NO_LIST = 0
_GROWTH = 1.25


class Neighbours(NamedTuple):
    """At most M neighbours of each of N rows, by J weights; what compiled loops take.

    A row's neighbours stand in a list of places one after the other, among P places of all rows. Most rows have few
    neighbours, so lists begin with four places; one that is full moves to one of twice as many, and what it leaves is
    the next list of that size. Size 0 is no list at all.

    The first weights decay with time, by `half_lives_s`; the others by a factor each time the row is touched,
    by `kept_per_touch`. The latter are free of any time scale: "among the last few that came after it".

    What decays with time is as of a moment that may lie an hour back, and what is added later counts as much more as
    it will have decayed less (forward decay; Cormode et al., ICDE 2009). To decay all of a row at each addition would
    be to decay nothing where many come: what is lost in a second, at a half-life of months, no float can hold.

    Attributes:
        rows: (P,) the neighbours; in the first place of a list that is nobody's the next one of its size, or `ABSENT`.
        weights: (P, J) how strongly each goes with the row, as of `as_of_s`.
        block_marks: (P / 4,) in which places something changed since they were saved.
        first: (N,) where each row's list begins.
        size: (N,) number of its size.
        filled: (N,) how many neighbours it has.
        totals: (N, J) the same as the weights, summed over all that ever went with the row: of more than a million
            additions floats of 32 bits would lose the small ones.
        as_of_s: (N,) event time, at most an hour before the latest addition.
        marks: (N,) which rows changed since they were saved.
        vacant: (S + 1,) the first list of each size that is nobody's, or `ABSENT`; and how many places have been taken.
        sizes: (S,) how many places a list of a size has; the last has M of them, or up to three more.
        most: (1,) M.
        half_lives_s: (T,).
        kept_per_touch: (J - T,).
    """

    rows: NDArray[np.int32]
    weights: FloatArray
    block_marks: Marks
    first: NDArray[np.int32]
    size: NDArray[np.uint8]
    filled: NDArray[np.int32]
    totals: NDArray[np.float64]
    as_of_s: NDArray[np.float64]
    marks: Marks
    vacant: IntArray
    sizes: IntArray
    most: IntArray
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
        sizes = _sizes(neighbours)
        self.arrays = Neighbours(
            rows=np.zeros(_BLOCK, np.int32),
            weights=np.zeros((_BLOCK, J), np.float32),
            block_marks=np.zeros(1, np.uint8),
            first=np.zeros(16, np.int32),
            size=np.full(16, _NO_LIST, np.uint8),
            filled=np.zeros(16, np.int32),
            totals=np.zeros((16, J)),
            as_of_s=np.full(16, -np.inf),
            marks=np.zeros(16, np.uint8),
            vacant=np.append(np.full(len(sizes), ABSENT, np.int64), 0),
            sizes=sizes,
            most=np.array([neighbours]),
            half_lives_s=half_lives_s,
            kept_per_touch=np.array(kept_per_touch, np.float32),
        )

    def __len__(self) -> int:
        """How many rows there is room for."""
        return len(self.arrays.filled)

    def ensure(self, rows: int, additions: int = 0) -> None:
        """Make room for rows 0 .. rows - 1, and for so many calls of `strengthen`."""
        of = self.arrays
        if rows > len(of.filled):
            of = self.arrays = of._replace(
                first=grown(of.first, rows),
                size=grown(of.size, rows),
                filled=grown(of.filled, rows),
                totals=grown(of.totals, rows),
                as_of_s=grown(of.as_of_s, rows, fill=-np.inf),
                marks=grown(of.marks, rows),
            )
        if not has_room(of, additions):
            needed = self.taken + additions * int(of.sizes[-1])
            places = max(needed, int(_GROWTH * len(of.rows))) // _BLOCK * _BLOCK + _BLOCK
            self.arrays = of._replace(
                rows=_longer(of.rows, places),
                weights=_longer(of.weights, places),
                block_marks=_longer(of.block_marks, places // _BLOCK),
            )

    def learn_many(self, rows: IntArray, neighbours: IntArray, amounts: FloatArray, now_s: Any) -> None:
        """Add pairs (B,) by amounts (B,) at the moments (B,), one after the other."""
        self.ensure(int(max(rows.max(initial=-1), neighbours.max(initial=-1))) + 1, len(rows))
        for row, neighbour, amount, now in zip(rows, neighbours, amounts, now_s, strict=True):
            strengthen(self.arrays, row, neighbour, amount, now)

    @property
    def taken(self) -> int:
        """How many places are in lists, or were."""
        return int(self.arrays.vacant[-1])

    def of(self, row: int) -> NDArray[np.int32]:
        """The neighbours of a row."""
        return list_of(self.arrays, row)[0]

    def shares(self, row: int, now_s: float) -> tuple[NDArray[np.int32], FloatArray]:
        """The neighbours of a row at a moment: (n,) rows and (n, J) shares of the row's total, prior included."""
        of = self.arrays
        if not 0 <= row < len(self):
            return of.rows[:0], of.weights[:0]
        factors = np.zeros(of.weights.shape[1], np.float32)
        share_factors(of, row, now_s, factors)
        rows, weights = list_of(of, row)
        return rows.copy(), weights * factors

    def forget(self, rows: IntArray, neighbours: IntArray | None = None) -> None:
        """Give up rows whose owners are gone, as rows and as neighbours.

        Args:
            rows: Of the table.
            neighbours: What is given up as neighbours, where that is something else than rows.
        """
        of = self.arrays
        own = rows[rows < len(self)]
        for row in own.tolist():
            _vacate(of, row)
        of.totals[own] = 0.0
        of.as_of_s[own] = -np.inf
        of.marks[own] = CHANGED
        gone = np.zeros(int(of.rows.max(initial=0)) + 1, np.bool_)
        others = rows if neighbours is None else neighbours
        gone[others[others < len(gone)]] = True
        _close_gaps(of, gone)

    def live_state(self) -> LiveState:
        """All neighbours."""
        of = self.arrays
        taken, J = self.taken, of.weights.shape[1]
        return {
            "places": Table(of.rows[:taken].reshape(-1, _BLOCK), of.block_marks),
            "place_weights": Table(of.weights[:taken].reshape(-1, _BLOCK, J), of.block_marks),
            "first": Table(of.first, of.marks),
            "size": Table(of.size, of.marks),
            "filled": Table(of.filled, of.marks),
            "totals": Table(of.totals, of.marks),
            "touched_s": Table(of.as_of_s, of.marks, -np.inf),
            "vacant": of.vacant.copy(),
            "most": of.most.copy(),
        }

    def state_dict(self) -> Arrays:
        """All neighbours as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with another number of neighbours or of weights.
        """
        if "rows" in arrays:  # as older versions have it
            arrays = {**arrays, **_of_squares(arrays["rows"], arrays["weights"])}
        of = self.arrays
        have = int(of.most[0]), of.weights.shape[1]
        saved = int(arrays["most"][0]), arrays["place_weights"].shape[2]
        if saved != have:
            raise ValueError(
                f"saved with learner.neighbours = {saved[0]} (and {saved[1]} weights each), configured is {have[0]} "
                f"(and {have[1]})"
            )
        self.arrays = of._replace(
            **{name: arrays[name] for name in ("first", "size", "filled", "vacant")},
            totals=arrays["totals"].astype(np.float64, copy=False),  # earlier versions had 32 bits
            as_of_s=arrays["touched_s"],
            rows=arrays["places"].reshape(-1),
            weights=arrays["place_weights"].reshape(-1, have[1]),
            block_marks=np.zeros(len(arrays["places"]), np.uint8),
            marks=np.zeros(len(arrays["filled"]), np.uint8),
        )


def laid_out(filled: IntArray, most: int) -> Arrays:
    """Lists one after the other, as a state has them, but for what stands in them.

    Args:
        filled: (N,) how many neighbours each row has.
        most: M.
    """
    sizes = _sizes(most)
    size = np.where(filled > 0, np.searchsorted(sizes, filled), _NO_LIST)
    ends = np.cumsum(sizes[size])
    return {
        "first": (ends - sizes[size]).astype(np.int32),
        "size": size.astype(np.uint8),
        "filled": filled.astype(np.int32),
        "vacant": np.append(np.full(len(sizes), ABSENT, np.int64), ends[-1:].sum()),
        "most": np.array([most]),
    }


def _longer(array: NDArray[Any], length: int) -> NDArray[Any]:
    """With zeros at its end, which take no memory until they are written."""
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _of_squares(rows: NDArray[np.int32], weights: FloatArray) -> Arrays:
    """What (N, M) neighbours with (N, M, J) weights are, filled slots being first."""
    known = rows != ABSENT
    lists = laid_out(known.sum(axis=1), rows.shape[1])
    row, slot = np.nonzero(known)
    places, taken = lists["first"][row] + slot, int(lists["vacant"][-1])
    own, own_weights = np.zeros(taken, np.int32), np.zeros((taken, weights.shape[2]), np.float32)
    own[places], own_weights[places] = rows[known], weights[known]
    return {
        **lists,
        "places": own.reshape(-1, _BLOCK),
        "place_weights": own_weights.reshape(-1, _BLOCK, weights.shape[2]),
    }


def _sizes(most: int) -> IntArray:
    """Places of lists by size: none, then twice as many each time, up to enough for `most`."""
    sizes, enough = [0, _BLOCK], -(-most // _BLOCK) * _BLOCK
    while sizes[-1] < enough:
        sizes.append(min(2 * sizes[-1], enough))
    return np.array(sizes)


@compiled
def list_of(table: Neighbours, row: int) -> tuple[NDArray[np.int32], FloatArray]:
    """The neighbours of a row, (n,), and their weights, (n, J)."""
    begin, end = table.first[row], table.first[row] + table.filled[row]
    return table.rows[begin:end], table.weights[begin:end]


@compiled
def has_room(table: Neighbours, additions: int) -> bool:
    """Whether `strengthen` may be called so many times."""
    return bool(len(table.rows) - table.vacant[-1] >= additions * table.sizes[-1])


@compiled
def strengthen(table: Neighbours, row: int, neighbour: int, amount: float, now_s: float) -> None:
    """Let `neighbour` go with `row` by `amount` more, at a moment before or after those of earlier additions."""
    J, T = table.weights.shape[1], len(table.half_lives_s)
    table.marks[row] = CHANGED
    rows, weights = list_of(table, row)
    slot = -1
    for m in range(len(rows)):
        if rows[m] == neighbour:
            slot = m
    ahead = now_s - table.as_of_s[row]
    for j in range(0 if ahead > AS_OF_S else T, J):
        kept = left(ahead, table.half_lives_s[j]) if j < T else table.kept_per_touch[j - T]
        table.totals[row, j] *= kept
        for m in range(len(rows)):
            weights[m, j] *= kept
    if ahead > AS_OF_S:
        table.as_of_s[row], ahead = now_s, 0.0
    if slot < 0:
        if len(rows) < table.most[0]:
            slot = len(rows)
            _lengthen(table, row)
            rows, weights = list_of(table, row)
        else:
            slot, least = 0, np.inf
            for m in range(len(rows)):
                strength = 0.0
                for j in range(T):
                    strength += weights[m, j]
                if strength < least:
                    slot, least = m, strength
        rows[slot] = neighbour
        for j in range(J):
            weights[slot, j] = 0.0
    for j in range(J):
        added = amount
        if j < T:
            added *= math.exp2(max(ahead / table.half_lives_s[j], -MAX_HALVINGS))
        table.totals[row, j] += added
        weights[slot, j] += added
    _mark(table, row)


@compiled
def share_factors(table: Neighbours, row: int, now_s: float, out: FloatArray) -> None:
    """(J,) what a row's weights are multiplied by at a moment to be shares of its decayed total plus a prior."""
    elapsed = now_s - table.as_of_s[row]
    for j in range(len(out)):
        kept = left(elapsed, table.half_lives_s[j]) if j < len(table.half_lives_s) else 1.0
        out[j] = kept / (table.totals[row, j] * kept + PRIOR)


@compiled
def _mark(table: Neighbours, row: int) -> None:
    """All of a row's list changed."""
    begin, end = table.first[row], table.first[row] + table.filled[row]
    for block in range(begin // _BLOCK, (end + _BLOCK - 1) // _BLOCK):
        table.block_marks[block] = CHANGED


@compiled
def _lengthen(table: Neighbours, row: int) -> None:
    """Make a place for one more neighbour of a row, whose list moves where it is full."""
    filled, size = table.filled[row], table.size[row]
    if filled == table.sizes[size]:
        wider = size + 1
        first = table.vacant[wider]
        if first == ABSENT:
            first = table.vacant[-1]
            table.vacant[-1] += table.sizes[wider]
        else:
            table.vacant[wider] = table.rows[first]
        rows, weights = list_of(table, row)
        table.rows[first : first + filled], table.weights[first : first + filled] = rows, weights
        _vacate(table, row)
        table.first[row], table.size[row] = first, wider
    table.filled[row] = filled + 1


@compiled
def _vacate(table: Neighbours, row: int) -> None:
    """Give up a row's list, which is the next of its size for somebody else."""
    size, first = table.size[row], table.first[row]
    if size != _NO_LIST:
        table.rows[first] = table.vacant[size]
        table.vacant[size] = first
        table.block_marks[first // _BLOCK] = CHANGED
        _mark(table, row)
    table.first[row], table.size[row], table.filled[row] = 0, _NO_LIST, 0


@compiled
def _close_gaps(table: Neighbours, gone: NDArray[np.bool_]) -> None:
    """Drop neighbours that are gone; the others move up, since filled places come first."""
    for row in range(len(table.filled)):
        rows, weights = list_of(table, row)
        to = 0
        for m in range(len(rows)):
            if gone[rows[m]]:
                continue
            if to < m:
                rows[to], weights[to] = rows[m], weights[m]
            to += 1
        if to < len(rows):
            table.marks[row] = CHANGED
            _mark(table, row)
            table.filled[row] = to
