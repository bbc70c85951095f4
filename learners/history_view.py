"""Histories as they are looked at: whole, or only what users did since a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import Histories
from learners.row_index import ABSENT

EVER = -1e18
"""Before every event, seconds."""


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Hides what is too old. Who has done nothing since has no history: former tastes would mislead.

    Histories alone are hidden: a user's own choices, companions, habits and label rates are told as ever.

    Attributes:
        since_s: Events before this moment are not seen.
        tried: Whether what whole histories would say is compared with it.
    """

    since_s: float = EVER
    tried: bool = False

    @property
    def hides(self) -> bool:
        """Whether anything may be hidden."""
        return self.since_s > EVER

    def of(self, histories: Histories) -> Histories:
        """The same histories without what is hidden; nothing is copied where nothing is."""
        if not self.hides:
            return histories
        newer = histories.now_s[:, None] - histories.age_s >= self.since_s
        return replace(histories, item_rows=np.where(newer, histories.item_rows, ABSENT))

    def array(self) -> NDArray[np.float64]:
        """(2,) as numbers."""
        return np.array([self.since_s, float(self.tried)])

    @classmethod
    def of_array(cls, array: NDArray[np.float64]) -> HistoryView:
        """The inverse of `array`."""
        return cls(float(array[0]), bool(array[1]))
