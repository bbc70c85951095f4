"""Who comes when: which shopper visits next, which arm each belongs to, and the brand-new ones."""

from __future__ import annotations

import numpy as np

from connectors.simulator.config import SimulatorConfig
from connectors.simulator.report import Arm
from connectors.simulator.world import World

_ACTIVITY_SPREAD = 0.7
_TRIES = 16
_GOLDEN = 0.6180339887498949
_FOREVER_MS = 1 << 62


class Audience:
    """The shoppers as visitors. A shopper is in one visit at a time.

    Args:
        world: Where the shoppers live; brand-new ones are placed there.
        config: The arms' shares and the share of brand-new shoppers.
        start_ms: Simulated time from which everybody is idle.
        rng: Of every draw.
    """

    def __init__(
        self, world: World, config: SimulatorConfig, start_ms: int, rng: np.random.Generator
    ) -> None:
        self._world = world
        self._config = config
        self._rng = rng
        self.arms: list[Arm] = [self._arm_of(nth) for nth in range(config.shoppers)]
        self._busy_until_ms = [start_ms] * config.shoppers
        # Lognormal activity: a few shoppers come often, many rarely.
        activity = np.exp(_ACTIVITY_SPREAD * rng.standard_normal(config.shoppers))
        self._activity_cdf = np.cumsum(activity / activity.sum())

    def begin_visit(self, at_ms: int) -> tuple[int, str | None] | None:
        """Let somebody idle come in at `at_ms`, the active ones more often.

        Returns:
            The shopper's slot, and the id of the old shopper whose place a brand-new one has taken, where
            that happened. None when hardly anybody is idle.
        """
        shopper = self._idle(at_ms)
        if shopper is None:
            return None
        gone = None
        if self._rng.random() < self._config.cold_users:
            gone = self._world.shopper_ids[shopper]
            self.arms[shopper] = self._arm_of(self._world.shoppers_made)
            self._world.place_shopper(shopper, at_ms)
        self._busy_until_ms[shopper] = _FOREVER_MS
        self._world.begin_visit(shopper, at_ms)
        return shopper, gone

    def end_visit(self, shopper: int, at_ms: int) -> None:
        """The shopper is idle again from `at_ms`."""
        self._busy_until_ms[shopper] = at_ms

    def shoppers_per_arm(self) -> dict[str, int]:
        """How many shoppers each fixed arm has now."""
        return {arm: self.arms.count(arm) for arm in ("recommended", "popularity", "random")}

    def _idle(self, at_ms: int) -> int | None:
        last = self._config.shoppers - 1
        for slot in np.searchsorted(self._activity_cdf, self._rng.random(_TRIES)).tolist():
            idle = min(int(slot), last)
            if self._busy_until_ms[idle] <= at_ms:
                return idle
        return None

    def _arm_of(self, nth: int) -> Arm:
        """The arm of the n-th shopper ever: a golden-ratio sequence keeps every stretch near the shares."""
        place = (nth * _GOLDEN) % 1.0
        if place < self._config.popularity_share:
            return "popularity"
        if place < self._config.popularity_share + self._config.random_share:
            return "random"
        return "recommended"
