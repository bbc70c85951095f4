"""A broker for one benchmark, topics on it, and children that measure."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.local_broker import LocalBroker
from connectors.sinks.kafka import KafkaSink
from connectors.topics import create_topics, delete_topics
from stream.settings import TOPICS, TopicSettings, load
from stream.topic_specs import topic_specs

_CHUNK = 2_000
_PATIENCE_S = 1_800.0
_LAST_LINES = 20


class BenchmarkError(Exception):
    """A child failed; the message ends with its last words."""


@contextmanager
def place() -> Iterator[tuple[KafkaClient, Path]]:
    """A broker of its own, and an empty folder; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="freshet-benchmark-"))
    broker = LocalBroker(folder / "broker")
    try:
        status = broker.start(ephemeral=True, port=0, cache_dir=load().cache_dir)
        assert status.bootstrap is not None
        yield KafkaClient(bootstrap=status.bootstrap), folder
    finally:
        broker.stop()
        shutil.rmtree(folder)


@contextmanager
def topics(client: KafkaClient, name: str, partitions: int | None = None) -> Iterator[TopicSettings]:
    """Five topics that go by a name; they are deleted afterwards."""
    names: dict[str, Any] = {kind: f"{name}.{kind}" for kind in TOPICS}
    found = TopicSettings.model_validate(names | ({"partitions": partitions} if partitions else {}))
    specs = topic_specs(load(overrides={"topics": found.model_dump()}))
    create_topics(client, specs)
    try:
        yield found
    finally:
        delete_topics(client, [spec.name for spec in specs])


def publish(client: KafkaClient, topics: TopicSettings, events: Sequence[Event], times: int = 1) -> None:
    """Send events as fast as the broker takes them; all of them so many times, one after the other."""
    asyncio.run(_publish(client, topics, events, times))


async def _publish(client: KafkaClient, topics: TopicSettings, events: Sequence[Event], times: int) -> None:
    async with KafkaSink(client, topics.events) as sink:
        for _ in range(times):
            for start in range(0, len(events), _CHUNK):
                await sink.write(events[start : start + _CHUNK])


def child(module: str, arguments: Sequence[str], log: Path) -> dict[str, Any]:
    """What `python -m module` prints as its last line.

    Raises:
        BenchmarkError: It failed.
    """
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    with log.open("wb") as errors:
        try:
            made = subprocess.run(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                timeout=_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(
                f"{module} had not ended after {_PATIENCE_S:.0f} s.\n{_end_of(log)}"
            ) from error
    lines = made.stdout.decode().splitlines()
    if made.returncode or not lines:
        raise BenchmarkError(f"{module} ended with exit code {made.returncode}.\n{_end_of(log)}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def _end_of(log: Path) -> str:
    """Its last lines: the folder that it lies in does not outlive the benchmark."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
