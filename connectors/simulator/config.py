"""What a simulated shop looks like: its size, its switches and its arms."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorConfig:
    """Size and switches of a simulated shop (`docs/simulator.md` has the equations).

    Attributes:
        seed: Of every random draw; it also stands in the shoppers' and items' ids.
        shoppers: How many shoppers there are at any time.
        items: How many items are on sale at any time.
        dimension: Length of the taste and item vectors.
        categories: How many categories the items come from.
        places: How many places of a slate a page shows.
        popularity_share: Share of the shoppers who always see the most popular items.
        random_share: Share of the shoppers who always see random items.
        organic_share: Share of the sessions that begin with an own search and a view.
        drift: Part of the way to their next taste that shoppers go in a simulated hour; 0 for steady tastes.
        rotate_at: After this many events every shopper's favourite categories change at once; None for never.
        new_items: Items that replace an old one in a simulated hour.
        cold_users: Share of the sessions that are the first of a brand-new shopper, who replaces an old one.
        label_delay: Every delay between a cause and its label is multiplied by it.
        popularity_half_life_s: Of the click counts behind the popularity slate, simulated seconds.
        satiation_s: Time constant with which a clicked item becomes attractive again, simulated seconds.
        oracle_every: The oracle is evaluated at every n-th page; 1 is exact, more is cheaper.
        window_s: First length of the report's windows, simulated seconds; long runs double it.
    """

    seed: int = 0
    shoppers: int = 2_000
    items: int = 1_000
    dimension: int = 16
    categories: int = 20
    places: int = 10
    popularity_share: float = 0.1
    random_share: float = 0.1
    organic_share: float = 0.6
    drift: float = 0.01
    rotate_at: int | None = None
    new_items: float = 2.0
    cold_users: float = 0.0
    label_delay: float = 1.0
    popularity_half_life_s: float = 6 * 3_600.0
    satiation_s: float = 3_600.0
    oracle_every: int = 4
    window_s: float = 600.0

    def __post_init__(self) -> None:
        """Refuse what no shop can be.

        Raises:
            ValueError: A value out of range; the message names it, its value and what is allowed.
        """
        for name in ("shoppers", "items", "dimension", "categories", "places", "oracle_every"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        _require(self, "seed", self.seed >= 0, "0 or more")
        for name in ("popularity_share", "random_share", "organic_share", "cold_users"):
            _require(self, name, 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        for name in ("drift", "new_items"):
            value = getattr(self, name)
            _require(self, name, math.isfinite(value) and value >= 0.0, "0 or more")
        for name in ("label_delay", "popularity_half_life_s", "satiation_s", "window_s"):
            value = getattr(self, name)
            _require(self, name, math.isfinite(value) and value > 0.0, "more than 0")
        _require(self, "places", self.places <= self.items, f"at most the number of items ({self.items})")
        _require(self, "rotate_at", self.rotate_at is None or self.rotate_at >= 1, "at least 1")
        both = self.popularity_share + self.random_share
        if both > 1.0:
            raise ValueError(f"popularity_share and random_share together are {both:g}: at most 1 is allowed")


def _require(config: SimulatorConfig, name: str, holds: bool, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {getattr(config, name)!r}: it must be {allowed}")
