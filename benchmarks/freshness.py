"""From an event that is due to a slate that knows of it and can be read, at several paces.

A sender, a worker as `freshet worker` starts it, a broker and a reader share this machine. The sender keeps to a
schedule (`benchmarks.load.schedule`), and an event that is sent late counts from when it was due. A pace that is above
full speed cannot be kept, and latencies then grow with the length of the run: it is cut to what is answered in half a
minute. The events have the mixture of simulated shops with 100,000 items; their users are drawn evenly from 200,000, so
practically each event asks for a slate of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import mall
from benchmarks.load import latencies
from benchmarks.load.errand import Errand
from benchmarks.load.sender import events_of
from benchmarks.place import BenchmarkError, child, place, topics
from benchmarks.rungs.course import Course
from benchmarks.rungs.worker import environment, mark_of
from connectors.kafka_client import KafkaClient
from connectors.sinks.kafka import KafkaSink
from stream.settings import TOPICS, TopicSettings, load
from stream.worker_process import WorkerProcess

RATES = (100.0, 1_000.0, 3_000.0, 5_000.0)
SHARE = 0.8

_TAUGHT, _TAUGHT_QUICK = 400_000, 100_000
_PATTERN = 40_000
_DURATION_S, _DURATION_QUICK_S = 30.0, 6.0
_REPETITIONS, _REPETITIONS_QUICK = 3, 1
_WARM_UP = 2_000
_FULL, _FULL_QUICK = 60_000, 8_000
_PATIENCE_S = 120.0
_LOOK_S = 0.1
_LAST_SLATES_S = 0.5
_ANSWERED_S = 30.0
_KEPT_UP_S = 1.0


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a pace: quantiles over all events of all repetitions, which are interleaved."""
    return asyncio.run(_measure(quick))


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The paces by name, and what full speed is."""
    named = {f"at_{row['due_per_s']:.0f}_per_s": dict(row) for row in rows if row["pace"] == "fixed"}
    last = rows[-1]
    return {**named, "at_80_percent": dict(last), "full_speed_events_per_s": last["due_per_s"] / SHARE}


async def _measure(quick: bool) -> list[dict[str, Any]]:
    taught = _TAUGHT_QUICK if quick else _TAUGHT
    with place() as (client, folder), topics(client, "mall") as found:
        known = mall.checkpoint(load(overrides={"topics": found.model_dump()}), taught)
        mall.begin_with(known, folder / "state")
        pattern = folder / "pattern.txt"
        pattern.write_bytes(b"\n".join(mall.log_of(taught + _PATTERN)[taught:]))
        async with _working(client, found, folder) as worker:
            shop = _Shop(client, found, folder, pattern, worker)
            await shop.fill(_WARM_UP)
            full = await shop.fill(_FULL_QUICK if quick else _FULL)
            paces = [*(("fixed", rate) for rate in RATES), ("80 % of full speed", SHARE * full)]
            made: list[list[_Run]] = [[] for _ in paces]
            wanted_s = _DURATION_QUICK_S if quick else _DURATION_S
            for _ in range(_REPETITIONS_QUICK if quick else _REPETITIONS):
                for runs, (_, rate) in zip(made, paces, strict=True):
                    runs.append(await shop.keep_pace(rate, bearable_s(wanted_s, rate, full)))
    return [
        {"pace": name, "due_per_s": rate, **_row(runs)}
        for (name, rate), runs in zip(paces, made, strict=True)
    ]


def bearable_s(wanted_s: float, rate: float, full: float) -> float:
    """How long to send, seconds, so that what is sent is answered within half a minute or as long as is wanted."""
    return wanted_s if rate <= full else min(wanted_s, _ANSWERED_S * full / rate)


@asynccontextmanager
async def _working(client: KafkaClient, topics: TopicSettings, folder: Path) -> AsyncIterator[WorkerProcess]:
    course = Course(
        rung="freshness",
        bootstrap=client.bootstrap,
        topics=topics.model_dump(include=set(TOPICS)),
        group="freshness",
        state_dir=str(folder / "state"),
        warm_up=0,
        events=0,
    )
    async with WorkerProcess(folder / "state", environment(course)) as worker:
        await worker.wait_until_ready()
        yield worker


@dataclass(frozen=True, slots=True)
class _Run:
    """One run at one pace."""

    users: latencies.Ints
    due_s: latencies.Floats
    sent_s: latencies.Floats
    answers: latencies.Answers
    behind_s: float


class _Shop:
    """Sends to one worker and reads what it answers."""

    def __init__(
        self, client: KafkaClient, topics: TopicSettings, folder: Path, pattern: Path, worker: WorkerProcess
    ) -> None:
        self._topics, self._worker, self._folder, self._sent, self._number = topics, worker, folder, 0, 0
        self._errand = Errand(
            bootstrap=client.bootstrap,
            topic=topics.events,
            name="",
            rate=1.0,
            duration_s=1.0,
            values=str(pattern),
            users=mall.SHOPPERS,
            seed=0,
            first=0,
            out="",
        )

    async def fill(self, count: int) -> float:
        """Send events as fast as the broker takes them; returns how many the worker applied a second."""
        errand = self._next(count, 1.0)
        users = np.random.default_rng(errand.seed).integers(0, errand.users, count)
        events = await asyncio.to_thread(events_of, errand, users)
        async with KafkaSink(errand.client, errand.topic) as sink:
            began_s = time.monotonic()  # it is at work from the first ones on
            await sink.write(events)
        self._sent += count
        await self._until_applied()
        return count / (time.monotonic() - began_s)

    async def keep_pace(self, rate: float, duration_s: float) -> _Run:
        """Send at a pace, and read until everything is answered that will be."""
        errand = self._next(rate, duration_s)
        reading = replace(
            errand, topic=self._topics.recommendations, out=str(self._folder / f"{errand.name}-read.npz")
        )
        with (self._folder / f"{errand.name}-read.log").open("wb") as log:
            reader = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.load.reader", *reading.arguments()], stderr=log
            )
        try:
            await _until(lambda: Path(reading.out).with_suffix(".ready").exists())
            await asyncio.to_thread(
                child, "benchmarks.load.sender", errand.arguments(), self._folder / f"{errand.name}-sent.log"
            )
            began_s = time.monotonic()
            with np.load(errand.out) as sent:
                users, due_s, sent_s = (sent[name] for name in ("users", "due_s", "sent_s"))
            self._sent += len(users)
            await self._until_applied()
            behind_s = time.monotonic() - began_s
            await asyncio.sleep(_LAST_SLATES_S)
        finally:
            os.kill(reader.pid, signal.SIGTERM)
            await asyncio.to_thread(reader.wait)
        with np.load(reading.out) as read:
            answers = latencies.match(users, read["triggers"], read["read_s"], read["made_s"])
        return _Run(users, due_s, sent_s, answers, behind_s)

    def _next(self, rate: float, duration_s: float) -> Errand:
        self._number += 1
        name = f"run{self._number}"
        return replace(
            self._errand,
            name=name,
            rate=rate,
            duration_s=duration_s,
            seed=self._number,
            first=self._sent,
            out=str(self._folder / f"{name}-sent.npz"),
        )

    async def _until_applied(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            self._worker.check()
            mark = await mark_of(self._worker)
            if mark is not None and mark.events >= self._sent:
                return
            await asyncio.sleep(_LOOK_S)
        raise BenchmarkError(f"The worker had not applied everything after {_PATIENCE_S:.0f} s.")


async def _until(reached: Any) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not reached():
        if time.monotonic() > deadline:
            raise BenchmarkError("The reader did not start.")
        await asyncio.sleep(_LOOK_S)


def _row(runs: Sequence[_Run]) -> dict[str, Any]:
    """Of all events of all runs together; the spread is of the runs' medians."""
    answers = latencies.Answers(
        *(
            np.concatenate([getattr(run.answers, name) for run in runs])
            for name in ("read_s", "made_s", "own")
        )
    )
    users, due_s, sent_s = (
        np.concatenate([getattr(run, name) for run in runs]) for name in ("users", "due_s", "sent_s")
    )
    medians = [latencies.quantiles(run.answers.read_s - run.due_s)["p50_ms"] for run in runs]
    return {
        **latencies.summary(users, due_s, answers),
        "least_p50_ms": min(medians),
        "most_p50_ms": max(medians),
        "kept_up": max(run.behind_s for run in runs) < _KEPT_UP_S,
        "sent_late_p99_ms": latencies.quantiles(sent_s - due_s)["p99_ms"],
        "repetitions": len(runs),
    }
