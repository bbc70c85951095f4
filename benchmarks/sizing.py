"""From measured speeds and sizes to how many workers a load needs, and how much memory each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HEADROOM = 0.7
"""Share of a group's speed that is planned with: the rest is for peaks and for catching up."""

MOST = 16
"""Workers of a group that are thought of."""

LOADS = (
    (500, 100_000, 10_000),
    (1_000, 1_000_000, 100_000),
    (2_000, 1_000_000, 1_000_000),
    (5_000, 1_000_000, 1_000_000),
)
"""Events a second, users, items."""


def speed_up(workers: int, of_two: float) -> float:
    """How much more so many workers do than one, from what two do.

    Each event costs its owner all of its work and every other worker a part f of it, since all count everything. Two
    workers give 2 / (1 + f), which says what f is; n give 1 / (1 / n + (1 - 1 / n) f), and never more than 1 / f.
    """
    followed = max(2.0 / of_two - 1.0, 0.0)
    return 1.0 / (1.0 / workers + (1.0 - 1.0 / workers) * followed)


def workers_for(events_per_s: float, alone: float, of_two: float) -> int | None:
    """The fewest workers that keep up with headroom; None where no number of them does."""
    for workers in range(1, MOST + 1):
        if HEADROOM * alone * speed_up(workers, of_two) >= events_per_s:
            return workers
    return None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory as a plane over users and items, in GB."""

    base: float
    a_million_users: float
    a_million_items: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Memory:
        """The plane that is nearest to rows with `users`, `items` and `resident_gb`."""
        known = np.array([[1.0, row["users"] / 1e6, row["items"] / 1e6] for row in rows])
        found, *_ = np.linalg.lstsq(known, np.array([row["resident_gb"] for row in rows]), rcond=None)
        return cls(*map(float, found))

    def at(self, users: int, items: int) -> float:
        """GB of a worker with so many."""
        return self.base + self.a_million_users * users / 1e6 + self.a_million_items * items / 1e6


def sizing(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a load of `LOADS`, from the JSON of `ladder`, `workers` and `scale`."""
    alone, of_two = results["ladder"]["worker_events_per_s"], results["workers"]["speed_up_of_two"]
    memory = Memory.of(results["scale"]["rows"])
    return [
        {
            "events_per_s": events_per_s,
            "users": users,
            "items": items,
            "workers": workers_for(events_per_s, alone, of_two),
            "GB_each": memory.at(users, items),
        }
        for events_per_s, users, items in LOADS
    ]
