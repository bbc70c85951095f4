"""How good slates become when shoppers react to them: click rates beside popular, random and best possible slates."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np

from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states
from stream.settings import load

_START_MS = 1_700_000_000_000
_TICK_MS = 4_000
_PER_TICK = 32
_EVENTS = 200_000
_WINDOW = 10_000


def measure(quick: bool) -> list[dict[str, Any]]:
    """Clicks per place over the last window, by seed and scenario; rotation recovers after how many events."""
    keep_temporaries()
    events, seeds = (40_000, (0,)) if quick else (_EVENTS, (0, 1, 2))
    rows = []
    for name, config in {
        "steady": SimulatorConfig(),
        "taste rotation": SimulatorConfig(rotate_at=events // 2),
    }.items():
        runs = [play(replace(config, seed=seed), events) for seed in seeds]
        rows.append({"what": name, **{key: statistics.mean(run[key] for run in runs) for key in runs[0]}})
    return rows


def play(config: SimulatorConfig, events: int, report: bool = False) -> dict[str, float]:
    """One shop, with slates delivered as soon as the step that made them has ended."""
    settings = load()
    pipeline, states = build_pipeline(settings), build_states(settings)
    simulation = Simulation(config, _START_MS)
    now_ms, done, shown = _START_MS, 0, 0
    began = time.perf_counter()
    while done < events:
        now_ms += _TICK_MS
        batch = simulation.advance(now_ms, _PER_TICK)
        if not batch:
            continue
        step = pipeline.step(batch, states, now_ms)
        for slate in step.recommendations:
            simulation.receive(slate)
        done += len(batch)
        if report and done // _WINDOW > shown:
            shown = done // _WINDOW
            last = simulation.report().windows[-2:][0]
            print(
                done,
                {k: v and round(v, 4) for k, v in _rates(last.click_rate).items()},
                f"{time.perf_counter() - began:.0f}s",
                flush=True,
            )
    return _rates(simulation.report().windows[-2].click_rate)


def _rates(rate: Any) -> dict[str, float]:
    return {
        "recommended": rate.recommended,
        "popularity": rate.popularity,
        "random": rate.random,
        "oracle": rate.oracle,
    }
