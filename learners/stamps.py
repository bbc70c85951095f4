"""Which items were met, and where what is known of them stands: tables that nobody wipes between two uses."""

from __future__ import annotations

import numpy as np

from learners.event_batch import IntArray
from learners.state_arrays import grown


class Stamps:
    """A stamp and a place for every item. Whoever takes stamps that were never used finds no item met by them."""

    def __init__(self) -> None:
        self._stamps: IntArray = np.zeros(16, np.int64)
        self._places: IntArray = np.zeros(16, np.int64)
        self._last = 0

    def take(self, items: int, needed: int) -> tuple[IntArray, IntArray, int]:
        """Tables of stamps and of places with a row for each of `items`, and the first of `needed` unused stamps."""
        self._stamps, self._places = grown(self._stamps, items), grown(self._places, items)
        first = self._last + 1
        self._last += needed
        return self._stamps, self._places, first
