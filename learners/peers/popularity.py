"""Popularity that forgets: choices of each item, decayed at several half-lives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learners.peers.peer import Scores

_HOUR = 3_600.0

HALF_LIVES_S: dict[str, float] = {
    "1 h": _HOUR,
    "1 d": 24 * _HOUR,
    "1 week": 168 * _HOUR,
    "2 months": 1_440 * _HOUR,
    "1 year": 8_760 * _HOUR,
    "10 years": 87_600 * _HOUR,
}
"""From what is going round at this moment to what has always been liked."""


class DecayedPopularity:
    """See `learners.peers.peer.Peer`. An item's score is the sum of `2^(-age / h)` over its choices.

    Kept as `log2` of that sum plus `now / h`: decay changes no order, so a key changes only when its item is
    chosen, and nothing overflows whatever the half-life.

    Args:
        items: Most items there will be.
        half_lives: P names of `HALF_LIVES_S`.
    """

    def __init__(self, items: int, half_lives: Sequence[str] = tuple(HALF_LIVES_S)) -> None:
        self.names = tuple(f"popularity, {name}" for name in half_lives)
        self._half_lives_s = np.array([HALF_LIVES_S[name] for name in half_lives])
        self._keys = np.full((len(half_lives), items), -np.inf)

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        return self._keys[:, :known].copy()

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._keys[:, item] = np.logaddexp2(self._keys[:, item], now_s / self._half_lives_s)
