"""What became of the places of the latest slates: seen, answered, liked; by source and by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.ring import moved, slots

SHOWN, CLICKED, SATISFIED = range(3)
"""What may become of a place; each implies those before it."""

PLACES = ("1-3", "4-6", "7-10", "11-20", "21+")
"""Stretches of a slate, counted from 1 as people do."""

_ENDS = (3, 6, 10, 20)
_NO_PLACE = 255


class SlateAnswers:
    """Remembers the latest slates by their ids, so that what comes back can be counted by what brought it.

    Args:
        sources: How many there are.
        slates: R, how many slates are remembered; what comes back of older ones is not counted.
        places: N, how many places of a slate.

    Attributes:
        marks: (R,) 1 where a row of the tables was written.
        seen: How often places were seen in the last count, those that had been seen before too.
    """

    def __init__(self, sources: int, slates: int = 20_000, places: int = 64) -> None:
        self._sources = sources
        self._slot_of: dict[int, int] = {}
        self._taken = 0
        self._ids = np.zeros(slates, np.uint64)
        self._brought = np.zeros((slates, places), np.uint8)
        self._became = np.full((slates, places), _NO_PLACE, np.uint8)  # and one more; 0 before anything did
        self.marks = np.zeros(slates, np.uint8)
        self.seen = 0

    def remember(self, ids: Sequence[int], sources: NDArray[np.integer], filled: NDArray[np.bool_]) -> None:
        """Take slates: their ids, and (S, N) numbers of the sources of their places, and which places are filled."""
        new = [n for n, slate in enumerate(ids) if slate not in self._slot_of]
        if len(new) < len(ids):
            ids, sources, filled = [ids[n] for n in new], sources[new], filled[new]
        size, places = self._brought.shape
        stay, at = slots(self._taken, len(ids), size)
        if self._taken + len(ids) > size:
            for slate in self._ids[at].tolist():
                self._slot_of.pop(slate, None)
        self._taken += len(ids)
        ids, sources, filled = ids[stay], sources[stay, :places], filled[stay, :places]
        self._slot_of.update(zip(ids, at.tolist(), strict=True))
        self._ids[at], self.marks[at] = ids, 1
        self._brought[at, : sources.shape[1]] = np.maximum(sources, 0)
        self._became[at] = _NO_PLACE
        self._became[at, : filled.shape[1]] = np.where(filled, 0, _NO_PLACE)

    def count(self, reactions: Iterable[tuple[int, int, int]]) -> NDArray[np.int64]:
        """Count what comes back: slate, zero-based place, and what became of it, `SHOWN` to `SATISFIED`.

        Returns:
            (3, sources, stretches) how many places were seen, answered and liked for the first time.
        """
        counts = np.zeros((3, self._sources, len(PLACES)), np.int64)
        self.seen = 0
        for slate, place, became in reactions:
            slot = self._slot_of.get(slate)
            if slot is None or not 0 <= place < self._became.shape[1]:
                continue  # of another worker, of long ago, or made up
            before = int(self._became[slot, place])
            self.seen += became == SHOWN
            if became + 1 > before:  # never where there is no place
                self._became[slot, place] = became + 1
                self.marks[slot] = 1
                stretch = sum(place >= end for end in _ENDS)
                counts[before : became + 1, self._brought[slot, place], stretch] += 1
        return counts

    def tables(self) -> dict[str, NDArray[Any]]:
        """(R,) and (R, N) what has marks, the live arrays."""
        return {"ids": self._ids, "brought": self._brought, "became": self._became}

    def rest(self) -> dict[str, NDArray[Any]]:
        """What has none."""
        return {"taken": np.array([self._taken])}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `tables` and `rest` together; of other sizes, the latest slates and first places that fit."""
        before, at, self._taken = moved(int(arrays["taken"][0]), len(arrays["ids"]), len(self._ids))
        places = min(arrays["brought"].shape[1], self._brought.shape[1])
        self._ids[at] = arrays["ids"][before]
        self._brought[at, :places] = arrays["brought"][before, :places]
        self._became[at, :places] = arrays["became"][before, :places]
        self._slot_of = dict(zip(self._ids[at].tolist(), at.tolist(), strict=True))
