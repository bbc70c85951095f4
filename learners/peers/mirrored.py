"""What river's factorisations have in common as recommenders: one pair at a time in, a ranking of all items out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.peers.peer import Scores


class MirroredFactors:
    """Implicit feedback with sampled negatives, and a ranking by one product. See `learners.peers.peer.Peer`.

    river learns and predicts one pair at a time. So each choice is a yes with `negatives` uniformly drawn known items
    as noes, and the items' latent vectors and weights are mirrored here as a matrix and a column: what a user scores
    them by is what river would say of each, but for what is the same for all items.

    Args:
        items: Most items there will be.
        factors: Length of the latent vectors.
        negatives: Noes a choice.
        seed: Of the draws.
    """

    def __init__(self, items: int, factors: int, negatives: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._negatives = negatives
        self._known = 0
        self._vectors = np.zeros((items, factors))
        self._weights = np.full(items, -np.inf)

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        scores = self._weights[:known].copy()
        vector = self._user_vector(user)
        if vector is not None:
            scores += self._vectors[:known] @ vector
        return scores[None]

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._known = max(self._known, item + 1)
        self._learn_one(user, item, yes=True)
        for other in self._rng.integers(0, self._known, self._negatives).tolist():
            if other != item and np.isfinite(self._weights[other]):
                self._learn_one(user, other, yes=False)

    def _user_vector(self, user: int) -> NDArray[np.float64] | None:
        """(factors,) of a user; None of one that is not known."""
        raise NotImplementedError

    def _learn_one(self, user: int, item: int, *, yes: bool) -> None:
        """Teach the model a pair, and mirror what it knows of the item."""
        raise NotImplementedError
