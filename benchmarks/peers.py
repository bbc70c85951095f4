"""Speed and quality together: freshet beside river's factorisations and a plain torch model, on one log.

Everybody foresees each choice by a rank among all known items and then learns it. `events_per_s` is of both together,
by the clock. The log holds choices only. freshet is measured event by event, as the others are, and in batches, as a
worker works.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.logs import read_choices, settings_for
from benchmarks.plain_peers import DenseFactors, RiverMachine
from benchmarks.step import shop
from connectors.event import Event
from learners.peers.peer import Peer
from learners.peers.river_factors import RiverFactors
from monitoring.ranking_quality import hits
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.peers import run_peers
from stream.evaluation.protocol import Ints, Protocol, apply_protocol
from stream.evaluation.run import UNRANKED, run_pipeline
from stream.settings import Settings, load

_EVENTS, _EVENTS_QUICK = 60_000, 12_000
_REPETITIONS, _REPETITIONS_QUICK = 3, 1
_BATCH = 512
_SIMULATED = 12  # events of a simulated shop for each choice


@dataclass(frozen=True, slots=True)
class _Log:
    name: str
    events: Sequence[Event]
    settings: Settings
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class _Result:
    """Ranks of the scored events, -1 or below where none was found, and seconds for all events."""

    ranks: Ints
    seconds: float


def measure(quick: bool, logs: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """One row a log and competitor; medians of interleaved repetitions.

    Args:
        quick: Only the first 12,000 events of each log instead of 60,000, and once.
        logs: Folders or files with event logs; a simulated shop's where there are none.
    """
    keep_temporaries()
    most = _EVENTS_QUICK if quick else _EVENTS
    rows = []
    for log in [_read(path, most) for path in logs] or [_simulated(most)]:
        results: dict[str, list[_Result]] = {}
        for _ in range(_REPETITIONS_QUICK if quick else _REPETITIONS):
            for name, play in _competitors(log).items():
                results.setdefault(name, []).append(play(log))
        rows += [_row(log, name, made) for name, made in results.items()]
    return rows


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each competitor, by log."""
    found: dict[str, Any] = {}
    for row in rows:
        found.setdefault(row["log"], {})[row["who"]] = {name: row[name] for name in ("hr10", "events_per_s")}
    return {"competitors": found}


def _competitors(log: _Log) -> dict[str, Callable[[_Log], _Result]]:
    users, items = int(log.protocol.users.max()) + 1, len(log.protocol.item_ids)
    peers: tuple[Peer, ...] = (RiverFactors(items), RiverMachine(items), DenseFactors(users, items))
    return {
        f"freshet, batches of {_BATCH}": _in_batches,
        "freshet, event by event": _event_by_event,
        **{peer.names[0]: _peer(peer) for peer in peers},
    }


def _peer(peer: Peer) -> Callable[[_Log], _Result]:
    def play(log: _Log) -> _Result:
        began = time.perf_counter()
        ranks = run_peers([peer], log.protocol)
        return _Result(ranks[peer.names[0]], time.perf_counter() - began)

    return play


def _event_by_event(log: _Log) -> _Result:
    run = run_pipeline(build_pipeline(log.settings), build_states(log.settings), log.events, log.protocol)
    return _Result(run.ranks, run.seconds)


def _in_batches(log: _Log) -> _Result:
    """Ranks as a worker sees them: histories are of the moment, the model is of the batch before."""
    pipeline, states = build_pipeline(log.settings), build_states(log.settings)
    ranks = np.full(len(log.protocol), UNRANKED, np.int64)
    began = time.perf_counter()
    for start in range(0, len(log.events), _BATCH):
        step = pipeline.step(log.events[start : start + _BATCH], states, 0, slates=False)
        ranks[start + step.ranked_events] = step.ranks
    return _Result(ranks[log.protocol.scored], time.perf_counter() - began)


def _read(path: Path, most: int) -> _Log:
    log = read_choices(path, most)
    return _log(path.name, log.events, settings_for(log))


def _simulated(most: int) -> _Log:
    """What users chose: nobody but freshet has a use for the rest, and would get through it for nothing."""
    choices = choice_types(load())
    events = [event for event in shop(_SIMULATED * most) if event.event_type in choices]
    return _log("simulated shop", events[:most], load(overrides={"learner": {"share_under_load": 1.0}}))


def _log(name: str, events: Sequence[Event], settings: Settings) -> _Log:
    return _Log(name, events, settings, apply_protocol(events, choice_types(settings)))


def hit_rate(ranks: Ints) -> float:
    """Share of zero-based ranks within the first ten places, of those choices that were ranked at all."""
    ranked = ranks[ranks != UNRANKED]
    return float(hits(ranked).mean()) if len(ranked) else float("nan")


def _row(log: _Log, name: str, made: Sequence[_Result]) -> dict[str, Any]:
    speeds = [len(log.events) / result.seconds for result in made]
    return {
        "log": log.name,
        "who": name,
        "events": len(log.events),
        "scored": int((made[0].ranks != UNRANKED).sum()),
        "hr10": hit_rate(made[0].ranks),
        "events_per_s": statistics.median(speeds),
        "least": min(speeds),
        "most": max(speeds),
        "repetitions": len(made),
    }
