"""Results to their topics: recommendations, dead letters, drift findings, model updates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self

import msgspec
from aiokafka import AIOKafkaProducer

from connectors.dead_letter import DeadLetter, encode_dead_letter
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import create_producer
from connectors.recommendation import Recommendation, encode_recommendation

LARGEST_REQUEST = 2 * 1024 * 1024
"""A dead letter holds a whole record, in base64."""


class KafkaPublisher:
    """Publishes to a broker. At least once: after a crash the same ids may come again.

    Args:
        client: The broker.
        recommendations: Topic of recommendations, keyed by user.
        dead_letters: Topic of refused records, keyed by the partition in which they stood: who replays them finds each
            user's in their order.
        drift: Topic of findings.
        model: Topic of model updates.
    """

    def __init__(
        self, client: KafkaClient, *, recommendations: str, dead_letters: str, drift: str, model: str
    ) -> None:
        self._client = client
        self._recommendations = recommendations
        self._dead_letters = dead_letters
        self._drift = drift
        self._model = model
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Self:
        # Without lingering: what a step gives is handed over at one go, and so is one batch a partition.
        self._producer = create_producer(self._client, patient=True, max_request_size=LARGEST_REQUEST)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._producer is not None
        await self._producer.stop()

    async def send(
        self,
        recommendations: Sequence[Recommendation],
        dead_letters: Sequence[DeadLetter],
        findings: Sequence[object],
    ) -> Awaitable[object]:
        """Hand everything to the producer, in order.

        Returns:
            What completes when the broker has acknowledged all of it, however long it is away, or raises
            `aiokafka.errors.KafkaError` where it refuses.

        Raises:
            aiokafka.errors.KafkaError: A topic is missing, or something is too large.
        """
        producer = self._producer
        assert producer is not None, "the publisher is used inside `async with`"
        sent = [
            await producer.send(
                self._recommendations,
                encode_recommendation(slate),
                slate.user_id.encode("utf-8", "surrogatepass"),
            )
            for slate in recommendations
        ]
        for letter in dead_letters:
            key = f"{letter.topic}/{letter.partition}".encode()
            sent.append(await producer.send(self._dead_letters, encode_dead_letter(letter), key))
        sent += [await producer.send(self._drift, msgspec.json.encode(finding)) for finding in findings]
        return asyncio.gather(*sent)

    async def tell(self, update: Sequence[bytes]) -> Awaitable[object]:
        """Hand over the records of a model update, in order; see `send`."""
        producer = self._producer
        assert producer is not None, "the publisher is used inside `async with`"
        return asyncio.gather(*[await producer.send(self._model, record) for record in update])
