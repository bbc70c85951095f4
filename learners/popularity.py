"""How often items were chosen lately, at several half-lives at once, and when they were first and last chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.decay import decayed
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.leaders import Leaders
from learners.state_arrays import Arrays, grown, nest, unnest

_HOUR = 3_600.0
HALF_LIVES_S = np.array([0.1, 1, 6, 24, 168, 1_440, 17_520, 175_200]) * _HOUR
"""Six minutes to twenty years: which of them matters differs by log, so the ranker sees all."""

_RECENT = len(HALF_LIVES_S)
_NEWEST = _RECENT + 1


class Popularity:
    """Decayed choices of each item, and its first and last choice in time and in number of events.

    Ages in number of events are free of any time scale: they mean the same in a log of minutes and in one
    of years.

    Args:
        leaders: How many items are kept at hand for each half-life, for recency and for novelty.
    """

    def __init__(self, leaders: int = 40) -> None:
        self._weights: FloatArray = np.zeros((16, len(HALF_LIVES_S)), np.float32)
        self._last_s = np.full(16, -np.inf)
        self._first_s = np.full(16, np.inf)
        self._last_n: IntArray = np.zeros(16, np.int64)
        self._first_n: IntArray = np.zeros(16, np.int64)
        self._leaders = Leaders(_NEWEST + 1, leaders)
        self.known_rows: IntArray = np.zeros(0, np.int64)
        """All rows that were ever chosen and not forgotten, in the order of their first choice."""
        self.events = 0

    def learn_many(self, rows: IntArray, now_s: NDArray[np.float64]) -> None:
        """Count choices.

        Args:
            rows: (B,) item rows, in event order.
            now_s: (B,) when, seconds since 1970.
        """
        if not len(rows):
            return
        self.ensure(int(rows.max()) + 1)
        numbers = self.events + np.arange(len(rows))
        unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        last_s = self._last_s[unique].copy()
        np.maximum.at(last_s, inverse, now_s)
        fresh = np.isinf(self._last_s[unique])
        elapsed = np.where(fresh, 0.0, last_s - np.where(fresh, 0.0, self._last_s[unique]))
        weights = self._weights[unique] * decayed(elapsed, HALF_LIVES_S)
        np.add.at(weights, inverse, decayed(last_s[inverse] - now_s, HALF_LIVES_S))
        self._weights[unique] = weights
        self._first_s[unique] = np.where(fresh, now_s[first], self._first_s[unique])
        self._first_n[unique] = np.where(fresh, numbers[first], self._first_n[unique])
        self._last_s[unique] = last_s
        if fresh.any():
            newcomers = np.flatnonzero(fresh)
            newcomers = newcomers[np.argsort(first[newcomers])]
            self.known_rows = np.concatenate([self.known_rows, unique[newcomers]])
        np.maximum.at(self._last_n, rows, numbers)
        self.events += len(rows)
        current = [self._keys(self._leaders.rows_of(column))[:, column] for column in range(_NEWEST + 1)]
        self._leaders.update(unique, self._keys(unique), current)

    def scores(self, rows: IntArray, now_s: NDArray[np.float64]) -> FloatArray:
        """(N, P) decayed counts of `rows` at the moments `now_s` (N,)."""
        scores: FloatArray = self._weights[rows] * decayed(now_s - self._last_s[rows], HALF_LIVES_S)
        return scores

    def ages(self, rows: IntArray, now_s: NDArray[np.float64]) -> FloatArray:
        """(N, 4) seconds since the first and the last choice, events since the first and the last."""
        ages = np.stack(
            [
                now_s - self._first_s[rows],
                now_s - self._last_s[rows],
                self.events - self._first_n[rows],
                self.events - self._last_n[rows],
            ],
            axis=1,
        )
        finite: FloatArray = np.maximum(np.nan_to_num(ages, posinf=0.0, neginf=0.0), 0.0).astype(np.float32)
        return finite

    def leaders(self) -> IntArray:
        """Item rows worth considering for anybody: most chosen at any half-life, last chosen, newest."""
        return self._leaders.all_rows()

    def leaders_by(self, half_life: int) -> IntArray:
        """The item rows with the largest decayed counts at half-life number `half_life`, best first."""
        rows = self._leaders.rows_of(half_life)
        return rows[np.argsort(-self._keys(rows)[:, half_life], kind="stable")]

    def is_known(self, rows: IntArray) -> BoolArray:
        """Which rows (N,) were ever chosen and not forgotten."""
        inside = rows < len(self._last_s)
        known: BoolArray = inside & np.isfinite(self._last_s[np.where(inside, rows, 0)])
        return known

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        self.known_rows = self.known_rows[~np.isin(self.known_rows, rows)]
        rows = rows[rows < len(self._last_s)]
        self._weights[rows] = 0.0
        self._last_s[rows] = -np.inf
        self._first_s[rows] = np.inf
        self._last_n[rows] = 0
        self._first_n[rows] = 0
        self._lead_anew()

    def _keys(self, rows: IntArray) -> NDArray[np.float64]:
        """(N, P + 2) keys that order items at any later moment and change only when an item is chosen.

        A count decayed by h orders items as log2(count) + last / h does, whatever the time is.
        """
        with np.errstate(divide="ignore"):
            counts = np.log2(self._weights[rows].astype(np.float64))
        counts += self._last_s[rows][:, None] / HALF_LIVES_S
        return np.concatenate([counts, self._last_n[rows][:, None], self._first_n[rows][:, None]], axis=1)

    def _lead_anew(self) -> None:
        self._leaders.reset(self.known_rows, self._keys(self.known_rows))

    def ensure(self, rows: int) -> None:
        """Make room for item rows 0 .. rows - 1."""
        self._weights = grown(self._weights, rows)
        self._last_s = grown(self._last_s, rows, fill=-np.inf)
        self._first_s = grown(self._first_s, rows, fill=np.inf)
        self._last_n = grown(self._last_n, rows)
        self._first_n = grown(self._first_n, rows)

    def state_dict(self) -> Arrays:
        """All counts as arrays."""
        return {
            "weights": self._weights.copy(),
            "last_s": self._last_s.copy(),
            "first_s": self._first_s.copy(),
            "last_n": self._last_n.copy(),
            "first_n": self._first_n.copy(),
            "known_rows": self.known_rows.copy(),
            "events": np.array([self.events]),
            **nest("leaders", self._leaders.state_dict()),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._weights = arrays["weights"].copy()
        self._last_s = arrays["last_s"].copy()
        self._first_s = arrays["first_s"].copy()
        self._last_n = arrays["last_n"].copy()
        self._first_n = arrays["first_n"].copy()
        self.known_rows = arrays["known_rows"].copy()
        self.events = int(arrays["events"][0])
        self._leaders.load_state_dict(unnest("leaders", arrays))
