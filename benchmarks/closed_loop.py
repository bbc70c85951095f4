"""How good slates become when shoppers react to them: click rates beside popular, random and best possible slates.

A steady world, and one in which all tastes change at once half-way; freshet, and beside it whoever knows all items and
has to learn only the shoppers (`acquainted`): nobody can be expected to do better from these events. Figures are means
over seeds of the last part of a run, by counts and not by windows.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.acquainted import Acquainted
from connectors.event import Event
from connectors.recommendation import Recommendation
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.report import SimulatorReport
from connectors.simulator.simulation import Simulation
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states
from stream.settings import load

_START_MS = 1_700_000_000_000
_TICK_MS = 4_000
_PER_TICK = 32
_EVENTS = 200_000
_QUICK_EVENTS = 40_000
_MARK_EVERY = 5_000
_LAST_PART = 0.4
_BEFORE = 4  # marks before a rotation that tell how good it was
_AFTER = {"in 5k": (0, 1), "5k-10k": (1, 2), "10k-20k": (2, 4), "20k-40k": (4, 8)}
"""Stretches after a rotation, in marks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How many places were shown and clicked by arm when so many events had passed."""

    events: int
    places: dict[str, int]
    clicks: dict[str, float]

    @classmethod
    def of(cls, report: SimulatorReport) -> Mark:
        """What a report says; the bounds' clicks are counted as if for every place of the recommended arm."""
        arms = report.arms
        places = {arm: counts.impressions + counts.empty_places for arm, counts in arms.items()}
        clicks = {arm: float(counts.clicks) for arm, counts in arms.items()}
        for bound in ("oracle", "informed"):
            places[bound] = places["recommended"]
            clicks[bound] = (getattr(report.click_rate, bound) or 0.0) * places["recommended"]
        return cls(events=report.events, places=places, clicks=clicks)


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a scenario: click rates of the last part, and how long a rotation was felt."""
    keep_temporaries()
    events, seeds = (_QUICK_EVENTS, (0,)) if quick else (_EVENTS, (0, 1, 2))
    rows = []
    steady, turned = SimulatorConfig(), SimulatorConfig(rotate_at=events // 2)
    for name, config, recommender in (
        ("steady", steady, freshet),
        ("taste rotation", turned, freshet),
        ("steady, whoever knows all items", steady, acquainted),
        ("taste rotation, whoever knows all items", turned, acquainted),
    ):
        runs = []
        for seed in seeds:
            began = time.perf_counter()
            marks = play(replace(config, seed=seed), events, recommender)
            runs.append({**figures(marks, config.rotate_at), "seconds": time.perf_counter() - began})
        means = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        rows.append({"what": name, "events": events, "seeds": len(seeds), **means})
    return rows


Recommender = Callable[[list[Event], int], Sequence[Recommendation]]
"""From a batch of events, and the simulated time in ms, to slates."""


def freshet(_simulation: Simulation) -> Recommender:
    """What a worker does, by its defaults."""
    settings = load()
    pipeline, states = build_pipeline(settings), build_states(settings)
    return lambda events, now_ms: pipeline.step(events, states, now_ms).recommendations


def acquainted(simulation: Simulation) -> Recommender:
    """Whoever knows all items and has to learn the shoppers."""
    knowing = Acquainted(simulation.world, seed=simulation.config.seed)
    return lambda events, _now_ms: knowing.step(events)


def play(
    config: SimulatorConfig, events: int, recommender: Callable[[Simulation], Recommender] = freshet
) -> list[Mark]:
    """One shop, with slates delivered as soon as the step that made them has ended; a mark every 5,000 events."""
    simulation = Simulation(config, _START_MS)
    recommend = recommender(simulation)
    now_ms, done = _START_MS, 0
    marks = [Mark.of(simulation.report())]
    while done < events:
        now_ms += _TICK_MS
        batch = simulation.advance(now_ms, _PER_TICK)
        if not batch:
            continue
        for slate in recommend(batch, now_ms):
            simulation.receive(slate)
        done += len(batch)
        if done >= marks[-1].events + _MARK_EVERY or done >= events:
            marks.append(Mark.of(simulation.report()))
    return marks


def figures(marks: Sequence[Mark], rotate_at: int | None) -> dict[str, float]:
    """Click rates over the last part, their ratios, and the events from a rotation until its loss is made good."""
    last = next(mark for mark in marks if mark.events >= (1.0 - _LAST_PART) * marks[-1].events)
    rates = {
        name: rate(last, marks[-1], name)
        for name in ("recommended", "popularity", "random", "oracle", "informed")
    }
    return {
        **rates,
        "over_popularity": rates["recommended"] / rates["popularity"],
        "share_of_oracle": rates["recommended"] / rates["oracle"],
        "share_of_informed": rates["recommended"] / rates["informed"],
        **levels_after(marks, len(marks) // 2 * _MARK_EVERY if rotate_at is None else rotate_at),
    }


def rate(since: Mark, until: Mark, name: str) -> float:
    """Clicks per place between two marks; NaN where nothing was shown."""
    places = until.places[name] - since.places[name]
    return (until.clicks[name] - since.clicks[name]) / places if places else math.nan


def levels_after(marks: Sequence[Mark], moment: int) -> dict[str, float]:
    """Click rates in stretches after a moment, as shares of the rate in the 20,000 events before it.

    The first stretch begins with the rotation itself; whoever has recovered within 5,000 events is back at its level
    in the second one. Where nothing rotates the same figures show how far they move by themselves.
    """
    turn = next(n for n, mark in enumerate(marks) if mark.events >= moment)
    before = rate(marks[max(turn - _BEFORE, 0)], marks[turn], "recommended")
    return {
        f"level {name}": rate(marks[turn + first], marks[turn + last], "recommended") / before
        for name, (first, last) in _AFTER.items()
        if turn + last < len(marks)
    }
