"""How long a change is felt: curves of quality over events, and when they are back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 3_000
"""Events over which quality is averaged."""

RECOVERED = 0.9
"""Of the quality that there would have been."""

_EVERY = 500


@dataclass(frozen=True, slots=True)
class Curve:
    """What was reached of what could be, at moments counted in events since the change.

    Attributes:
        events: (N,) moments, in order.
        reached: (N,) what was reached: expected clicks, or hits.
        possible: (N,) what it is a part of: the oracle's clicks, or 1 for each choice.
    """

    events: NDArray[np.int64]
    reached: NDArray[np.float64]
    possible: NDArray[np.float64]

    def level(self, since: int, until: int) -> float:
        """Part reached in a stretch; NaN where nothing happened."""
        there = (self.events >= since) & (self.events < until)
        possible = self.possible[there].sum()
        return float(self.reached[there].sum() / possible) if possible else math.nan


def joined(curves: Sequence[Curve]) -> Curve:
    """Several seeds as one."""
    events = np.concatenate([curve.events for curve in curves])
    order = np.argsort(events, kind="stable")
    return Curve(
        events[order],
        np.concatenate([curve.reached for curve in curves])[order],
        np.concatenate([curve.possible for curve in curves])[order],
    )


def recovered_after(curve: Curve, before: float, until: int, complete: int = 0) -> float:
    """Events after which the last 3,000 events reach 90 % of `before`, the change itself left out of the window.

    Infinite where that does not happen within `until` events. A level that has not fallen by 3,000 events after the
    change was `complete` recovers at once, after 0.
    """
    if curve.level(complete, complete + WINDOW) >= RECOVERED * before:
        return 0.0
    for end in range(complete + WINDOW + _EVERY, until + 1, _EVERY):
        if curve.level(end - WINDOW, end) >= RECOVERED * before:
            return float(end)
    return math.inf
