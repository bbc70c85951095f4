"""Exact popularity: click counts that halve every half-life; the baseline that a recommender must beat."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_RESCALE_AT = 60.0  # half-lives; 2**60 of growth still leaves float64 its whole precision


class DecayedPopularity:
    """Click counts with exponential decay, exact at every moment.

    Instead of shrinking every count as time passes, a later click counts for more: a click at `t` adds
    `2 ** ((t - reference) / half_life)`. The order is the same, and a click costs O(1).

    Args:
        slots: How many items there are.
        half_life_s: Time after which a click counts half, seconds.
        start_ms: Earliest time of a click.
        rng: Breaks the ties of items without clicks.
    """

    def __init__(self, slots: int, half_life_s: float, start_ms: int, rng: np.random.Generator) -> None:
        self._counts: npt.NDArray[np.float64] = rng.random(slots) * 1e-9
        self._half_life_ms = half_life_s * 1_000.0
        self._reference_ms = start_ms
        self._top: npt.NDArray[np.intp] | None = None

    def add(self, slot: int, at_ms: int) -> None:
        """Count one click on the item in `slot`."""
        age = (at_ms - self._reference_ms) / self._half_life_ms
        if age > _RESCALE_AT:
            self._counts *= math.pow(2.0, -age)
            self._reference_ms = at_ms
            age = 0.0
        self._counts[slot] += math.pow(2.0, age)
        self._top = None

    def forget(self, slot: int) -> None:
        """A new item starts in `slot`."""
        self._counts[slot] = 0.0
        self._top = None

    def top(self, places: int) -> npt.NDArray[np.intp]:
        """The slots of the `places` most popular items, the most popular first; do not write into it."""
        if self._top is None or len(self._top) != places:
            part = np.argpartition(self._counts, -places)[-places:]
            self._top = part[np.argsort(-self._counts[part])]
        return self._top
