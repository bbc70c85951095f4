"""The best that anybody could do who knows everything but what a visit is for: a bound below the oracle."""

from __future__ import annotations

import numpy as np

from connectors.simulator.world import SEARCH_FOCUS, Floats, Slots, World


class Informed:
    """Knows every taste, item, quality and satiation, and what the visit has shown so far; not its intent.

    The intent is one of the shopper's favourite categories. Its probability is Bayes' posterior: the prior is the
    shopper's mix of favourites; an own search that found item i has the likelihood
    exp(2 logit_i) / mean exp(2 logit), a click σ(logit_i), each under the intent in question. An item's worth
    is Σ_k P(k | visit) σ(logit_i | k). What was shown and not clicked is left out, as most recommenders do.

    Nobody who cannot read minds expects more clicks than this (but for what the unclicked places tell), so a
    recommender is to be compared with it rather than with the oracle.

    Args:
        world: The truth.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tastes: dict[int, Floats] = {}
        self._beliefs: dict[int, Floats] = {}

    def begin_visit(self, shopper: int) -> None:
        """A visit begins; nothing is known of it yet."""
        prior, self._tastes[shopper] = self._world.intents(shopper)
        self._beliefs[shopper] = np.log(prior)

    def viewed(self, shopper: int, item: int, now_ms: int) -> None:
        """An own search found the item; to be told before it has satiated anybody."""
        logits = SEARCH_FOCUS * self._logits(shopper, now_ms)
        self._beliefs[shopper] += logits[:, item] - np.log(np.exp(logits).mean(axis=1))

    def clicked(self, shopper: int, item: int, now_ms: int) -> None:
        """The item was clicked; to be told before it has satiated anybody."""
        self._beliefs[shopper] += np.log(self._world.attraction(self._logits(shopper, now_ms)[:, item]))

    def posterior(self, shopper: int) -> Floats:
        """Probability of each intent, in the order of `World.intents`."""
        belief = self._beliefs[shopper]
        odds: Floats = np.exp(belief - belief.max())
        posterior: Floats = odds / odds.sum()
        return posterior

    def best_slate(self, shopper: int, now_ms: int) -> Slots:
        """The slate with the most expected clicks as far as can be known."""
        worth = self.posterior(shopper) @ self._world.attraction(self._logits(shopper, now_ms))
        places = self._world.config.places
        part = np.argpartition(worth, -places)[-places:]
        slate: Slots = part[np.argsort(-worth[part])]
        return slate

    def _logits(self, shopper: int, now_ms: int) -> Floats:
        """(intents, N) attraction of every item under every intent."""
        return np.stack([self._world.logits(shopper, now_ms, taste=taste) for taste in self._tastes[shopper]])
