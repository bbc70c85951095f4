"""How recommendations spread over the catalogue, and how little known it is what they show; in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.ranking_quality import Variety, variety_of_counts
from monitoring.ring import moved, slots

Rows = NDArray[np.integer]


class RecentPlaces:
    """The items of the latest places of slates.

    Args:
        places: P, how many are kept.

    Attributes:
        marks: (P,) 1 where a row of the table was written.
    """

    def __init__(self, places: int = 40_000) -> None:
        self._rows = np.full(places, -1, np.int32)
        self.marks = np.zeros(places, np.uint8)
        self._taken = 0

    def add(self, rows: Rows) -> None:
        """Take item rows."""
        stay, at = slots(self._taken, len(rows), len(self._rows))
        self._rows[at], self.marks[at] = rows[stay], 1
        self._taken += len(rows)

    def variety(self, catalogue: int) -> Variety:
        """Of these places, among so many items."""
        counts = np.unique(self._rows[self._rows >= 0], return_counts=True)[1]
        return variety_of_counts(counts, max(catalogue, len(counts)))

    def tables(self) -> dict[str, NDArray[Any]]:
        """(P,) what has marks, the live array."""
        return {"rows": self._rows}

    def rest(self) -> dict[str, NDArray[Any]]:
        """What has none."""
        return {"taken": np.array([self._taken])}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `tables` and `rest` together; of another size, the latest that fit."""
        before, at, self._taken = moved(int(arrays["taken"][0]), len(arrays["rows"]), len(self._rows))
        self._rows[at] = arrays["rows"][before]


class RecentEvents:
    """How often each item had an event lately: halved, all of them, whenever there are twice as many events as kept.

    Args:
        events: About how many count.

    Attributes:
        marks: One for each row that the table has room for, 1 where it was written.
    """

    def __init__(self, events: int = 100_000) -> None:
        self._events = events
        self._counts = np.zeros(1_024, np.float32)
        self.marks = np.zeros(1_024, np.uint8)
        self._total = 0.0

    def add(self, rows: Rows) -> None:
        """Take (B,) item rows."""
        if not len(rows):
            return
        self._ensure(int(rows.max()) + 1)
        np.add.at(self._counts, rows, np.float32(1.0))
        self.marks[rows] = 1
        self._total += len(rows)
        if self._total > 2 * self._events:
            self._counts *= np.float32(0.5)
            self.marks[:] = 1
            self._total *= 0.5

    def surprise_bits(self, rows: Rows) -> float:
        """Sum of -log2 of the items' shares of the events; one more event for each, so that none is infinite.

        The self-information of recommendations (Zhou et al., PNAS 2010).
        """
        counts = self._counts.take(rows, mode="clip")  # the last row, which is nobody's, for what has no row
        known_bits = np.log2(counts.astype(np.float64) + 1.0).sum()
        # Where one item is all there was, what is left is nothing, or what rounding leaves of it.
        return max(len(rows) * math.log2(self._total + 1.0) - float(known_bits), 0.0)

    def _ensure(self, items: int) -> None:
        """Have rows for so many, and one that stays empty."""
        if items >= len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(items, np.float32)])
            self.marks = np.concatenate([self.marks, np.zeros(items, np.uint8)])

    def tables(self) -> dict[str, NDArray[Any]]:
        """What has marks, the live array."""
        return {"counts": self._counts}

    def rest(self) -> dict[str, NDArray[Any]]:
        """What has none."""
        return {"total": np.array([self._total])}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `tables` and `rest` together."""
        self._counts = arrays["counts"].astype(np.float32)
        self.marks = np.zeros(len(self._counts), np.uint8)
        self._ensure(len(self._counts) if self._counts[-1] else 0)  # older tables may be full
        self._total = float(arrays["total"][0])
