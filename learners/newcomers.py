"""Items that are new: seen lately for the first time, and not shown often yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import Happenings, IntArray
from learners.row_index import ABSENT
from learners.row_table import RowTable
from learners.state_arrays import Arrays
from learners.state_changes import LiveState, whole

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
        self._items = RowTable(first_s=np.float64(np.inf), shown=np.int32(0))
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
        self._items.ensure(int(items.max()) + 1)
        first_s, shown = self._items["first_s"], self._items["shown"]
        unique, first = np.unique(items, return_index=True)
        self._items.mark(unique)
        fresh = unique[np.argsort(first)]
        fresh = fresh[np.isinf(first_s[fresh])]
        np.minimum.at(first_s, items, now_s)
        np.add.at(shown, items, happenings.shown)
        self._now_s = max(self._now_s, float(now_s.max()))
        rows = np.concatenate([self._rows, fresh])
        new = self._now_s - first_s[rows] <= self._rules.age_s
        new &= shown[rows] < self._rules.impressions
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
        self._items.forget(rows)
        self._rows = self._rows[~np.isin(self._rows, rows)]

    def live_state(self) -> LiveState:
        """When items came, how often they were shown, and which are new."""
        return {
            **self._items.live_state(),
            "rows": self._rows.copy(),
            "now_s": np.array([self._now_s]),
        }

    def state_dict(self) -> Arrays:
        """When items came, how often they were shown, and which are new, as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._items.load_state_dict(arrays)
        self._rows, self._now_s = arrays["rows"].copy(), float(arrays["now_s"][0])
