"""Pasts and their futures: a simulated shop and an event log, with drift from a moment on."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.drift.injections import Drift, LogDrift, ShopDrift
from benchmarks.drift.lives import Worker
from benchmarks.drift.recovery import Curve
from benchmarks.task_streams import read_events
from connectors.event import Event
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from monitoring.drift import DriftFinding
from stream.pipeline import Step
from stream.settings import Settings, load
from stream.trials import DriftDecision, DriftOutcome, DriftRecord

_START_MS = 1_700_000_000_000
_TICK_MS = 4_000
_PER_TICK = 32
_PAST, _QUICK_PAST = 100_000, 20_000
_FUTURE, _QUICK_FUTURE = 30_000, 8_000
_STEADY = 100_000
_BEFORE = 20_000  # events that tell how good it was
_HITS = 10
_LOG_STEP = 64
_LOG_PAST = 0.5


@dataclass(frozen=True, slots=True)
class Future:
    """What became of a past.

    Attributes:
        events: Of it.
        quality: Of slates, or of choices where nobody sees slates.
        hits: Choices within the first ten.
        records: What stands on the drift topic.
        began: Events that had been applied when it began.
        told: The steps' events, and when they came; only where they are played again, which is without reactions.
    """

    events: int
    quality: Curve
    hits: Curve
    records: list[DriftRecord]
    began: int
    told: list[tuple[list[Event], int]] = field(default_factory=list)

    @property
    def found(self) -> list[DriftFinding]:
        """All findings."""
        return [record for record in self.records if isinstance(record, DriftFinding)]

    @property
    def findings(self) -> int:
        """How many there are."""
        return len(self.found)

    @property
    def acting(self) -> int:
        """How many of them are reason to act."""
        return sum(finding.verdict == "act" for finding in self.found)

    @property
    def found_after(self) -> float:
        """Events until something was found to be worse or changed; infinite where nothing was."""
        told = [finding.events - self.began for finding in self.found if finding.direction != "better"]
        return float(min(told, default=math.inf))

    @property
    def reactions(self) -> int:
        """How many were begun."""
        return sum(
            isinstance(record, DriftDecision) and record.decision == "acted" for record in self.records
        )

    @property
    def served(self) -> int:
        """How many of them served, at once or after they had been better."""
        return sum(
            record.decision == "acted" and record.at_once
            if isinstance(record, DriftDecision)
            else isinstance(record, DriftOutcome) and record.outcome == "serves"
            for record in self.records
        )

    @property
    def undone(self) -> int:
        """How many of them were undone."""
        return sum(isinstance(record, DriftOutcome) and record.outcome == "undone" for record in self.records)


@dataclass(slots=True)
class Past:
    """What has happened before a drift.

    Attributes:
        level: Quality in its last part; 1 where quality is told beside a future without drift.
    """

    level: float
    _play: Callable[[Drift, bool], Future]
    _replay: Callable[[Future], Curve] | None
    _known: dict[tuple[Drift, bool], Future] = field(default_factory=dict)

    def future(self, drift: Drift, *, reacts: bool) -> Future:
        """What comes of it; with reactions the same as without them, where there is no reason for any."""
        if reacts and not self.future(drift, reacts=False).acting:
            return self.future(drift, reacts=False)
        if (drift, reacts) not in self._known:
            self._known[drift, reacts] = self._play(drift, reacts)
        return self._known[drift, reacts]

    def hits_on_the_same_events(self, drift: Drift) -> Curve:
        """Hits of who reacts, on the events of the future without reactions.

        Where people answer slates, other slates lead to other events, and chance to more of a difference than
        reactions do.
        """
        if self._replay is None:
            return self.future(drift, reacts=True).hits
        bare = self.future(drift, reacts=False)
        return self._replay(bare) if bare.acting else bare.hits


class _Notes:
    """Gathers a curve."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, float, float]] = []

    def add(self, events: int, reached: float, possible: float) -> None:
        self._rows.append((events, reached, possible))

    def choices(self, events: int, step: Step) -> None:
        hits = (step.ranks >= 0) & (step.ranks < _HITS)
        self.add(events, float(hits.sum()), float(len(hits)))

    @property
    def curve(self) -> Curve:
        events, reached, possible = np.array(self._rows, np.float64).reshape(-1, 3).T
        return Curve(events.astype(np.int64), reached, possible)


def _settings(reacts: bool) -> Settings:
    return load() if reacts else load(overrides={"monitoring": {"reactions": []}})


# --- the shop


def of_shop(seed: int, quick: bool, *, tick_ms: int = _TICK_MS, steady: int = _STEADY) -> Past:
    """A shop whose slates are seen; reactions are off until the future begins.

    Args:
        seed: Of everything.
        quick: Less of both.
        tick_ms: In which at most 32 events come: days are over sooner where it is long.
        steady: Events of a future without drift.
    """
    simulation = Simulation(SimulatorConfig(seed=seed), _START_MS)
    worker = Worker.new(_settings(False))
    past = _QUICK_PAST if quick else _PAST
    slates, _, told = _play_shop(simulation, worker, past, _START_MS, tick_ms, None)
    now_ms = told[-1][1]
    saved = pickle.dumps(simulation), worker.saved()

    def play(drift: Drift, reacts: bool) -> Future:
        simulation = pickle.loads(saved[0])
        worker = Worker.resumed(saved[1], _settings(reacts))
        began = worker.statistics.events_seen
        events = _QUICK_FUTURE if quick else steady if drift.kind == "none" else _FUTURE
        slates, hits, told = _play_shop(simulation, worker, events, now_ms, tick_ms, ShopDrift(drift, seed))
        done = sum(len(batch) for batch, _ in told)
        return Future(done, slates, hits, worker.records, began, [] if reacts else told)

    def replay(bare: Future) -> Curve:
        worker, hits, done = Worker.resumed(saved[1], _settings(True)), _Notes(), 0
        for batch, at_ms in bare.told:
            hits.choices(done, worker.step(batch, at_ms, slates=True))
            done += len(batch)
        return hits.curve

    return Past(slates.level(past - _BEFORE, past), play, replay)


def _play_shop(
    simulation: Simulation, worker: Worker, events: int, now_ms: int, tick_ms: int, drift: ShopDrift | None
) -> tuple[Curve, Curve, list[tuple[list[Event], int]]]:
    slates, hits, told = _Notes(), _Notes(), list[tuple[list[Event], int]]()
    done = 0
    while done < events:
        now_ms += tick_ms
        if drift is not None:
            drift.advance(simulation.world, done)
        batch = simulation.advance(now_ms, _PER_TICK)
        if drift is not None:
            batch = drift.apply(batch, done)
        if not batch:
            continue
        step = worker.step(batch, now_ms, slates=True)
        for slate in step.recommendations:
            simulation.receive(slate)
            if (worth := simulation.worth(slate)) is not None:
                slates.add(done, *worth)
        hits.choices(done, step)
        done += len(batch)
        told.append((batch, now_ms))
    return slates.curve, hits.curve, told


# --- a log


def of_log(folder: Path, seed: int) -> Past:
    """The first half of a log; quality is beside that of the second half without drift."""
    events = read_events(folder)
    past = int(_LOG_PAST * len(events))
    users = sorted({event.user_id for event in events})
    items = sorted({event.item_id for event in events})
    worker = Worker.new(load(overrides={"monitoring": {"reactions": []}, "learner": {"seed": seed}}))
    _play_log(worker, events[:past], None)
    saved = worker.saved()

    def play(drift: Drift, reacts: bool) -> Future:
        worker = Worker.resumed(saved, _settings(reacts))
        began = worker.statistics.events_seen
        hits = _play_log(worker, events[past:], LogDrift(drift, users, items, seed))
        return Future(len(events) - past, hits, hits, worker.records, began)

    steady = play(Drift("none"), False)

    def beside(drift: Drift, reacts: bool) -> Future:
        future = steady if drift.kind == "none" and not reacts else play(drift, reacts)
        possible = steady.hits.reached if len(steady.hits.reached) == len(future.hits.reached) else None
        assert possible is not None, "both play the same steps"
        return Future(
            future.events,
            Curve(future.hits.events, future.hits.reached, possible),
            future.hits,
            future.records,
            future.began,
        )

    return Past(1.0, beside, None)


def _play_log(worker: Worker, events: list[Event], drift: LogDrift | None) -> Curve:
    hits = _Notes()
    for start in range(0, len(events), _LOG_STEP):
        batch = events[start : start + _LOG_STEP]
        if drift is not None:
            batch = drift.apply(batch, start)
        hits.choices(start, worker.step(batch, batch[-1].occurred_at_ms, slates=False))
    return hits.curve
