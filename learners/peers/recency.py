"""What happened last: the items that anybody chose last, and the items that appeared last."""

from __future__ import annotations

import numpy as np

from learners.peers.peer import Scores


class Recency:
    """See `learners.peers.peer.Peer`. Two orders: by an item's last choice, and by its first.

    Order is counted in choices, not in seconds, so that choices of one second have an order too.

    Args:
        items: Most items there will be.
    """

    names = ("last touched by anyone", "newest item")

    def __init__(self, items: int) -> None:
        self._choices = 0
        self._order = np.full((2, items), -np.inf)

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        return self._order[:, :known].copy()

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._order[0, item] = self._choices
        if np.isneginf(self._order[1, item]):
            self._order[1, item] = self._choices
        self._choices += 1
