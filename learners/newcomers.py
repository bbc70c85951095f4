"""Items that are new: seen lately for the first time, and not shown often yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import Happenings, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, grown
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole

_MOST = 1_024  # at a time; of more, the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class NewnessRules:
    """What counts as new.

    Attributes:
        age_s: Seconds since an item's first event, event time.
        impressions: And shown less often than this.
    """

    age_s: float = 7 * 86_400.0
    impressions: int = 100


class Newcomers:
    """Knows the new items from their first event on, whatever it was.

    Args:
        rules: What counts as new.
    """

    def __init__(self, rules: NewnessRules) -> None:
        self._rules = rules
        self._first_s: NDArray[np.float64] = np.full(16, np.inf)
        self._shown: NDArray[np.int32] = np.zeros(16, np.int32)
        self._marks: Marks = np.zeros(16, np.uint8)
        self._rows: IntArray = np.zeros(0, np.int64)
        self._now_s = -np.inf

    @property
    def rows(self) -> IntArray:
        """The new items, in the order of their coming."""
        return self._rows

    def learn_many(self, happenings: Happenings) -> None:
        """Take note of items that come, and of those that are shown."""
        if not len(happenings):
            return
        items, now_s = happenings.items, happenings.now_s
        size = int(items.max()) + 1
        self._first_s, self._shown = grown(self._first_s, size, fill=np.inf), grown(self._shown, size)
        self._marks = grown(self._marks, size)
        unique, first = np.unique(items, return_index=True)
        self._marks[unique] = CHANGED
        fresh = unique[np.argsort(first)]
        fresh = fresh[np.isinf(self._first_s[fresh])]
        np.minimum.at(self._first_s, items, now_s)
        np.add.at(self._shown, items, happenings.shown)
        self._now_s = max(self._now_s, float(now_s.max()))
        rows = np.concatenate([self._rows, fresh])
        new = self._now_s - self._first_s[rows] <= self._rules.age_s
        new &= self._shown[rows] < self._rules.impressions
        self._rows = rows[new][-_MOST:]

    def draw(self, sequences: int, count: int, rng: np.random.Generator) -> IntArray:
        """(S, count) different new items for each sequence, `ABSENT` where there are fewer."""
        M = len(self._rows)
        drawn = np.full((sequences, count), ABSENT, np.int64)
        kept = min(count, M)
        if not kept or not sequences:
            return drawn
        # Different ones without a lottery of all: stretches of a shuffled list, each begun somewhere.
        shuffled = rng.permutation(self._rows)
        begin = rng.integers(M, size=sequences)
        drawn[:, :kept] = shuffled[(begin[:, None] + np.arange(kept)) % M]
        return drawn

    def forget(self, rows: IntArray) -> None:
        """Items that are gone: their rows will be used for others."""
        rows = rows[rows < len(self._first_s)]
        self._first_s[rows], self._shown[rows] = np.inf, 0
        self._marks[rows] = CHANGED
        self._rows = self._rows[~np.isin(self._rows, rows)]

    def live_state(self) -> LiveState:
        """When items came, how often they were shown, and which are new."""
        return {
            "first_s": Table(self._first_s, self._marks, np.inf),
            "shown": Table(self._shown, self._marks),
            "rows": self._rows.copy(),
            "now_s": np.array([self._now_s]),
        }

    def state_dict(self) -> Arrays:
        """When items came, how often they were shown, and which are new, as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._first_s, self._shown = arrays["first_s"], arrays["shown"]
        self._rows, self._now_s = arrays["rows"].copy(), float(arrays["now_s"][0])
        self._marks = np.zeros(len(self._shown), np.uint8)
