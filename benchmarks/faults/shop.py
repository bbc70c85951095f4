"""A broker of the drill's own, and for each fault topics and shoppers."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.faults.events import shoppers
from benchmarks.faults.place import Place
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.local_broker import LocalBroker
from connectors.sinks.kafka import KafkaSink
from connectors.topics import create_topics, delete_topics, end_offsets
from stream.settings import TOPICS, TopicSettings, load
from stream.topic_specs import topic_specs

_CHUNK = 1_000


class Broker:
    """A broker that keeps its data when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._local = LocalBroker(folder)
        self._cache_dir = load().cache_dir
        status = self._local.start(port=0, cache_dir=self._cache_dir)
        assert status.bootstrap is not None
        self.client = KafkaClient(bootstrap=status.bootstrap)

    def kill(self) -> None:
        """As if its machine had lost power, but for what the system still writes."""
        pid = self._local.status().pid
        if pid is None:
            raise RuntimeError("The broker that is to be killed is no process of this machine's.")
        os.kill(pid, signal.SIGKILL)

    async def come_back(self) -> None:
        """Start again where it was; returns when it answers."""
        port = int(self.client.bootstrap.rpartition(":")[2])
        await asyncio.to_thread(self._local.start, port=port, cache_dir=self._cache_dir)

    def stop(self) -> None:
        """For good."""
        self._local.stop()


@contextmanager
def own_broker(name: str) -> Iterator[tuple[Broker, Path]]:
    """A broker and a folder for a drill of this name, which go when it ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"freshet-{name}-"))
    try:
        broker = Broker(folder / "broker")
        try:
            yield broker, folder
        finally:
            broker.stop()
    finally:
        shutil.rmtree(folder)


class Shop:
    """Topics of one fault, what was published to them, and a folder.

    Args:
        broker: Where the topics are.
        topics: They.
        folder: For state folders.
        rng: Draws what the shoppers do, and may draw other things.
    """

    def __init__(self, broker: Broker, topics: TopicSettings, folder: Path, rng: random.Random) -> None:
        self.broker, self.client, self.topics, self.folder, self.rng = (
            broker,
            broker.client,
            topics,
            folder,
            rng,
        )
        self.events: list[Event] = []
        """What was published."""
        self._coming = shoppers(random.Random(rng.random()))

    def place(self, name: str = "worker") -> Place:
        """For one worker."""
        return Place(self.client, self.topics, self.folder / name)

    def take(self, count: int) -> list[Event]:
        """The shoppers' next events, which whoever asks has to publish."""
        events = list(islice(self._coming, count))
        self.events += events
        return events

    async def publish(self, count: int) -> None:
        """The shoppers' next events, as fast as the broker takes them."""
        async with KafkaSink(self.client, self.topics.events) as sink:
            for start in range(0, count, _CHUNK):
                await sink.write(self.take(min(_CHUNK, count - start)))

    async def keep_ahead(self, learned: int, by: int) -> None:
        """Publish until at least `by` events are waiting, so that a worker never has to."""
        if (missing := learned + by - len(self.events)) > 0:
            await self.publish(missing)

    async def records(self) -> int:
        """How many the events topic holds."""
        return sum((await asyncio.to_thread(end_offsets, self.client, self.topics.events)).values())


@asynccontextmanager
async def opened(broker: Broker, name: str, folder: Path, seed: int) -> AsyncIterator[Shop]:
    """A shop with topics that go by its name, and go with it."""
    prefix = f"faults-{name}"
    topics = TopicSettings.model_validate({kind: f"{prefix}.{kind}" for kind in TOPICS})
    specs = topic_specs(load(overrides={"topics": topics.model_dump()}))
    await asyncio.to_thread(create_topics, broker.client, specs)
    try:
        yield Shop(broker, topics, folder / name, random.Random(f"{name} {seed}"))
    finally:
        await asyncio.to_thread(delete_topics, broker.client, [spec.name for spec in specs])
