"""What a demonstration plays: a small shop that is dense enough to be learned while somebody watches, or a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from connectors.simulator.clock import SimulatedClock
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.report import SimulatorReport
from connectors.simulator.simulation import Simulation
from connectors.sources.files import FileSource
from connectors.sources.titles import item_titles

_TIME_SCALE = 600.0  # ten hours of shopping a minute
_SHOP = SimulatorConfig(shoppers=300, items=300, categories=12, organic_share=0.9, places=6)
_RECENT = 4
_SHOWN = 6


def wall_ms() -> int:
    """The clock, UTC milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Either a simulation with its clock, or a log.

    Attributes:
        name: For people.
        simulation: The shoppers, None for a log.
        clock: Their time.
        log: The log, None for a simulation.
        titles: Titles of items, live.
    """

    name: str
    simulation: Simulation | None
    clock: SimulatedClock | None
    log: FileSource | None
    titles: Mapping[str, str]

    def report(self) -> SimulatorReport | None:
        """What the simulation knows by now."""
        return self.simulation.report() if self.simulation is not None else None

    def title(self, item_id: str) -> str:
        """The item's title, its id where it has none."""
        return self.titles.get(item_id) or item_id

    def sample(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """A user's state (as `/users/ID` shows it) with titles instead of ids."""
        if state is None:
            return None
        recent = [
            f"{entry['event_type']} {self.title(entry['item_id'])}" for entry in state["history"][-_RECENT:]
        ]
        slate = [self.title(place["item_id"]) for place in state["slate"][:_SHOWN]]
        return {"user_id": state["user_id"], "recent": recent, "slate": slate}


def shop(seed: int, duration_s: float) -> Scenario:
    """Simulated shoppers whose time ends with the demonstration."""
    clock = SimulatedClock.ending_now(wall_ms, scale=_TIME_SCALE, duration_s=duration_s)
    simulation = Simulation(replace(_SHOP, seed=seed), clock.start_ms)
    return Scenario("simulated shoppers", simulation, clock, None, simulation.titles)


def log(path: Path) -> Scenario:
    """A real log.

    Raises:
        connectors.sources.files.LogError: It cannot be read.
    """
    source = FileSource(path)
    titles = {item_id: title.title for item_id, title in item_titles(path).items()} if path.is_dir() else {}
    return Scenario(str(path), None, None, source, titles)
