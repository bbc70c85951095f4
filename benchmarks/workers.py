"""One worker and two on the same backlog: who shares the partitions learns from half of the events and counts all.

All of it on this machine: with two cores, two workers have to share them with the broker, which one worker has not.
`cpu_us_per_event` is therefore told apart, for the workers and for the broker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from benchmarks import mall
from benchmarks.place import BenchmarkError, place, topics
from benchmarks.rungs.course import Course, Mark
from benchmarks.rungs.worker import environment, mark_of
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.sinks.kafka import KafkaSink
from stream.settings import TOPICS, TopicSettings, load
from stream.worker_process import WorkerProcess

TEAMS = (1, 2)

_TAUGHT, _TAUGHT_QUICK = 400_000, 100_000
_EVENTS, _EVENTS_QUICK = 100_000, 20_000
_WARM_UP = 5_000
_REPETITIONS, _REPETITIONS_QUICK = 5, 1
_PATIENCE_S = 240.0
_LOOK_S = 0.1


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a number of workers, medians of interleaved repetitions."""
    return asyncio.run(_measure(quick))


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What two are worth."""
    return {"speed_up_of_two": rows[-1]["events_per_s"] / rows[0]["events_per_s"]}


async def _measure(quick: bool) -> list[dict[str, Any]]:
    taught, wanted = (_TAUGHT_QUICK, _EVENTS_QUICK) if quick else (_TAUGHT, _EVENTS)
    log = mall.read(mall.log_of(taught + _WARM_UP + wanted)[taught:])
    numbers = count()
    made: dict[int, list[dict[str, float]]] = {size: [] for size in TEAMS}
    with place() as (client, folder):
        for _ in range(_REPETITIONS_QUICK if quick else _REPETITIONS):
            for size in TEAMS:
                # Topics of the same name, made anew: a worker begins with what it learned and with offset 0.
                with topics(client, "mall") as found:
                    known = mall.checkpoint(load(overrides={"topics": found.model_dump()}), taught)
                    team = _Team(client, found, folder / f"{next(numbers)}", known)
                    made[size].append(await team.drain(size, log))
    alone = statistics.median(run["events_per_s"] for run in made[1])
    return [_row(size, runs, alone) for size, runs in made.items()]


class _Team:
    """Workers of one group, each with a state folder of its own that holds the same checkpoint."""

    def __init__(self, client: KafkaClient, topics: TopicSettings, folder: Path, known: Path) -> None:
        self._client, self._topics, self._folder, self._known = client, topics, folder, known

    async def drain(self, size: int, log: Sequence[Event]) -> dict[str, float]:
        """Let so many workers apply all events that come after the warm-up; what that took."""
        broker = _broker_of(self._client)
        async with AsyncExitStack() as stack, KafkaSink(self._client, self._topics.events) as sink:
            workers = [await stack.enter_async_context(self._worker(number)) for number in range(size)]
            await asyncio.gather(*(worker.wait_until_ready() for worker in workers))
            await _until_shared(workers, self._topics.partitions)
            await sink.write(log[:_WARM_UP])
            await sink.flush()
            first = await _until_applied(workers, _WARM_UP)
            with _paused(workers):
                await sink.write(log[_WARM_UP:])
                await sink.flush()
            broker_s, began_s = _cpu_s(broker), time.perf_counter()
            last = await _until_applied(workers, len(log))
            wall_s, broker_s = time.perf_counter() - began_s, _cpu_s(broker) - broker_s
        events = len(log) - _WARM_UP
        cpu_s = sum(mark.cpu_s for mark in last) - sum(mark.cpu_s for mark in first)
        return {
            "events_per_s": events / wall_s,
            "us": cpu_s / events * 1e6,
            "broker_us": broker_s / events * 1e6,
        }

    def _worker(self, number: int) -> WorkerProcess:
        state = self._folder / f"worker-{number}"
        state.mkdir(parents=True)
        mall.begin_with(self._known, state)
        course = Course(
            rung="workers",
            bootstrap=self._client.bootstrap,
            topics=self._topics.model_dump(include=set(TOPICS)),
            group=f"workers-{self._folder.name}",
            state_dir=str(state),
            warm_up=0,
            events=0,
        )
        return WorkerProcess(state, environment(course))


@contextmanager
def _paused(workers: Sequence[WorkerProcess]) -> Iterator[None]:
    """They stand still, for no longer than the group bears, while their backlog is made."""
    for worker in workers:
        os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker.pid, signal.SIGCONT)


async def _until_shared(workers: Sequence[WorkerProcess], partitions: int) -> None:
    """Each has its part of the partitions."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        owned = [(await worker.ask("/status") or {"owned": []})["owned"] for worker in workers]
        if all(owned) and sum(map(len, owned)) == partitions:
            return
        await asyncio.sleep(_LOOK_S)
    raise BenchmarkError("The workers did not share the partitions in time.")


async def _until_applied(workers: Sequence[WorkerProcess], events: int) -> list[Mark]:
    """How far everybody is once all have applied so many, their own and the others'."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        marks = [await mark_of(worker) for worker in workers]
        known = [mark for mark in marks if mark is not None and mark.events >= events]
        if len(known) == len(workers):
            return known
        await asyncio.sleep(_LOOK_S)
    raise BenchmarkError(f"The workers had not applied everything after {_PATIENCE_S:.0f} s.")


def _broker_of(client: KafkaClient) -> psutil.Process:
    port = int(client.bootstrap.rpartition(":")[2])
    listening = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }
    return psutil.Process(listening.pop())


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(size: int, runs: Sequence[Mapping[str, float]], alone: float) -> dict[str, Any]:
    speeds = [run["events_per_s"] for run in runs]
    speed = statistics.median(speeds)
    return {
        "workers": size,
        "events_per_s": speed,
        "least": min(speeds),
        "most": max(speeds),
        "times_one": speed / alone,
        "efficiency": speed / alone / size,
        "workers_cpu_us_per_event": statistics.median(run["us"] for run in runs),
        "broker_cpu_us_per_event": statistics.median(run["broker_us"] for run in runs),
        "repetitions": len(runs),
    }
