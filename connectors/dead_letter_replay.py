"""Sends refused records back to the events topic, once what was wrong with them (or with the settings) is mended."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from connectors.dead_letter import KEPT_VALUE, DeadLetter, decode_dead_letter
from connectors.decode import RawRecord
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import close_producer, create_producer, delivered
from connectors.publisher import LARGEST_REQUEST
from connectors.sources.kafka import is_before

logger = logging.getLogger(__name__)

_POLL_MS = 1_000
_GROUP_SUFFIX = "dead-letters-replay"


async def replay_dead_letters(
    client: KafkaClient, *, dead_letters: str, events: str, group: str, reasons: Collection[str] = ()
) -> dict[str, int]:
    """Publish the original records of the dead letters that were not looked at by an earlier call.

    A consumer group remembers how far this went; a crash in between may send some records twice.

    Args:
        client: The broker.
        dead_letters: Topic to read.
        events: Topic to publish to, with the original key and value, byte for byte.
        group: The worker's consumer group; the replay has one of its own beside it.
        reasons: Only these reason codes; all when empty. The others count as looked at.

    Returns:
        `replayed` and `left`: how many the broker took, and how many were passed over: of other reasons, none of this
        project's, kept in part only, or larger than the broker takes.

    Raises:
        aiokafka.errors.KafkaError: The broker does not answer or refuses.
    """
    counts = {"replayed": 0, "left": 0}
    consumer = AIOKafkaConsumer(
        dead_letters,
        **client.options(),
        group_id=f"{group}-{_GROUP_SUFFIX}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = create_producer(client, max_request_size=LARGEST_REQUEST)
    await producer.start()
    try:
        await consumer.start()
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while await is_before(consumer, ends):
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                taken = await _publish(producer, events, _wanted(records, reasons))
                counts["replayed"] += taken
                counts["left"] += len(records) - taken
            await consumer.commit()
    finally:
        await consumer.stop()
        await close_producer(producer)
    return counts


def _wanted(records: Iterable[RawRecord], reasons: Collection[str]) -> list[DeadLetter]:
    """The dead letters among the records that are to be replayed and can be."""
    letters = []
    for record in records:
        try:
            letter = decode_dead_letter(record.value or b"")
        except ValueError as error:
            logger.warning("a record is not a dead letter: %s", error, extra=_place(record))
            continue
        if reasons and letter.reason not in reasons:
            continue
        if len(letter.original) >= KEPT_VALUE:
            logger.warning("of a record only the beginning was kept", extra=_place(letter))
            continue
        letters.append(letter)
    return letters


async def _publish(producer: AIOKafkaProducer, topic: str, letters: Sequence[DeadLetter]) -> int:
    """Publish what the letters hold, in order; how many of them the broker took.

    Raises:
        aiokafka.errors.KafkaError: It refuses for another reason than a record's size, or does not answer.
    """
    taken, sent = 0, []
    for letter in letters:
        try:
            sent.append((letter, await producer.send(topic, letter.original, letter.key)))
        except MessageSizeTooLargeError as error:
            logger.warning("a record is too large to be published: %s", error, extra=_place(letter))
    for letter, acknowledged in sent:
        try:
            await delivered(acknowledged)
            taken += 1
        except MessageSizeTooLargeError as error:
            logger.warning("the broker refuses a record as too large: %s", error, extra=_place(letter))
    return taken


def _place(record: RawRecord | DeadLetter) -> dict[str, Any]:
    return {"topic": record.topic, "partition": record.partition, "offset": record.offset}
