"""What is published stands on the topics in the order in which it was given, where Kafka's own producers put it."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner

from connectors.kafka_client import KafkaClient
from connectors.publisher import KafkaPublisher
from connectors.recommendation import (
    ModelVersion,
    Recommendation,
    RecommendedItem,
    decode_recommendation,
)
from connectors.record_batches import partition_of
from connectors.sources.kafka import KafkaSource
from connectors.topics import end_offsets
from stream.lease import FencedError
from stream.settings import TopicSettings

pytestmark = pytest.mark.broker

USERS = [*(f"u{n}" for n in range(20)), "ünï", "\ud800"]


def slate(user_id: str, number: int, places: int = 5) -> Recommendation:
    return Recommendation(
        recommendation_id=f"{user_id}-{number}",
        user_id=user_id,
        generated_at_ms=number,
        trigger_event_id="event",
        model=ModelVersion(version="1", step=number),
        outcome="ok",
        items=[
            RecommendedItem(item_id="x" * 200, rank=rank, score=1.0, source="repeat")
            for rank in range(places)
        ],
    )


def publisher(broker: KafkaClient, topics: TopicSettings, **others: str) -> KafkaPublisher:
    named = {name: getattr(topics, name) for name in ("recommendations", "dead_letters", "drift", "model")}
    return KafkaPublisher(broker, **{**named, **others})


async def read(broker: KafkaClient, topic: str) -> dict[int, list[Recommendation]]:
    found: dict[int, list[Recommendation]] = defaultdict(list)
    async with KafkaSource(broker, topic, start="earliest") as source:
        async for records in source.up_to(end_offsets(broker, topic)):
            for record in records:
                found[record.partition].append(decode_recommendation(record.value or b""))
    return found


@pytest.mark.parametrize("key", USERS)
@pytest.mark.parametrize("partitions", [1, 4, 7])
def test_a_key_belongs_where_kafkas_own_producers_put_it(key: str, partitions: int) -> None:
    places = list(range(partitions))
    name = key.encode("utf-8", "surrogatepass")
    assert partition_of(key, partitions) == DefaultPartitioner()(name, places, places)


async def test_a_later_steps_slates_wait_for_those_of_the_step_before(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    """The first step fills several batches of one partition before it comes to a user whom the second begins with."""
    ann, bea = "ann", next(user for user in USERS if partition_of(user, 4) != partition_of("ann", 4))
    steps = [
        [*(slate(ann, n, places=50) for n in range(100)), slate(bea, 0)],
        [slate(bea, 1), slate(ann, 100)],
        [slate(bea, 2)],
    ]
    async with publisher(broker, topics) as open_publisher:
        await asyncio.gather(*(open_publisher.send(slates, [], []) for slates in steps))
    found = await read(broker, topics.recommendations)
    for user, count in ((ann, 101), (bea, 3)):
        slates = found[partition_of(user, topics.partitions)]
        assert [one.generated_at_ms for one in slates if one.user_id == user] == list(range(count))


async def test_nothing_leaves_once_the_lease_has_lapsed(broker: KafkaClient, topics: TopicSettings) -> None:
    """A step's slates may wait for those of the step before for as long as the broker is away."""
    fenced = False

    def require_lease() -> None:
        if fenced:
            raise FencedError

    async with publisher(broker, topics) as open_publisher:
        async with open_publisher._in_order:
            waiting = asyncio.create_task(open_publisher.send([slate("ann", 0)], [], [], require_lease))
            await asyncio.sleep(0.0)
            fenced = True
        with pytest.raises(FencedError):
            await waiting
    assert await read(broker, topics.recommendations) == {}


async def test_a_topic_that_is_missing_is_said(
    broker: KafkaClient, topics: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with publisher(broker, topics, recommendations="nowhere") as open_publisher:
        monkeypatch.setattr(open_publisher._open.client, "_request_timeout_ms", 200)
        with pytest.raises(UnknownTopicOrPartitionError):
            await asyncio.wait_for(open_publisher.send([slate("u1", 0)], [], []), 20.0)
