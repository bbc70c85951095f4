"""Drift that is made: what changes in a simulated shop or in a log from some moment on, at once or little by little."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from msgspec.structs import replace

from connectors.event import Event
from connectors.simulator.world import World

Kind = Literal["none", "taste_rotation", "base_rate", "label_noise", "item_churn", "broken_task"]

KINDS: tuple[Kind, ...] = (
    "none",
    "taste_rotation",
    "base_rate",
    "label_noise",
    "item_churn",
    "broken_task",
)
OF_LOGS: tuple[Kind, ...] = ("none", "taste_rotation", "item_churn")
"""Those that a log without impressions can show."""

_GRADUAL_EVENTS = 10_000
_LABEL = "add_to_cart"
_LEFT = 0.4  # of the carts, where their base rate shifts
_CHURNED = 0.4  # of the items


@dataclass(frozen=True, slots=True)
class Drift:
    """What changes.

    Attributes:
        kind: What.
        gradual: Little by little within 10,000 events instead of at once.
    """

    kind: Kind
    gradual: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind}, gradual" if self.gradual else self.kind

    @property
    def complete(self) -> int:
        """Events after which all of it has happened."""
        return _GRADUAL_EVENTS if self.gradual else 0

    def progress(self, events: int) -> float:
        """Which part of it has happened so many events after it began."""
        return min(events / _GRADUAL_EVENTS, 1.0) if self.gradual else 1.0


class ShopDrift:
    """Changes a simulated shop: its world before each step, and the events that come out of it.

    Args:
        drift: What changes.
        seed: Of its draws.
    """

    def __init__(self, drift: Drift, seed: int) -> None:
        self._drift = drift
        self._rng = np.random.default_rng([seed, 7])
        self._successor: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None
        self._order: list[int] = []
        self._shown: list[Event] = []

    def advance(self, world: World, events: int) -> None:
        """So many events after the beginning."""
        wanted = self._drift.progress(events)
        if self._drift.kind == "taste_rotation":
            if self._successor is None:
                self._successor = world.successors()
                self._order = self._rng.permutation(world.config.shoppers).tolist()
            left = round((1.0 - wanted) * world.config.shoppers)
            turning = [self._order.pop() for _ in range(len(self._order) - left)]
            if turning:
                world.turn(turning, self._successor)
        elif self._drift.kind == "item_churn":
            if self._successor is None:
                self._successor = np.zeros(0, np.intp)
                count = round(_CHURNED * world.config.items)
                self._order = self._rng.permutation(world.config.items)[:count].tolist()
            left = round((1.0 - wanted) * _CHURNED * world.config.items)
            for slot in [self._order.pop() for _ in range(len(self._order) - left)]:
                world.place_item(slot)

    def apply(self, batch: Iterable[Event], events: int) -> list[Event]:
        """What is told of a step's events."""
        return [told for event in batch if (told := self._tell(event, events)) is not None]

    def _tell(self, event: Event, events: int) -> Event | None:
        kind = self._drift.kind
        if event.event_type == "impression":
            self._shown = [*self._shown[-199:], event]
        if event.event_type != _LABEL or kind not in ("base_rate", "label_noise", "broken_task"):
            return event
        if self._rng.random() >= self._drift.progress(events):
            return event
        if kind == "base_rate":
            return event if self._rng.random() < _LEFT else None
        if kind == "broken_task" or not self._shown:
            return None
        other = self._shown[int(self._rng.integers(len(self._shown)))]
        return replace(
            event,
            user_id=other.user_id,
            item_id=other.item_id,
            session_id=other.session_id,
            recommendation_id=other.recommendation_id,
            position=other.position,
        )


class LogDrift:
    """Changes a log from a moment on: who the users are, or which items there are.

    Args:
        drift: What changes.
        users: All of them.
        items: All of them.
        seed: Of its draws.
    """

    def __init__(self, drift: Drift, users: list[str], items: list[str], seed: int) -> None:
        rng = np.random.default_rng([seed, 11])
        self._drift = drift
        order = rng.permutation(len(users))
        self._instead = {users[n]: users[m] for n, m in zip(order, np.roll(order, 1), strict=True)}
        self._turns = dict(zip(users, rng.random(len(users)).tolist(), strict=True))
        self._churned = dict(zip(items, (rng.random(len(items)) / _CHURNED).tolist(), strict=True))

    def apply(self, batch: Iterable[Event], events: int) -> list[Event]:
        """What is told of a step's events, so many events after the beginning."""
        progress = self._drift.progress(events)
        if self._drift.kind == "taste_rotation":
            return [
                replace(event, user_id=self._instead[event.user_id])
                if self._turns[event.user_id] < progress
                else event
                for event in batch
            ]
        if self._drift.kind == "item_churn":
            return [
                replace(event, item_id=f"new {event.item_id}")
                if self._churned[event.item_id] < progress
                else event
                for event in batch
            ]
        return list(batch)
