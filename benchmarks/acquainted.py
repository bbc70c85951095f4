"""The best that can be hoped for of whoever has to learn the shoppers: a bound on every recommender's click rate.

It knows the simulated shop's items, their categories and qualities, how satiation fades, and the law by which tastes
are drawn. What it has to learn, from the same events as anybody, is each shopper's taste and what a visit is for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from connectors.event import Event
from connectors.recommendation import ModelVersion, Recommendation, RecommendedItem
from connectors.simulator.world import (
    BIAS,
    CLICKED_PENALTY,
    PURCHASE_CONSTANT_S,
    PURCHASED_PENALTY,
    SEARCH_FOCUS,
    SHARPNESS,
    Floats,
    World,
)

_IMAGINED = 20_000  # shoppers of whom everybody's guesses are drawn
_INTENTS = 4  # most that a visit can have: one or two favourites on each side of the way
_FEW = 0.1  # of the guesses that count; below, they are drawn anew
_ROUGHEN = 0.08
_LIKELIEST = 128
_SAMPLED_ITEMS = 100
_IMPOSSIBLE = -1e30


@dataclass(slots=True)
class _Shopper:
    """What is believed of one shopper.

    Attributes:
        tastes: (P, I, D) of a visit, by guess and intent.
        prior: (P, I) logarithms of how likely the intents are.
        guesses: (P,) logarithms of the guesses' weights, before this visit.
        visit: (P, I) those of the guesses and intents in this visit.
        session_id: The visit.
        clicked: When each item was clicked last, ms.
        purchased: When each item was bought last, ms.
    """

    tastes: Floats
    prior: Floats
    guesses: Floats
    visit: Floats
    session_id: str | None = None
    clicked: dict[str, int] = field(default_factory=dict)
    purchased: dict[str, int] = field(default_factory=dict)


class Acquainted:
    """Bayes' rule over P guesses at each shopper's taste, by sequential importance resampling (Gordon et al., 1993).

    Args:
        world: The truth; its shoppers' tastes are not looked at.
        guesses: P.
        seed: Of the guesses.
    """

    def __init__(self, world: World, guesses: int = 1_500, seed: int = 0) -> None:
        self._world, self._size = world, guesses
        self._rng = np.random.default_rng(seed)
        self._shoppers: dict[str, _Shopper] = {}
        self._tastes, self._prior = self._imagine(max(_IMAGINED, guesses))
        self._slates = 0

    def step(self, events: Sequence[Event]) -> list[Recommendation]:
        """Learn from events, and make a slate for everybody who views, clicks or is shown something in them."""
        for event in events:
            slot = self._world.item_slots.get(event.item_id)
            if slot is not None:
                self._observe(event, slot)
        users = dict.fromkeys(event.user_id for event in events)
        return [self._recommend(user, events[-1]) for user in users if user in self._shoppers]

    def _observe(self, event: Event, slot: int) -> None:
        shopper = self._shoppers.get(event.user_id)
        if shopper is None:
            shopper = self._shoppers[event.user_id] = self._stranger()
        if event.session_id != shopper.session_id and event.event_type in ("view", "impression"):
            self._begin_visit(shopper)
            shopper.session_id = event.session_id
        logits = self._logits(shopper, np.array([slot]), event.occurred_at_ms)[:, :, 0]
        place = self._world.examination[event.position or 0]
        chance = place / (1.0 + np.exp(-logits))
        if event.event_type == "view":
            some = self._rng.integers(self._world.config.items, size=_SAMPLED_ITEMS)
            others = np.exp(SEARCH_FOCUS * self._logits(shopper, some, event.occurred_at_ms))
            shopper.visit += SEARCH_FOCUS * logits - np.log(others.mean(axis=2))
        elif event.event_type == "impression":
            shopper.visit += np.log1p(-chance)
        elif event.event_type == "click":
            shopper.visit += np.log(chance) - np.log1p(-chance)
        if event.event_type in ("view", "click"):
            shopper.clicked[event.item_id] = event.occurred_at_ms
        elif event.event_type == "purchase":
            shopper.purchased[event.item_id] = event.occurred_at_ms

    def _imagine(self, count: int) -> tuple[Floats, Floats]:
        """(N, I, D) tastes of visits and (N, I) logarithms of their probabilities, of shoppers as there could be."""
        world = self._world
        tastes = np.zeros((count, _INTENTS, world.config.dimension))
        prior = np.full((count, _INTENTS), _IMPOSSIBLE)
        for one in range(count):
            way = self._rng.random()
            (mix, leaning), (next_mix, next_leaning) = (world.fresh_taste(self._rng) for _ in range(2))
            mix = (1.0 - way) * mix + way * next_mix
            lasting = mix @ world.categories + (1.0 - way) * leaning + way * next_leaning
            likely, of_visit = world.intents_of(mix, lasting)
            tastes[one, : len(likely)], prior[one, : len(likely)] = of_visit, np.log(likely)
        return tastes, prior

    def _stranger(self) -> _Shopper:
        drawn = self._rng.choice(len(self._prior), self._size, replace=False)
        return _Shopper(
            tastes=self._tastes[drawn],
            prior=self._prior[drawn],
            guesses=np.zeros(self._size),
            visit=self._prior[drawn],
        )

    def _begin_visit(self, shopper: _Shopper) -> None:
        """The last visit says what it says of the guesses; where few are left that count, new ones are made of them."""
        if shopper.session_id is not None:
            peak = shopper.visit.max(axis=1)
            shopper.guesses += peak + np.log(np.exp(shopper.visit - peak[:, None]).sum(axis=1))
            weights = _normalised(shopper.guesses)
            if 1.0 / np.square(weights).sum() < _FEW * self._size:
                drawn = self._rng.choice(self._size, self._size, p=weights)
                moved = shopper.tastes[drawn]
                moved += _ROUGHEN * self._rng.standard_normal((self._size, 1, moved.shape[2]))
                shopper.tastes = moved / np.linalg.norm(moved, axis=2, keepdims=True)
                shopper.prior, shopper.guesses = shopper.prior[drawn], np.zeros(self._size)
        shopper.visit = shopper.prior.copy()

    def _logits(self, shopper: _Shopper, slots: Floats, now_ms: int) -> Floats:
        """(P, I, N) attraction of items under every guess and intent."""
        logits: Floats = SHARPNESS * (shopper.tastes @ self._world.item_vectors[slots].T)
        return logits + (self._world.quality[slots] + BIAS - self._satiation(shopper, now_ms)[slots])

    def _satiation(self, shopper: _Shopper, now_ms: int) -> Floats:
        """(N,) of all items."""
        satiation = np.zeros(self._world.config.items)
        for memory, strength, constant_s in (
            (shopper.clicked, CLICKED_PENALTY, self._world.config.satiation_s),
            (shopper.purchased, PURCHASED_PENALTY, PURCHASE_CONSTANT_S),
        ):
            for item, at_ms in memory.items():
                slot = self._world.item_slots.get(item)
                if slot is not None:
                    satiation[slot] += strength * math.exp(-max(now_ms - at_ms, 0) / (1_000.0 * constant_s))
        return satiation

    def _recommend(self, user_id: str, trigger: Event) -> Recommendation:
        shopper, world = self._shoppers[user_id], self._world
        weights = _normalised((shopper.visit + shopper.guesses[:, None]).ravel())
        likely = np.argsort(-weights)[:_LIKELIEST]
        tastes = shopper.tastes.reshape(-1, shopper.tastes.shape[2])[likely]
        logits = SHARPNESS * (tastes @ world.item_vectors.T) + world.quality + BIAS
        logits -= self._satiation(shopper, trigger.occurred_at_ms)
        worth = _normalised(np.log(weights[likely])) @ world.attraction(logits)
        best = np.argsort(-worth)[: world.config.places].tolist()
        self._slates += 1
        return Recommendation(
            recommendation_id=f"acquainted-{self._slates}",
            user_id=user_id,
            generated_at_ms=trigger.occurred_at_ms,
            trigger_event_id=trigger.event_id,
            model=ModelVersion(version="acquainted", step=self._slates),
            outcome="ok",
            items=[
                RecommendedItem(
                    item_id=world.item_ids[slot], rank=rank, score=float(worth[slot]), source="bayes"
                )
                for rank, slot in enumerate(best)
            ],
        )


def _normalised(logarithms: Floats) -> Floats:
    weights: Floats = np.exp(logarithms - logarithms.max())
    return weights / weights.sum()
