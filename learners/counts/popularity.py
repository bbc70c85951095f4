"""How often items were chosen lately, at several half-lives at once, and when they were first and last chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.decay import AS_OF_S, MAX_HALVINGS, left, left_of
from learners.counts.leaders import Leaders, lead
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.row_table import RowTable
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
        weights: (N, DECAYS) decayed choices: those by time as of `as_of_s`, the others as of the item's last one.
        first_s: (N,) event time of the first choice, infinite where there was none.
        last_s: (N,) of the latest one, -infinite where there was none.
        first_n: (N,) the number of the first choice, counted over all items.
        last_n: (N,) of the latest one.
        as_of_s: (N,) event time, at most an hour before the item's last choice.
        marks: (N,) which rows changed since they were saved.
        leaders: By each timed half-life, by last choice, and by first choice.
    """

    weights: FloatArray
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    first_n: IntArray
    last_n: IntArray
    as_of_s: NDArray[np.float64]
    marks: Marks
    leaders: Leaders


class Popularity:
    """Decayed choices of each item, and its first and last choice in time and in number of events.

    Args:
        leaders: How many items are kept at hand for each half-life, for recency and for novelty.
    """

    def __init__(self, leaders: int = 64) -> None:
        self._items = RowTable(
            weights=np.zeros(DECAYS, np.float32),
            first_s=np.float64(np.inf),
            last_s=np.float64(-np.inf),
            first_n=np.int64(0),
            last_n=np.int64(0),
            as_of_s=np.float64(-np.inf),
        )
        self._leaders = Leaders.empty(_NEWEST + 1, leaders)
        self.events = 0
        self._known: IntArray = np.zeros(16, np.int64)
        self._known_marks: Marks = np.zeros(16, np.uint8)
        self._known_count = 0

    @property
    def arrays(self) -> PopularityArrays:
        """For compiled loops; valid until the next call that makes room."""
        of = self._items
        return PopularityArrays(
            weights=of["weights"],
            first_s=of["first_s"],
            last_s=of["last_s"],
            first_n=of["first_n"],
            last_n=of["last_n"],
            as_of_s=of["as_of_s"],
            marks=of.marks,
            leaders=self._leaders,
        )

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
        fresh = rows[np.isinf(self._items["last_s"][rows])]
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
                left_of(np.maximum(now_s, of.last_s[rows]) - of.as_of_s[rows], HALF_LIVES_S),
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
        return self._leaders.all_rows()

    def is_known(self, rows: IntArray) -> BoolArray:
        """Which rows (N,) were ever chosen and not forgotten."""
        inside = rows < len(self._items)
        known: BoolArray = inside & np.isfinite(self._items["last_s"][np.where(inside, rows, 0)])
        return known

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        kept = self.known_rows[~np.isin(self.known_rows, rows)]
        self._known[: len(kept)] = kept
        self._known_marks[: self._known_count] = CHANGED
        self._known_count = len(kept)
        self._items.forget(rows)
        self._leaders.reset(kept, self._keys(kept))

    def _keys(self, rows: IntArray) -> NDArray[np.float64]:
        """(N, G) keys that order items at any later moment; see `_learn_many`."""
        of = self.arrays
        counts = (
            np.log2(of.weights[rows, :TIMED].astype(np.float64)) + of.as_of_s[rows][:, None] / HALF_LIVES_S
        )
        return np.concatenate([counts, of.last_n[rows][:, None], of.first_n[rows][:, None]], axis=1)

    def ensure(self, rows: int) -> None:
        """Make room for item rows 0 .. rows - 1."""
        self._items.ensure(rows)

    def live_state(self) -> LiveState:
        """All counts."""
        return {
            **self._items.live_state(),
            **nest("leaders", self._leaders.state_dict()),
            "known_rows": Table(self.known_rows, self._known_marks),
            "events": np.array([self.events]),
        }

    def state_dict(self) -> Arrays:
        """All counts as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._leaders.load_state_dict(unnest("leaders", arrays))
        # Earlier versions counted as of the last choice.
        self._items.load_state_dict({"as_of_s": arrays["last_s"].copy(), **arrays})
        self._known = grown(arrays["known_rows"], 16)
        self._known_marks = np.zeros(len(self._known), np.uint8)
        self._known_count = len(arrays["known_rows"])
        self.events = int(arrays["events"][0])


@compiled
def popularity_of(counts: PopularityArrays, row: int, decay: int, now_s: float, events: int) -> float:
    """A decayed count of one item at a moment, by the half-life number `decay`."""
    if decay < TIMED:
        elapsed_s = max(now_s, counts.last_s[row]) - counts.as_of_s[row]
        return float(counts.weights[row, decay] * left(elapsed_s, HALF_LIVES_S[decay]))
    elapsed = float(events - 1 - counts.last_n[row])
    return float(counts.weights[row, decay] * left(elapsed, HALF_LIVES_EVENTS[decay - TIMED]))


@compiled
def _learn_many(counts: PopularityArrays, rows: IntArray, now_s: NDArray[np.float64], events: int) -> None:
    """Count choices one after the other.

    A choice counts more the later it comes, as of a moment at most an hour before (forward decay: Cormode et al., ICDE
    2009): what a second takes of a busy item's count is less than a float of 32 bits can tell.

    A count c as of t that decays by h orders items at any later moment as log2(c) + t / h does, so leaders are found
    without looking at the others.
    """
    for n in range(len(rows)):
        row, now, number = rows[n], now_s[n], events + n
        counts.marks[row] = CHANGED
        if counts.last_s[row] == -np.inf:
            counts.first_s[row], counts.first_n[row] = now, number
            counts.last_s[row], counts.last_n[row], counts.as_of_s[row] = now, number, now
        ahead = now - counts.as_of_s[row]
        if ahead > AS_OF_S:
            for decay in range(TIMED):
                counts.weights[row, decay] *= left(ahead, HALF_LIVES_S[decay])
            counts.as_of_s[row], ahead = now, 0.0
        for decay in range(TIMED):
            counts.weights[row, decay] += math.exp2(max(ahead / HALF_LIVES_S[decay], -MAX_HALVINGS))
        for decay in range(TIMED, DECAYS):
            counts.weights[row, decay] *= left(number - counts.last_n[row], HALF_LIVES_EVENTS[decay - TIMED])
            counts.weights[row, decay] += 1.0
        counts.last_s[row] = max(counts.last_s[row], now)
        counts.last_n[row] = number
        for decay in range(TIMED):
            key = math.log2(counts.weights[row, decay]) + counts.as_of_s[row] / HALF_LIVES_S[decay]
            lead(counts.leaders, decay, row, key)
        lead(counts.leaders, _RECENT, row, float(number))
        lead(counts.leaders, _NEWEST, row, float(counts.first_n[row]))
