"""What other workers own is read from where it is wanted, in order and once, and no more than that."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from test_end_to_end import publish
from test_verify_broker import delete_before

from connectors.decode import RawRecord
from connectors.kafka_client import KafkaClient
from connectors.topics import end_offsets
from stream.follower import Follower
from stream.settings import TopicSettings


class Reader:
    """Keeps what a follower hands over."""

    def __init__(self, broker: KafkaClient, topics: TopicSettings) -> None:
        self.offsets: dict[int, list[int]] = defaultdict(list)
        self.lost: list[int] = []
        self.follower = Follower(broker, topics.events, self.take, on_loss=self.lost.append)

    async def take(self, records: Sequence[RawRecord]) -> None:
        assert len({record.partition for record in records}) == 1
        self.offsets[records[0].partition] += [record.offset for record in records]

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(30.0):
            while not reached():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(broker: KafkaClient, topics: TopicSettings) -> AsyncIterator[Reader]:
    reader = Reader(broker, topics)
    task = asyncio.create_task(reader.follower.run())
    try:
        yield reader
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def fill(broker: KafkaClient, topics: TopicSettings, count: int) -> dict[int, int]:
    """Publish records of many keys; where each partition ends."""
    await publish(broker, topics.events, [(b"%d" % n, b"{}") for n in range(count)])
    ends = {partition: end for partition, end in end_offsets(broker, topics.events).items() if end}
    assert len(ends) > 1
    return ends


async def test_it_reads_what_it_is_told_to_from_where_it_is_told_to(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    ends = await fill(broker, topics, 200)
    first, second = sorted(ends)[:2]
    async with running(broker, topics) as reader:
        await asyncio.sleep(0.3)
        assert reader.offsets == {}
        reader.follower.follow({first: 5})
        await reader.until(lambda: len(reader.offsets[first]) == ends[first] - 5)
        reader.follower.follow({second: 0})
        await reader.until(lambda: len(reader.offsets[second]) == ends[second])
        reader.follower.follow({})
        await fill(broker, topics, 200)
        await asyncio.sleep(0.5)
        reader.follower.follow({first: ends[first]})
        more = end_offsets(broker, topics.events)
        await reader.until(lambda: len(reader.offsets[first]) == more[first] - 5)
    assert reader.offsets == {first: list(range(5, more[first])), second: list(range(ends[second]))}
    assert reader.lost == []


async def test_what_retention_has_deleted_is_counted_and_the_rest_is_read(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    ends = await fill(broker, topics, 200)
    partition = min(ends)
    delete_before(broker, topics.events, partition, 20)
    async with running(broker, topics) as reader:
        reader.follower.follow({partition: 8})
        await reader.until(lambda: len(reader.offsets[partition]) == ends[partition] - 20)
    assert reader.offsets[partition] == list(range(20, ends[partition]))
    assert reader.lost == [12]


async def test_who_waits_for_a_partition_whose_records_are_all_deleted_waits_no_longer(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    ends = await fill(broker, topics, 200)
    partition = min(ends)
    delete_before(broker, topics.events, partition, ends[partition])
    async with running(broker, topics) as reader:
        reader.follower.follow({partition: 0})
        assert await reader.follower.catch_up(20.0)
    assert reader.offsets == {}
