"""Results to their topics: recommendations, dead letters, drift findings, model updates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaProducer

from connectors.dead_letter import DeadLetter, encode_dead_letter
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import create_producer
from connectors.recommendation import Recommendation, encode_recommendation
from connectors.record_batches import record_batches

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
        self._in_order = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Without lingering: what a step gives is handed over at one go.
        self._producer = create_producer(self._client, patient=True, max_request_size=LARGEST_REQUEST)
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.stop()

    async def send(
        self,
        recommendations: Sequence[Recommendation],
        dead_letters: Sequence[DeadLetter],
        findings: Sequence[object],
        require_lease: Callable[[], None] = lambda: None,
    ) -> None:
        """Publish everything, in order, after what was sent by earlier calls.

        Returns when the broker has acknowledged all of it, however long it is away. `require_lease` is called before
        anything is handed over, which may be long after this call, and may raise.

        Raises:
            aiokafka.errors.KafkaError: A topic is missing, something is too large, or the broker refuses.
        """
        producer = self._open
        sent: list[asyncio.Future[Any]] = []
        async with self._in_order:
            require_lease()
            if recommendations:
                partitions = sorted(await producer.partitions_for(self._recommendations))
                slates = ((slate.user_id, encode_recommendation(slate)) for slate in recommendations)
                for partition, batch in record_batches(producer, partitions, slates):
                    require_lease()
                    sent.append(await producer.send_batch(batch, self._recommendations, partition=partition))
            for letter in dead_letters:
                key = f"{letter.topic}/{letter.partition}".encode()
                sent.append(await producer.send(self._dead_letters, encode_dead_letter(letter), key))
            sent += [await producer.send(self._drift, msgspec.json.encode(finding)) for finding in findings]
        await asyncio.gather(*sent)

    async def tell(self, update: Sequence[bytes]) -> None:
        """Publish the records of a model update, in order; the order of the calls is the caller's."""
        await asyncio.gather(*[await self._open.send(self._model, record) for record in update])

    @property
    def _open(self) -> AIOKafkaProducer:
        assert self._producer is not None, "the publisher is used inside `async with`"
        return self._producer
