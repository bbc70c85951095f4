"""What became of the places of the latest slates: seen, answered, liked; by source and by place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

SHOWN, CLICKED, SATISFIED = range(3)
"""What may become of a place; each implies those before it."""

PLACES = ("1-3", "4-6", "7-10", "11-20", "21+")
"""Stretches of a slate, counted from 1 as people do."""

_ENDS = (3, 6, 10, 20)
_WIDEST = 64


class SlateAnswers:
    """Remembers the latest slates by their ids, so that what comes back can be counted by what brought it.

    Args:
        sources: How many there are.
        slates: How many slates are remembered; what comes back of older ones is not counted.
    """

    def __init__(self, sources: int, slates: int = 20_000) -> None:
        self._sources = sources
        self._slates = slates
        self._slot_of: dict[str, int] = {}
        self._ids: list[str | None] = [None] * slates
        self._brought: list[bytes] = [b""] * slates
        self._seen: list[bytearray] = [bytearray()] * slates
        self._next = 0

    def remember(self, ids: Sequence[str], sources: NDArray[np.integer], lengths: Sequence[int]) -> None:
        """Take slates: their ids, (S, N) numbers of the sources of their places, and how many places are filled."""
        rows = np.maximum(sources[:, :_WIDEST], 0).astype(np.uint8)
        for slate, row, length in zip(ids, rows, lengths, strict=True):
            slot = self._slot_of.get(slate)
            if slot is None:
                slot, self._next = self._next, (self._next + 1) % self._slates
                former = self._ids[slot]
                if former is not None:
                    del self._slot_of[former]
                self._ids[slot], self._slot_of[slate] = slate, slot
                self._seen[slot] = bytearray(min(length, _WIDEST))
                self._brought[slot] = row[:length].tobytes()

    def count(self, reactions: Iterable[tuple[str, int, int]]) -> NDArray[np.int64]:
        """Count what comes back: slate, zero-based place, and what became of it, `SHOWN` to `SATISFIED`.

        Returns:
            (3, sources, stretches) how many places were seen, answered and liked for the first time.
        """
        counts = np.zeros((3, self._sources, len(PLACES)), np.int64)
        for slate, place, became in reactions:
            slot = self._slot_of.get(slate)
            if slot is None or not 0 <= place < len(self._seen[slot]):
                continue  # of another worker, of long ago, or made up
            before = self._seen[slot][place]
            if became + 1 > before:
                self._seen[slot][place] = became + 1
                stretch = sum(place >= end for end in _ENDS)
                counts[before : became + 1, self._brought[slot][place], stretch] += 1
        return counts
