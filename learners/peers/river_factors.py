"""river's online matrix factorisation as a recommender: implicit feedback with sampled negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from river import optim, reco

from learners.peers.peer import Scores


class RiverFactors:
    """See `learners.peers.peer.Peer`. `river.reco.BiasedMF` on 1 for a choice and 0 for items drawn at random.

    river knows ratings, not choices, and predicts one pair at a time. So each choice is a rating of 1 with
    `negatives` uniformly drawn known items as ratings of 0, and the ranking over all items is one product
    with the items' latent vectors, mirrored here as a matrix: exactly what `predict_one` says for each of
    them (biases of user and mean are the same for all items).

    Args:
        items: Most items there will be.
        factors: Length of the latent vectors.
        negatives: Zeros a choice.
        learning_rate: Of stochastic gradient descent, for vectors and biases.
        seed: Of the first vectors and of the draws.
    """

    names = ("river BiasedMF",)

    def __init__(
        self,
        items: int,
        *,
        factors: int = 16,
        negatives: int = 4,
        learning_rate: float = 0.05,
        seed: int = 0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._negatives = negatives
        self._known = 0
        self.model: Any = reco.BiasedMF(
            n_factors=factors,
            bias_optimizer=optim.SGD(learning_rate),
            latent_optimizer=optim.SGD(learning_rate),
            latent_initializer=optim.initializers.Normal(mu=0.0, sigma=0.1, seed=seed),
            seed=seed,
        )
        self._vectors = np.zeros((items, factors))
        self._biases = np.full(items, -np.inf)

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        vectors = self.model.u_latents
        scores = self._biases[:known].copy()
        if user in vectors:
            scores += self._vectors[:known] @ vectors[user]
        return scores[None]

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._known = max(self._known, item + 1)
        self._learn_one(user, item, 1.0)
        for other in self._rng.integers(0, self._known, self._negatives).tolist():
            if other != item and np.isfinite(self._biases[other]):
                self._learn_one(user, other, 0.0)

    def _learn_one(self, user: int, item: int, rating: float) -> None:
        self.model.learn_one(user=user, item=item, y=rating)
        self._vectors[item] = self.model.i_latents[item]
        self._biases[item] = self.model.i_biases[item]
