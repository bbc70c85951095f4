"""Refused records go back to the events topic once, and nothing that stands among them gets in the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from builders import Record
from test_end_to_end import everything

import connectors.dead_letter_replay as replay_module
from connectors.dead_letter import KEPT_VALUE, DeadLetter, Reason, encode_dead_letter
from connectors.dead_letter_replay import replay_dead_letters
from connectors.decode import Refusal, dead_letter
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import create_producer
from connectors.publisher import LARGEST_REQUEST, KafkaPublisher
from stream.settings import TopicSettings

pytestmark = pytest.mark.broker


def letter(original: bytes, offset: int = 0, reason: Reason = Reason.UNDECLARED_TYPE) -> DeadLetter:
    return dead_letter(Record(value=original, offset=offset, key=b"ann"), Refusal(reason, "no"), 0)


async def replayed(broker: KafkaClient, topics: TopicSettings, *reasons: str) -> dict[str, int]:
    return await replay_dead_letters(
        broker, dead_letters=topics.dead_letters, events=topics.events, group=topics.events, reasons=reasons
    )


async def refuse(broker: KafkaClient, topics: TopicSettings, *values: bytes | None) -> None:
    producer = create_producer(broker, max_request_size=LARGEST_REQUEST)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topics.dead_letters, value, b"k", partition=0)
    finally:
        await producer.stop()


async def test_what_can_go_back_goes_back_once(broker: KafkaClient, topics: TopicSettings) -> None:
    largest = b"x" * (KEPT_VALUE - 300)
    await refuse(
        broker,
        topics,
        encode_dead_letter(letter(b"one", 1)),
        None,
        b'{"reason":"\xff"}',
        b"{}",
        encode_dead_letter(letter(b"x" * (KEPT_VALUE + 1), 2, Reason.OVERSIZED)),
        encode_dead_letter(letter(largest, 3, Reason.OVERSIZED)),
        encode_dead_letter(letter(b"two", 4)),
    )
    assert await replayed(broker, topics) == {"replayed": 3, "left": 4}
    assert sorted(await everything(broker, topics.events)) == sorted([b"one", b"two", largest])
    assert await replayed(broker, topics) == {"replayed": 0, "left": 0}


async def test_a_users_records_go_back_in_their_order(broker: KafkaClient, topics: TopicSettings) -> None:
    values = [b"%d" % n for n in range(40)]
    publisher = KafkaPublisher(
        broker,
        recommendations=topics.recommendations,
        dead_letters=topics.dead_letters,
        drift=topics.drift,
        model=topics.model,
    )
    async with publisher:
        await publisher.send([], [letter(value, n) for n, value in enumerate(values)], [])
    assert await replayed(broker, topics) == {"replayed": 40, "left": 0}
    assert await everything(broker, topics.events) == values


async def test_of_other_reasons_nothing_is_replayed(broker: KafkaClient, topics: TopicSettings) -> None:
    await refuse(
        broker,
        topics,
        encode_dead_letter(letter(b"one", 1)),
        encode_dead_letter(letter(b"two", 2, Reason.BAD_ID)),
    )
    assert await replayed(broker, topics, "bad_id") == {"replayed": 1, "left": 1}
    assert await everything(broker, topics.events) == [b"two"]


async def test_what_is_larger_than_the_broker_takes_holds_nothing_up(
    broker: KafkaClient, topics: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def modest(client: KafkaClient, **options: Any) -> Any:
        return create_producer(client, **{**options, "max_request_size": 1_000})

    monkeypatch.setattr(replay_module, "create_producer", modest)
    await refuse(
        broker,
        topics,
        encode_dead_letter(letter(b"x" * 2_000, 1)),
        encode_dead_letter(letter(b"two", 2)),
    )
    assert await replayed(broker, topics) == {"replayed": 1, "left": 1}
    assert await everything(broker, topics.events) == [b"two"]


async def test_what_the_broker_refuses_is_replayed_again(
    broker: KafkaClient, topics: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def flush(self) -> None: ...

        async def send(self, *_: Any) -> asyncio.Future[Any]:
            refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            refused.set_exception(TopicAuthorizationFailedError())
            return refused

    await refuse(broker, topics, encode_dead_letter(letter(b"one", 1)))
    with monkeypatch.context() as patched:
        patched.setattr(replay_module, "create_producer", lambda *_, **__: Refusing())
        with pytest.raises(TopicAuthorizationFailedError):
            await replayed(broker, topics)
    assert await replayed(broker, topics) == {"replayed": 1, "left": 0}
