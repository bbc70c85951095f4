"""river's online matrix factorisation as a recommender: implicit feedback with sampled negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import optim, reco

from learners.peers.mirrored import MirroredFactors


class RiverFactors(MirroredFactors):
    """`river.reco.BiasedMF` on 1 for a choice and 0 for items drawn at random: it knows ratings, not choices.

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
        super().__init__(items, factors, negatives, seed)
        self.model: Any = reco.BiasedMF(
            n_factors=factors,
            bias_optimizer=optim.SGD(learning_rate),
            latent_optimizer=optim.SGD(learning_rate),
            latent_initializer=optim.initializers.Normal(mu=0.0, sigma=0.1, seed=seed),
            seed=seed,
        )

    def _user_vector(self, user: int) -> NDArray[np.float64] | None:
        vector: NDArray[np.float64] | None = self.model.u_latents.get(user)
        return vector

    def _learn_one(self, user: int, item: int, *, yes: bool) -> None:
        self.model.learn_one(user=user, item=item, y=float(yes))
        self._vectors[item] = self.model.i_latents[item]
        self._weights[item] = self.model.i_biases[item]
