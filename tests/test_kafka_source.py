"""A topic that is read to an offset: no further, and without waiting for what never comes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from test_verify_broker import delete_before

from benchmarks.faults.place import until
from connectors.kafka_client import KafkaClient
from connectors.sources.kafka import KafkaSource
from connectors.topics import end_offsets
from stream.settings import TopicSettings


async def publish(client: KafkaClient, topic: str, places: Mapping[int, int], **options: str) -> None:
    """So many records to each partition; in one transaction where there is a `transactional_id`."""
    async with AIOKafkaProducer(**client.options(), **options) as producer:
        if options:
            await producer.begin_transaction()
        for partition, count in places.items():
            for n in range(count):
                await producer.send_and_wait(topic, b"%d" % n, partition=partition)
        if options:
            await producer.commit_transaction()


async def found(source: KafkaSource, ends: Mapping[int, int]) -> list[tuple[int, int]]:
    async with asyncio.timeout(20):
        return sorted(
            [(one.partition, one.offset) async for records in source.up_to(ends) for one in records]
        )


async def test_only_what_stands_before_the_ends_of_the_partitions_is_read(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    await publish(broker, topics.events, {0: 3, 1: 5, 3: 2})
    async with KafkaSource(broker, topics.events, start="earliest") as source:
        assert await found(source, {0: 2, 1: 5, 2: 0}) == [(0, 0), (0, 1), *((1, n) for n in range(5))]


async def test_nothing_is_waited_for_where_there_is_nothing(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    async with KafkaSource(broker, topics.events, start="earliest") as source:
        assert await found(source, end_offsets(broker, topics.events)) == []


async def test_what_retention_deletes_meanwhile_is_not_waited_for(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    """Of a partition to which nothing else comes; another one goes on."""
    await publish(broker, topics.events, {0: 3, 1: 2})
    ends = end_offsets(broker, topics.events)
    delete_before(broker, topics.events, 0, 3)
    async with KafkaSource(broker, topics.events, start=dict.fromkeys(ends, 0)) as source:
        await publish(broker, topics.events, {1: 2})
        assert await found(source, ends) == [(1, 0), (1, 1)]


async def test_the_end_of_a_transaction_is_not_waited_for(broker: KafkaClient, topics: TopicSettings) -> None:
    await publish(broker, topics.events, {0: 2}, transactional_id=topics.events)
    ends = {0: 3}  # the last is the broker's own marker, which may come after the answer to the commit

    async def marked() -> bool:
        return end_offsets(broker, topics.events)[0] == 3

    await until(marked)
    async with KafkaSource(broker, topics.events, start="earliest") as source:
        assert await found(source, ends) == [(0, 0), (0, 1)]
