"""What an event costs in the pipeline: decoding, and whole steps by batch size, with one slate a touched user."""

from __future__ import annotations

import statistics
import time
from typing import Any

from connectors.event import Event, encode_event
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from stream.allocator import keep_temporaries
from stream.assembly import build_decoder, build_pipeline, build_states
from stream.settings import Settings, load

_START_MS = 1_700_000_000_000
_WARM_UP = 10_000
_BATCHES = (1, 16, 64, 512)


def measure(quick: bool) -> list[dict[str, Any]]:
    """Microseconds an event, median, least and most of the repetitions, interleaved over the batch sizes."""
    keep_temporaries()
    settings = load()
    repetitions, events_each = (3, 1_024) if quick else (5, 4_096)
    needed = _WARM_UP + repetitions * len(_BATCHES) * events_each
    events = _shop(needed)
    costs: dict[str, list[float]] = {
        "decode": [_decoding(settings, events[:events_each]) for _ in range(repetitions)]
    }
    pipeline, states = build_pipeline(settings), build_states(settings)
    for start in range(0, _WARM_UP, 512):
        pipeline.step(events[start : start + 512], states, 0)
    at = _WARM_UP
    slates = dict.fromkeys(_BATCHES, 0)
    for _ in range(repetitions):
        for batch in _BATCHES:
            began = time.perf_counter()
            for start in range(at, at + events_each, batch):
                step = pipeline.step(events[start : start + batch], states, 0)
                slates[batch] += len(step.recommendations)
            costs.setdefault(f"step, batches of {batch}", []).append(
                (time.perf_counter() - began) / events_each * 1e6
            )
            at += events_each
    shares: list[float | str] = ["-", *(slates[batch] / (repetitions * events_each) for batch in _BATCHES)]
    return [
        {
            "what": name,
            "us_per_event": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "events_per_s": 1e6 / statistics.median(values),
            "slates_per_event": share if isinstance(share, str) else round(share, 3),
        }
        for (name, values), share in zip(costs.items(), shares, strict=True)
    ]


def _shop(count: int) -> list[Event]:
    """Events of simulated shoppers who get no recommendations."""
    simulation = Simulation(SimulatorConfig(), _START_MS)
    events: list[Event] = []
    now_ms = _START_MS
    while len(events) < count:
        now_ms += 3_600
        events += simulation.advance(now_ms, 60)
    return events[:count]


def _decoding(settings: Settings, events: list[Event]) -> float:
    decoder = build_decoder(settings)
    values = [encode_event(event) for event in events]
    began = time.perf_counter()
    for value in values:
        decoder.read(value, _START_MS, "none")
    return (time.perf_counter() - began) / len(values) * 1e6
