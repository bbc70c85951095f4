"""How costs grow with items and users: slates, learning, memory, checkpoints and restarts, up to a million of each.

Each size is a process of its own. What it knows is what a worker has learned of a few users and items, repeated:
every user has a full history, and users and items have as many neighbours as if these histories had happened. Then a
worker as `freshet worker` starts it begins with the checkpoint; `restart_s` is from its start until it is ready for
events, `resident_gb` what it takes then. The process of the largest size takes some 20 GB while it copies everything
for a checkpoint.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks.filled import HISTORY
from benchmarks.place import child, place, topics
from benchmarks.rungs.course import Course
from benchmarks.rungs.worker import environment
from benchmarks.sizes import Size
from connectors.kafka_client import KafkaClient
from stream.settings import TOPICS, TopicSettings
from stream.worker_process import WorkerProcess

SMALL, LARGE = 10_000, 1_000_000
SIZES = ((SMALL, SMALL), (SMALL, 100_000), (SMALL, LARGE), (100_000, SMALL), (LARGE, SMALL), (LARGE, LARGE))
"""Users and items."""

_QUICK = (SIZES[0], SIZES[-1])
_STEPS, _STEPS_QUICK = 40, 6
_SLATES, _SLATES_QUICK = 2_048, 256
_REPETITIONS, _REPETITIONS_QUICK = 3, 1


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a size, medians of interleaved repetitions; of a stall, a restart and memory the most."""
    made: dict[tuple[int, int], list[dict[str, Any]]] = {size: [] for size in (_QUICK if quick else SIZES)}
    with place() as (client, folder), topics(client, "scale") as found:
        size = Size(
            users=0,
            items=0,
            steps=_STEPS_QUICK if quick else _STEPS,
            slates=_SLATES_QUICK if quick else _SLATES,
            topic=found.events,
            folder=str(folder / "state"),
        )
        for _ in range(_REPETITIONS_QUICK if quick else _REPETITIONS):
            for (users, items), results in made.items():
                results.append(_run(client, found, replace(size, users=users, items=items)))
    return [{"users": users, "items": items, **_row(results)} for (users, items), results in made.items()]


def headline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a million of each costs, and how much more that is than ten thousand of each."""
    small, large = rows[0], rows[-1]
    grows = ("event_us", "slate_us_of_1", "slate_us_of_64")
    return {
        "largest": dict(large),
        **{f"{name}_growth": large[name] / small[name] for name in grows},
        "slate_ms_of_64": large["slate_us_of_64"] / 1e3,
        "slate_ms_of_1_p99": large["slate_us_of_1_p99"] / 1e3,
    }


def _run(client: KafkaClient, topics: TopicSettings, size: Size) -> dict[str, Any]:
    folder = Path(size.folder)
    folder.mkdir()
    try:
        found = child("benchmarks.sizes", size.arguments(), folder / "size.log")
        return {**found, **asyncio.run(_restart(client, topics, folder, f"{size.users}-{size.items}"))}
    finally:
        shutil.rmtree(folder)


async def _restart(client: KafkaClient, topics: TopicSettings, folder: Path, name: str) -> dict[str, float]:
    course = Course(
        rung="scale",
        bootstrap=client.bootstrap,
        topics=topics.model_dump(include=set(TOPICS)),
        group=f"scale-{name}-{time.monotonic_ns()}",
        state_dir=str(folder),
        warm_up=0,
        events=0,
    )
    told = environment(course) | {"FRESHET_STATE__HISTORY_LENGTH": str(HISTORY)}
    began = time.perf_counter()
    async with WorkerProcess(folder, told) as worker:
        await worker.wait_until_ready()
        ready_s = time.perf_counter() - began
        return {"restart_s": ready_s, "resident_gb": psutil.Process(worker.pid).memory_info().rss / 1e9}


_WORST = ("stall_ms", "whole_stall_ms", "restart_s", "resident_gb", "slate_us_of_1_p99")


def _row(results: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: (max if name in _WORST else statistics.median)([result[name] for result in results])
        for name in results[0]
    }
    return {**found, "repetitions": len(results)}
