"""A Kafka topic as a sink of events: whole record batches, per-user order, no loss without an error."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.event import Event, encode_event
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import PATIENCE_S, close_producer, create_producer, delivered
from connectors.record_batches import record_batches
from connectors.topics import end_offsets

_MAX_IN_FLIGHT = 20_000


class DeliveryError(Exception):
    """The broker did not take events; the message says how many may be lost."""


class KafkaSink:
    """Publishes events to a topic; use it inside `async with`.

    The key is the user id in UTF-8, and the partition is the one that Kafka's own producers choose for that
    key, so other producers of the topic agree. The events of a user stay in the order in which they were
    written, also when a batch is sent again. A record's Kafka time is the time of publication: retention
    must not delete an old log while it is replayed. `write` is not to be called from two tasks at once.

    Args:
        client: The broker.
        topic: The events topic; it is never created here.
        max_in_flight: Most events that are handed over and not yet acknowledged; `write` waits beyond it.
    """

    def __init__(self, client: KafkaClient, topic: str, *, max_in_flight: int = _MAX_IN_FLIGHT) -> None:
        self._client = client
        self._topic = topic
        self._max_in_flight = max_in_flight
        self._producer: AIOKafkaProducer | None = None
        self._partitions: list[int] = []
        self._sent: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._in_flight = 0
        self.delivered = 0
        """Events that the broker has acknowledged."""

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnreachableError: No broker answers.
            TopicError: There is no such topic.
        """
        # Asked first, since a producer's own question could make a broker create the topic, with its defaults.
        offsets = await asyncio.to_thread(end_offsets, self._client, self._topic)
        self._partitions = sorted(offsets)
        producer = create_producer(self._client, request_timeout_ms=round(1_000 * PATIENCE_S))
        try:
            await producer.start()
        except BaseException:
            await close_producer(producer)
            raise
        self._producer = producer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self._stop()

    async def write(self, events: Sequence[Event]) -> None:
        """Hand events to the producer; they are sent at once, and `flush` waits until they have arrived.

        Raises:
            DeliveryError: Events of this or an earlier call could not be delivered. The sink is of no more use.
        """
        records = ((event.user_id, encode_event(event)) for event in events)
        for partition, batch in record_batches(self._require(), self._partitions, records):
            await self._send(partition, batch)

    async def flush(self) -> None:
        """Wait until the broker has acknowledged everything written so far.

        Raises:
            DeliveryError: It has not and will not.
        """
        await self._settle(0)

    async def close(self) -> None:
        """Flush and disconnect.

        Raises:
            DeliveryError: Something written could not be delivered.
        """
        try:
            if self._producer is not None:
                await self.flush()
        finally:
            await self._stop()

    async def _send(self, partition: int, batch: Any) -> None:
        batch.close()
        count = batch.record_count()
        await self._settle(max(0, self._max_in_flight - count))
        try:
            future = await self._require().send_batch(batch, self._topic, partition=partition)
        except KafkaError as error:
            raise self._failure(error) from error
        self._sent.append((future, count))
        self._in_flight += count

    async def _settle(self, allowed: int) -> None:
        """Wait until at most `allowed` events are in flight; take note of what has arrived meanwhile."""
        while self._sent and (self._in_flight > allowed or self._sent[0][0].done()):
            future, count = self._sent[0]
            try:
                await delivered(future)
            except KafkaError as error:
                raise self._failure(error) from error
            self._sent.popleft()
            self._in_flight -= count
            self.delivered += count

    def _failure(self, error: KafkaError) -> DeliveryError:
        return DeliveryError(
            f"Up to {self._in_flight:,} events were not delivered to topic {self._topic}: "
            f"the broker did not take them within {PATIENCE_S:g} s, or refused ({error!r})."
        )

    def _require(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise RuntimeError("a KafkaSink is used inside `async with`")
        return self._producer

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)
        # What nobody waits for any more: an error has been raised, or the block failed before.
        for future, _ in self._sent:
            future.cancel()
        await asyncio.gather(*(future for future, _ in self._sent), return_exceptions=True)
        self._sent.clear()
