"""How often items were chosen lately, at several half-lives at once, and when they were first and last chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.decay import left, left_of
from learners.counts.leaders import Leaders, lead
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.state_arrays import Arrays, grown, nest, unnest
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole

HALF_LIVES_S = np.array([0.1, 1, 6, 24, 168, 1_440, 17_520, 175_200]) * 3_600.0
"""Six minutes to twenty years: which of them matters differs by log, so the ranker sees all."""

HALF_LIVES_EVENTS = np.array([20.0, 100.0, 500.0, 2_500.0, 12_500.0])
"""In choices of anything: free of any time scale, they mean the same in a log of minutes and in one of years."""

TIMED = len(HALF_LIVES_S)
DECAYS = TIMED + len(HALF_LIVES_EVENTS)
_RECENT = TIMED
_NEWEST = _RECENT + 1


class PopularityArrays(NamedTuple):
    """The counts of N items; what compiled loops take.

    Attributes:
        weights: (N, DECAYS) decayed choices as of the item's last one.
        first_s: (N,) event time of the first choice, infinite where there was none.
        last_s: (N,) of the latest one, -infinite where there was none.
        first_n: (N,) the number of the first choice, counted over all items.
        last_n: (N,) of the latest one.
        marks: (N,) which rows changed since they were saved.
        leaders: By each timed half-life, by last choice, and by first choice.
    """

    weights: FloatArray
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    first_n: IntArray
    last_n: IntArray
    marks: Marks
    leaders: Leaders


class Popularity:
    """Decayed choices of each item, and its first and last choice in time and in number of events.

    Args:
        leaders: How many items are kept at hand for each half-life, for recency and for novelty.
    """

    def __init__(self, leaders: int = 64) -> None:
        self.arrays = PopularityArrays(
            weights=np.zeros((16, DECAYS), np.float32),
            first_s=np.full(16, np.inf),
            last_s=np.full(16, -np.inf),
            first_n=np.zeros(16, np.int64),
            last_n=np.zeros(16, np.int64),
            marks=np.zeros(16, np.uint8),
            leaders=Leaders.empty(_NEWEST + 1, leaders),
        )
        self.events = 0
        self._known: IntArray = np.zeros(16, np.int64)
        self._known_marks: Marks = np.zeros(16, np.uint8)
        self._known_count = 0

    @property
    def known_rows(self) -> IntArray:
        """All rows that were ever chosen and not forgotten, in the order of their first choice."""
        return self._known[: self._known_count]

    def learn_many(self, rows: IntArray, now_s: NDArray[np.float64]) -> None:
        """Count choices.

        Args:
            rows: (B,) item rows, in event order.
            now_s: (B,) when, seconds since 1970.
        """
        if not len(rows):
            return
        self.ensure(int(rows.max()) + 1)
        fresh = rows[np.isinf(self.arrays.last_s[rows])]
        _learn_many(self.arrays, rows, now_s, self.events)
        self.events += len(rows)
        if len(fresh):
            unique, first = np.unique(fresh, return_index=True)
            newcomers = unique[np.argsort(first)]
            count = self._known_count + len(newcomers)
            self._known, self._known_marks = grown(self._known, count), grown(self._known_marks, count)
            self._known[self._known_count : count] = newcomers
            self._known_marks[self._known_count : count] = CHANGED
            self._known_count = count

    def scores(self, rows: IntArray, now_s: NDArray[np.float64]) -> FloatArray:
        """(DECAYS, N) decayed counts of `rows` at the moments `now_s` (N,): as of now in number of events."""
        of = self.arrays
        scores = np.concatenate(
            [
                left_of(now_s - of.last_s[rows], HALF_LIVES_S),
                left_of(self.events - 1 - of.last_n[rows], HALF_LIVES_EVENTS),
            ]
        )
        scores *= of.weights.take(rows, axis=0).T
        return scores

    def ages(self, rows: IntArray, now_s: NDArray[np.float64]) -> FloatArray:
        """(4, N) seconds since the first and the last choice, events since the first and the last.

        An item that nobody has chosen is as one that is chosen for the first time now.
        """
        of = self.arrays
        ages = np.stack(
            [
                now_s - of.first_s[rows],
                now_s - of.last_s[rows],
                self.events - of.first_n[rows],
                self.events - of.last_n[rows],
            ]
        ).astype(np.float32)
        ages[:, np.isinf(of.first_s[rows])] = 0.0
        finite: FloatArray = np.maximum(ages, 0.0, out=ages)
        return finite

    def leaders(self) -> IntArray:
        """Item rows worth considering for anybody: most chosen at any half-life, last chosen, newest."""
        return self.arrays.leaders.all_rows()

    def is_known(self, rows: IntArray) -> BoolArray:
        """Which rows (N,) were ever chosen and not forgotten."""
        inside = rows < len(self.arrays.last_s)
        known: BoolArray = inside & np.isfinite(self.arrays.last_s[np.where(inside, rows, 0)])
        return known

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        kept = self.known_rows[~np.isin(self.known_rows, rows)]
        self._known[: len(kept)] = kept
        self._known_marks[: self._known_count] = CHANGED
        self._known_count = len(kept)
        rows = rows[rows < len(self.arrays.last_s)]
        self.arrays.weights[rows] = 0.0
        self.arrays.first_s[rows] = np.inf
        self.arrays.last_s[rows] = -np.inf
        self.arrays.first_n[rows] = 0
        self.arrays.last_n[rows] = 0
        self.arrays.marks[rows] = CHANGED
        self.arrays.leaders.reset(kept, self._keys(kept))

    def _keys(self, rows: IntArray) -> NDArray[np.float64]:
        """(N, G) keys that order items at any later moment; see `_learn_many`."""
        of = self.arrays
        counts = (
            np.log2(of.weights[rows, :TIMED].astype(np.float64)) + of.last_s[rows][:, None] / HALF_LIVES_S
        )
        return np.concatenate([counts, of.last_n[rows][:, None], of.first_n[rows][:, None]], axis=1)

    def ensure(self, rows: int) -> None:
        """Make room for item rows 0 .. rows - 1."""
        of = self.arrays
        if rows > len(of.weights):
            self.arrays = PopularityArrays(
                weights=grown(of.weights, rows),
                first_s=grown(of.first_s, rows, fill=np.inf),
                last_s=grown(of.last_s, rows, fill=-np.inf),
                first_n=grown(of.first_n, rows),
                last_n=grown(of.last_n, rows),
                marks=grown(of.marks, rows),
                leaders=of.leaders,
            )

    def live_state(self) -> LiveState:
        """All counts."""
        of = self.arrays
        return {
            "weights": Table(of.weights, of.marks),
            "first_s": Table(of.first_s, of.marks, np.inf),
            "last_s": Table(of.last_s, of.marks, -np.inf),
            "first_n": Table(of.first_n, of.marks),
            "last_n": Table(of.last_n, of.marks),
            **nest("leaders", of.leaders.state_dict()),
            "known_rows": Table(self.known_rows, self._known_marks),
            "events": np.array([self.events]),
        }

    def state_dict(self) -> Arrays:
        """All counts as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        leaders = self.arrays.leaders
        leaders.load_state_dict(unnest("leaders", arrays))
        columns = ("weights", "first_s", "last_s", "first_n", "last_n")
        self.arrays = PopularityArrays(
            **{name: arrays[name] for name in columns},
            marks=np.zeros(len(arrays["weights"]), np.uint8),
            leaders=leaders,
        )
        self._known = grown(arrays["known_rows"], 16)
        self._known_marks = np.zeros(len(self._known), np.uint8)
        self._known_count = len(arrays["known_rows"])
        self.events = int(arrays["events"][0])


@compiled
def popularity_of(counts: PopularityArrays, row: int, decay: int, now_s: float, events: int) -> float:
    """A decayed count of one item at a moment, by the half-life number `decay`."""
    if decay < TIMED:
        return float(counts.weights[row, decay] * left(now_s - counts.last_s[row], HALF_LIVES_S[decay]))
    elapsed = float(events - 1 - counts.last_n[row])
    return float(counts.weights[row, decay] * left(elapsed, HALF_LIVES_EVENTS[decay - TIMED]))


@compiled
def _learn_many(counts: PopularityArrays, rows: IntArray, now_s: NDArray[np.float64], events: int) -> None:
    """Count choices one after the other.

    A count c that was last touched at t and decays by h orders items at any later moment as log2(c) + t / h
    does, so leaders are found without looking at the others.
    """
    for n in range(len(rows)):
        row, now, number = rows[n], now_s[n], events + n
        counts.marks[row] = CHANGED
        if counts.last_s[row] == -np.inf:
            counts.first_s[row], counts.first_n[row] = now, number
            counts.last_s[row], counts.last_n[row] = now, number
        late = max(counts.last_s[row] - now, 0.0)  # an event out of order counts as much as is left of it
        for decay in range(DECAYS):
            kept = popularity_of(counts, row, decay, now, number + 1)
            added = left(late, HALF_LIVES_S[decay]) if decay < TIMED else 1.0
            counts.weights[row, decay] = kept + added
        counts.last_s[row] = max(counts.last_s[row], now)
        counts.last_n[row] = number
        for decay in range(TIMED):
            key = math.log2(counts.weights[row, decay]) + counts.last_s[row] / HALF_LIVES_S[decay]
            lead(counts.leaders, decay, row, key)
        lead(counts.leaders, _RECENT, row, float(number))
        lead(counts.leaders, _NEWEST, row, float(counts.first_n[row]))
