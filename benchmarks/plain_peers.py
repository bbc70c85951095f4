"""Two recommenders as one would write them first: river's factorisation machine, and torch with a dense optimiser.

Both learn a choice as a yes and some items drawn at random as noes, one event at a time, like `RiverFactors` among the
evaluation's peers. See `learners.peers.peer.Peer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from river import facto, optim
from torch import Tensor, nn

from learners.peers.mirrored import MirroredFactors
from learners.peers.peer import Scores


class RiverMachine(MirroredFactors):
    """`river.facto.FMClassifier` (Rendle, 2010) on user and item.

    Args:
        items: Most items there will be.
        factors: Length of the latent vectors.
        negatives: Noes a choice.
        learning_rate: Of stochastic gradient descent.
        seed: Of the first vectors and of the draws.
    """

    names = ("river FMClassifier",)

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
        self.model: Any = facto.FMClassifier(
            n_factors=factors,
            weight_optimizer=optim.SGD(learning_rate),
            latent_optimizer=optim.SGD(learning_rate),
            latent_initializer=optim.initializers.Normal(mu=0.0, sigma=0.1, seed=seed),
            seed=seed,
        )

    def _user_vector(self, user: int) -> NDArray[np.float64] | None:
        vector: NDArray[np.float64] | None = self.model.latents.get(f"user_{user}")
        return vector

    def _learn_one(self, user: int, item: int, *, yes: bool) -> None:
        self.model.learn_one({"user": str(user), "item": str(item)}, yes)
        self._vectors[item] = self.model.latents[f"item_{item}"]
        self._weights[item] = self.model.weights[f"item_{item}"]


class DenseFactors:
    """Vectors of users and items in two `nn.Embedding`s, a logistic loss, and Adam over all of it at each event.

    Args:
        users: Most users there will be.
        items: Most items there will be.
        dimension: Length of the vectors.
        negatives: Noes a choice.
        learning_rate: Of Adam.
        seed: Of the first vectors and of the draws.
    """

    names = ("torch, dense Adam an event",)

    def __init__(
        self,
        users: int,
        items: int,
        *,
        dimension: int = 64,
        negatives: int = 4,
        learning_rate: float = 0.001,
        seed: int = 0,
    ) -> None:
        self._draws = torch.Generator().manual_seed(seed)
        self._negatives = negatives
        self._known = 0
        self._users, self._items = nn.Embedding(users, dimension), nn.Embedding(items, dimension)
        for table in (self._users, self._items):
            nn.init.normal_(table.weight, std=0.1, generator=self._draws)
        parameters = [*self._users.parameters(), *self._items.parameters()]
        self._optimiser = torch.optim.Adam(parameters, lr=learning_rate)

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """See `Peer`."""
        with torch.no_grad():
            found = self._items.weight[:known] @ self._users.weight[user]
        scores: Scores = found.numpy().astype(np.float64)[None]
        return scores

    def learn(self, user: int, item: int, now_s: float) -> None:
        """See `Peer`."""
        self._known = max(self._known, item + 1)
        drawn = torch.randint(self._known, (self._negatives,), generator=self._draws)
        rows = torch.cat([torch.tensor([item]), drawn])
        labels = (rows == item).float()
        self._optimiser.zero_grad()
        logits: Tensor = self._items(rows) @ self._users.weight[user]
        nn.functional.binary_cross_entropy_with_logits(logits, labels).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
