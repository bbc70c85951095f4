"""What was chosen next by those who had chosen the same: directed transitions between items, decayed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learners.peers.peer import Scores

_HOUR = 3_600.0

HALF_LIVES_S: dict[str, float] = {
    "1 h": _HOUR,
    "24 h": 24 * _HOUR,
    "2 months": 1_440 * _HOUR,
    "10 years": 87_600 * _HOUR,
}

CONTEXT = 10
"""How many of a user's last different items lead to the next one."""


class Transitions:
    """See `learners.peers.peer.Peer`. Item-to-item counts without any bound on the number of neighbours.

    A choice of i counts `1 / d` for the transition j → i from the user's d-th last different item j ≠ i,
    decayed with the half-life h. The score of i is the sum over the user's last different items j of the
    count of j → i, again times `1 / d`. Where nobody went, the score is "never".

    Args:
        items: Most items there will be.
        half_lives: P names of `HALF_LIVES_S`.
    """

    def __init__(self, items: int, half_lives: Sequence[str] = tuple(HALF_LIVES_S)) -> None:
        self.names = tuple(f"co-visitation, {name}" for name in half_lives)
        self._half_lives_s = np.array([HALF_LIVES_S[name] for name in half_lives])
        self._rows: dict[int, _Successors] = {}
        self._recent: dict[int, list[int]] = {}

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        scores = np.zeros((len(self.names), known))
        now = (now_s / self._half_lives_s)[:, None]
        for distance, source in enumerate(self._recent.get(user, ()), start=1):
            row = self._rows.get(source)
            if row is not None:
                scores[:, row.items[: row.count]] += np.exp2(row.keys[:, : row.count] - now) / distance
        return np.where(scores > 0.0, scores, -np.inf)

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        recent = self._recent.get(user, [])
        now = now_s / self._half_lives_s
        for distance, source in enumerate(recent, start=1):
            if source != item:
                row = self._rows.get(source)
                if row is None:
                    row = self._rows[source] = _Successors(len(self.names))
                row.add(item, now - np.log2(distance))
        self._recent[user] = [item, *(other for other in recent if other != item)][:CONTEXT]


class _Successors:
    """The successors of one item: `log2` of each decayed count plus now / h, which time leaves as it is."""

    def __init__(self, half_lives: int) -> None:
        self.count = 0
        self.items: NDArray[np.int64] = np.zeros(4, np.int64)
        self.keys: Scores = np.zeros((half_lives, 4))
        self._place: dict[int, int] = {}

    def add(self, item: int, key: Scores) -> None:
        """Count a transition to `item`; `key` (P,) is log2 of its weight plus now / h."""
        place = self._place.get(item)
        if place is not None:
            self.keys[:, place] = np.logaddexp2(self.keys[:, place], key)
            return
        if self.count == len(self.items):
            self.items = np.concatenate([self.items, np.zeros_like(self.items)])
            self.keys = np.concatenate([self.keys, np.zeros_like(self.keys)], axis=1)
        self._place[item] = self.count
        self.items[self.count], self.keys[:, self.count] = item, key
        self.count += 1
