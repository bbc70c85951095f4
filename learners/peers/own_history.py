"""The user's own items first, then what everybody does."""

from __future__ import annotations

import numpy as np

from learners.peers.peer import Scores
from learners.peers.popularity import HALF_LIVES_S

_OWN_LAST = 3
_DAY = "1 d"
_ABOVE_ALL = 1e15
"""More than any number of choices, and than any key of popularity at the half-life that is used here."""


class OwnHistory:
    """See `learners.peers.peer.Peer`. Two mixtures, neither of which says anything where seen items are excluded.

    1. The user's last three different items, newest first, then what was touched last by anyone.
    2. All of the user's items, newest first, then popularity with a half-life of a day.

    Args:
        items: Most items there will be.
    """

    names = ("own last 3, then last touched", "own, then popularity, 1 d")

    def __init__(self, items: int) -> None:
        self._choices = 0
        self._general = np.full((2, items), -np.inf)
        self._own: dict[int, dict[int, None]] = {}

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        scores = self._general[:, :known].copy()
        own = list(self._own.get(user, ()))[::-1]
        places = _ABOVE_ALL - np.arange(len(own))
        scores[0, own[:_OWN_LAST]] = places[:_OWN_LAST]
        scores[1, own] = places
        return scores

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._general[0, item] = self._choices
        self._general[1, item] = np.logaddexp2(self._general[1, item], now_s / HALF_LIVES_S[_DAY])
        own = self._own.setdefault(user, {})
        own.pop(item, None)
        own[item] = None
        self._choices += 1
