"""Sends refused records back to the events topic, once what was wrong with them (or with the settings) is mended."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from aiokafka import AIOKafkaConsumer

from connectors.dead_letter import decode_dead_letter
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import create_producer

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
        `replayed` and `left`: how many were published and how many were passed over.

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
    producer = create_producer(client)
    await producer.start()
    try:
        await consumer.start()
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    try:
                        letter = decode_dead_letter(record.value)
                    except msgspec.MsgspecError:
                        counts["left"] += 1  # not one of ours
                        continue
                    if reasons and letter.reason not in reasons:
                        counts["left"] += 1
                        continue
                    await producer.send(events, letter.original, letter.key)
                    counts["replayed"] += 1
            await producer.flush()
            await consumer.commit()
    finally:
        await consumer.stop()
        await producer.stop()
    return counts
