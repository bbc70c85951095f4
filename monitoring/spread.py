"""How recommendations spread over the catalogue, and how little known it is what they show; in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from monitoring.ranking_quality import Variety, variety_of_counts

Rows = NDArray[np.integer]


class RecentPlaces:
    """The items of the latest places of slates.

    Args:
        places: How many are kept.
    """

    def __init__(self, places: int = 40_000) -> None:
        self._rows = np.full(places, -1, np.int64)
        self._next = 0

    def add(self, rows: Rows) -> None:
        """Take (P,) item rows."""
        rows = rows[-len(self._rows) :]
        at = (self._next + np.arange(len(rows))) % len(self._rows)
        self._rows[at] = rows
        self._next = (self._next + len(rows)) % len(self._rows)

    def variety(self, catalogue: int) -> Variety:
        """Of these places, among so many items."""
        counts = np.unique(self._rows[self._rows >= 0], return_counts=True)[1]
        return variety_of_counts(counts, max(catalogue, len(counts)))


class RecentEvents:
    """How often each item had an event lately: halved, all of them, whenever there are twice as many events as kept.

    Args:
        events: About how many count.
    """

    def __init__(self, events: int = 100_000) -> None:
        self._events = events
        self._counts = np.zeros(1_024, np.float32)
        self._total = 0.0

    def add(self, rows: Rows) -> None:
        """Take (B,) item rows."""
        if not len(rows):
            return
        size = int(rows.max()) + 1
        if size > len(self._counts):
            self._counts = np.concatenate([self._counts, np.zeros(size, np.float32)])
        np.add.at(self._counts, rows, np.float32(1.0))
        self._total += len(rows)
        if self._total > 2 * self._events:
            self._counts *= np.float32(0.5)
            self._total *= 0.5

    def surprise_bits(self, rows: Rows) -> float:
        """Sum of -log2 of the items' shares of the events; one more event for each, so that none is infinite.

        The self-information of recommendations (Zhou et al., PNAS 2010).
        """
        if not len(rows):
            return 0.0
        counts = np.where(
            rows < len(self._counts), self._counts[np.minimum(rows, len(self._counts) - 1)], 0.0
        )
        return float(-np.log2((counts + 1.0) / (self._total + 1.0)).sum())
