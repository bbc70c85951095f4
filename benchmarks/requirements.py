"""What is required of speed and size, and whether a run of the benchmarks meets it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Requirement:
    """One figure and its bound.

    Attributes:
        what: In words.
        path: Where it stands: the benchmark, then keys of its JSON.
        sense: Which side of the bound is good.
        bound: In `unit`.
        unit: Of both.
    """

    what: str
    path: tuple[str, ...]
    sense: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    def measured(self, results: Mapping[str, Any]) -> float | None:
        """The figure, NaN where it was none; None where it was not measured."""
        found: Any = results
        for key in self.path:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return math.nan if found is None else float(found)

    def met(self, results: Mapping[str, Any]) -> bool | None:
        """Whether the figure is within its bound; None where it was not measured."""
        value = self.measured(results)
        if value is None:
            return None
        return value >= self.bound if self.sense == "at least" else value <= self.bound


REQUIREMENTS = (
    Requirement(
        "Events a second learned by the full pipeline, over those of a stock Faust agent that does nothing",
        ("ladder", "learning_over_stock"),
        "at least",
        1.0,
    ),
    Requirement(
        "The same with a slate for each touched user and batch, 100,000 items, published: events a second and core",
        ("ladder", "learning_and_recommending_events_per_s_core"),
        "at least",
        5_000.0,
    ),
    Requirement(
        "Freshness at 1,000 events a second, a slate for each event: median",
        ("freshness", "at_1000_per_s", "p50_ms"),
        "at most",
        25.0,
        "ms",
    ),
    Requirement(
        "Freshness at 1,000 events a second: 99th percentile",
        ("freshness", "at_1000_per_s", "p99_ms"),
        "at most",
        100.0,
        "ms",
    ),
    Requirement(
        "Freshness at 80 % of full speed: 99th percentile",
        ("freshness", "at_80_percent", "p99_ms"),
        "at most",
        500.0,
        "ms",
    ),
    Requirement(
        "A slate of a million items, 64 users at a time",
        ("scale", "slate_ms_of_64"),
        "at most",
        0.4,
        "ms a user",
    ),
    Requirement(
        "A slate of a million items for a single user: 99th percentile",
        ("scale", "slate_ms_of_1_p99"),
        "at most",
        5.0,
        "ms",
    ),
    Requirement(
        "What an event costs with a million users and items, over ten thousand of each",
        ("scale", "event_us_growth"),
        "at most",
        1.5,
    ),
    Requirement(
        "What a slate costs with a million users and items, over ten thousand of each: 64 users at a time",
        ("scale", "slate_us_of_64_growth"),
        "at most",
        1.5,
    ),
    Requirement("The same for a single user", ("scale", "slate_us_of_1_growth"), "at most", 1.5),
    Requirement(
        "Resident memory of a worker with a million users and items, D = 64, histories of 20",
        ("scale", "largest", "resident_gb"),
        "at most",
        2.5,
        "GB",
    ),
    Requirement(
        "From the start of that worker until it is ready",
        ("scale", "largest", "restart_s"),
        "at most",
        20.0,
        "s",
    ),
    Requirement(
        "Longest stall of its stream for a checkpoint of what changed",
        ("scale", "largest", "stall_ms"),
        "at most",
        100.0,
        "ms",
    ),
    Requirement(
        "The same for a checkpoint of everything, such as the first one",
        ("scale", "largest", "whole_stall_ms"),
        "at most",
        100.0,
        "ms",
    ),
    Requirement(
        "Two workers on two cores, over one", ("workers", "speed_up_of_two"), "at least", 1.6, "times"
    ),
)
