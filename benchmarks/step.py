"""What an event and a slate cost on one core: decoding, learning, whole steps by batch size, recommending alone."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from connectors.event import Event, encode_event
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from stream.allocator import keep_temporaries
from stream.assembly import build_decoder, build_pipeline, build_states
from stream.duplicates import RecentIds
from stream.pipeline import Pipeline, Share
from stream.settings import Settings, load
from stream.user_states import UserStates

_START_MS = 1_700_000_000_000
_WARM_UP = 10_000
_BATCHES = (1, 16, 64, 512)
_USERS = (1, 64)
_SLATES, _SLATES_QUICK = 1_024, 256
_PLACES = 20
_KINDS = {
    "follow another worker's": (False, False),
    "predict, learn and apply": (True, False),
    "whole step, with a slate a user": (True, True),
}
"""Whether the events are this worker's, and whether they are answered."""
_LATER_MS = _START_MS + 3_600_000


def measure(quick: bool) -> list[dict[str, Any]]:
    """Microseconds, median, least and most of the repetitions, which are interleaved.

    Decoding, telling duplicates, following, learning and whole steps are per event, by batch size; slates are per
    slate, by how many at a time.
    """
    keep_temporaries()
    settings = load()
    repetitions, events_each = (3, 1_024) if quick else (5, 4_096)
    events = shop(_WARM_UP + repetitions * (len(_KINDS) * len(_BATCHES) + 1) * events_each)
    pipeline, states = build_pipeline(settings), build_states(settings)
    for start in range(0, _WARM_UP, 512):
        pipeline.step(events[start : start + 512], states, 0)
    at = _WARM_UP
    costs: dict[str, list[float]] = {}
    for _ in range(repetitions):
        costs.setdefault("event: decode", []).append(_decoding(settings, events[at : at + events_each]))
        costs.setdefault("event: is it a duplicate", []).append(_recognising(events[at : at + events_each]))
        at += events_each
        for what, (owned, slates) in _KINDS.items():
            for batch in _BATCHES:
                share = (
                    None if owned else Share(own=np.zeros(batch, np.bool_), served=np.zeros(batch, np.bool_))
                )
                began = time.perf_counter()
                for start in range(at, at + events_each, batch):
                    pipeline.step(events[start : start + batch], states, 0, slates=slates, share=share)
                cost = (time.perf_counter() - began) / events_each * 1e6
                costs.setdefault(f"event: {what}, batches of {batch}", []).append(cost)
                at += events_each
        for users in _USERS:
            cost = _slating(pipeline, states, users, _SLATES_QUICK if quick else _SLATES)
            costs.setdefault(f"slate: {users} at a time", []).append(cost)
    return [
        {
            "what": name,
            "us": statistics.median(values),
            "least": min(values),
            "most": max(values),
            "per_s": 1e6 / statistics.median(values),
        }
        for name, values in costs.items()
    ]


def _slating(pipeline: Pipeline, states: UserStates, users: int, slates: int) -> float:
    """Microseconds a slate of recommending to `users` users at a time."""
    known = np.arange(min(len(states), slates))
    now_ms = np.full(users, _LATER_MS)
    began, made = time.perf_counter(), 0
    for start in range(0, len(known) - users + 1, users):
        some = known[start : start + users]
        pipeline.learner.recommend(states.histories(some, states.remembered(some), now_ms), _PLACES)
        made += users
    return (time.perf_counter() - began) / made * 1e6


def shop(count: int) -> list[Event]:
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


def _recognising(events: list[Event]) -> float:
    """Microseconds an event, once the window is full."""
    ids = RecentIds(len(events) // 2)
    began = time.perf_counter()
    for event in events:
        ids.admit(0, event)
    return (time.perf_counter() - began) / len(events) * 1e6
