"""One worker's settings and state folder, and how to wait for what it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from connectors.kafka_client import KafkaClient
from connectors.sources.kafka import KafkaSource
from connectors.topics import end_offsets
from stream.settings import TopicSettings, load
from stream.status import WorkerBusyError, worker_status
from stream.verification.verify import VerifyError, verify_topic
from stream.worker_process import ANY_PORT, WorkerProcess

PATIENCE_S = 120.0


class Place:
    """One worker's settings and state folder on a shared broker; a checkpoint every half second."""

    def __init__(self, client: KafkaClient, topics: TopicSettings, state_dir: Path) -> None:
        self.client, self.topics = client, topics
        self.environment = {
            "FRESHET_BROKER": client.bootstrap,
            "FRESHET_WORKER__GROUP": f"group-{topics.events}",
            "FRESHET_WORKER__CHECKPOINT_EVERY_S": "0.5",
            **{
                f"FRESHET_TOPICS__{name.upper()}": str(getattr(topics, name))
                for name in type(topics).model_fields
            },
        }
        self.settings = load(
            overrides={
                "state_dir": state_dir,
                "topics": topics.model_dump(),
                "worker": {"group": self.environment["FRESHET_WORKER__GROUP"]},
            }
        )

    def worker(self, http: str = ANY_PORT) -> WorkerProcess:
        """A process that works here inside `async with`, and serves at this address."""
        return WorkerProcess(self.settings.state_dir, self.environment, http=http)

    async def status(self) -> dict[str, Any]:
        """What `freshet status` says."""
        return await asyncio.to_thread(worker_status, self.settings, self.client)

    async def until(self, worker: WorkerProcess, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask for the status until it is as wanted.

        Raises:
            TimeoutError: It has not become so.
            stream.worker_process.WorkerFailedError: The worker has stopped.
        """
        async with asyncio.timeout(PATIENCE_S):
            while True:
                worker.check()
                try:
                    status = await self.status()
                except WorkerBusyError:
                    continue  # a recovery takes its time
                if reached(status):
                    return status
                await asyncio.sleep(0.05)

    async def differences(self) -> list[str]:
        """How the newest checkpoint differs from the topic, and what could not be compared; empty where it is clean."""
        try:
            verdict = await asyncio.to_thread(verify_topic, self.settings, self.client)
        except VerifyError as error:
            return [f"verify: {error}"]
        return [f"verify: {found}" for found in (*verdict.differences, *verdict.not_compared)]


async def until(reached: Callable[[], Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Ask until it is so.

    Raises:
        TimeoutError: It has not become so.
    """
    async with asyncio.timeout(patience_s):
        while not await reached():
            await asyncio.sleep(0.1)


async def publish(client: KafkaClient, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
    """Send keys and values, garbage too, and return when all have arrived."""
    producer = AIOKafkaProducer(**client.options(), enable_idempotence=True)
    await producer.start()
    try:
        for key, value in records:
            await producer.send(topic, value, key)
    finally:
        await producer.stop()


async def everything(client: KafkaClient, topic: str) -> list[bytes]:
    """The values of all records that a topic holds now."""
    ends = end_offsets(client, topic)
    async with KafkaSource(client, topic, start="earliest") as source:
        return [record.value or b"" async for records in source.up_to(ends) for record in records]
