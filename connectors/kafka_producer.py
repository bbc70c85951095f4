"""aiokafka's producer, without the spin that it falls into while no broker answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from connectors.kafka_client import KafkaClient

_BACKOFF_S = 0.2
_BATCH_BYTES = 256 * 1024
_CLOSING_S = 5.0
PATIENCE_S = 20.0
"""How long whoever is not patient waits for the broker."""

_FOR_EVER_S = 10 * 365 * 86_400.0  # an event loop cannot wait for infinity


def create_producer(client: KafkaClient, *, patient: bool = False, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for every replica; it is not started.

    aiokafka's sender asks for fresh metadata again as soon as the last request has failed. With the broker gone it
    does so ten thousand times a second, with two lines of log each, until the batches expire
    (aio-libs/aiokafka issue 267). Here a failed request is answered a moment later.

    Args:
        client: The broker.
        patient: Wait for the broker as long as it takes. Otherwise what is handed over while the buffer is full,
            or waits for a partition without a leader, fails after `request_timeout_ms`. What was taken from the buffer
            is sent again and again, since an idempotent producer never gives up: `delivered` waits for it.
        options: Further arguments of `AIOKafkaProducer`.
    """
    # By default a batch is 16 KiB, a handful of slates, and a partition has one on its way at a time.
    producer = AIOKafkaProducer(
        **client.options(), acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES, **options
    )
    if patient:
        # Requests keep their timeout, and are sent again: the sender has a copy of it.
        producer._request_timeout_ms = _FOR_EVER_S * 1000.0
        producer._message_accumulator._batch_ttl = _FOR_EVER_S
    producer.client.force_metadata_update = _with_backoff(producer.client.force_metadata_update)
    return producer


async def delivered(acknowledged: asyncio.Future[Any]) -> None:
    """Wait until the broker has acknowledged what was sent; who stops waiting does not call it off.

    Raises:
        aiokafka.errors.KafkaError: It refuses, or does not answer in time.
    """
    try:
        await asyncio.wait_for(asyncio.shield(acknowledged), PATIENCE_S)
    except TimeoutError as error:
        raise KafkaTimeoutError(f"the broker took nothing for {PATIENCE_S:g} s") from error


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Stop a producer; what it still holds after some seconds, since no broker takes it, is given up."""
    try:
        await asyncio.wait_for(producer.flush(), _CLOSING_S)
    except TimeoutError:
        # To stop it is to wait for its buffer to become empty, however long that takes.
        producer._closed = True
        await producer._sender.close()
        await producer.client.close()
    else:
        await producer.stop()


def _with_backoff(update: Callable[[], Any]) -> Callable[[], asyncio.Future[bool]]:
    async def answer_later() -> bool:
        updated = bool(await update())
        if not updated:
            await asyncio.sleep(_BACKOFF_S)
        return updated

    waiting: set[asyncio.Future[bool]] = set()

    def force_metadata_update() -> asyncio.Future[bool]:
        # One request at a time, as before; the set keeps the task alive when its caller stops waiting.
        for task in waiting:
            return asyncio.shield(task)
        task = asyncio.ensure_future(answer_later())
        waiting.add(task)
        task.add_done_callback(waiting.discard)
        return asyncio.shield(task)

    return force_metadata_update
