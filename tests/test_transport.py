"""The contract with the pinned Faust: what `stream.transport` overrides must still be there and still be called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaProducer
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from connectors.kafka_client import KafkaClient
from connectors.sources.kafka import KafkaSource
from connectors.topics import TopicShape, committed_offsets, end_offsets
from stream.app import create_app
from stream.engine import EngineConfig
from stream.settings import TopicSettings
from stream.transport import (
    FETCH_MAX_WAIT_MS,
    BatchSchema,
    Consumer,
    ConsumerThread,
    RecordBatch,
    Transport,
    _Reading,
)

TP0 = TP("events", 0)


def consumer_of(*schemas: faust.Schema[Any, Any]) -> Consumer:
    """A consumer without a broker, of an application whose topic has these subscribers."""
    consumer: Consumer = Consumer.__new__(Consumer)
    topics = [SimpleNamespace(topics=["events"], schema=schema) for schema in schemas]
    consumer.app = SimpleNamespace(topics=topics, consumer_generation_id=1)  # type: ignore[assignment]
    consumer._batched, consumer._readings, consumer._look_due = {}, {}, 0.0
    consumer._acked = {TP0: []}
    consumer._acked_index = {TP0: set()}
    return consumer


def record(offset: int) -> Any:
    return SimpleNamespace(
        topic="events",
        partition=0,
        offset=offset,
        timestamp=1_000 + offset,
        timestamp_type=0,
        serialized_value_size=10,
    )


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (driver.Consumer, "_getmany", ["self", "active_partitions", "timeout"]),
        (driver.Consumer, "_to_message", ["self", "tp", "record"]),
        (driver.Consumer, "_add_gap", ["self", "tp", "offset_from", "offset_to"]),
        (driver.Consumer, "_new_offset", ["self", "tp"]),
        (driver.Consumer, "on_stop", ["self"]),
        (driver.Consumer, "maybe_wait_for_commit_to_finish", ["self"]),
        (driver.Consumer, "on_buffer_full", ["self", "tp"]),
        (driver.Consumer, "seek_to_committed", ["self"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
    ],
)
def test_the_overridden_seams_are_the_pinned_fausts_own(
    owner: type, name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_the_url_scheme_leads_to_this_transport() -> None:
    from faust.transport.drivers import by_url
    from yarl import URL

    assert by_url(URL("kafka+batch://127.0.0.1:9092")) is Transport
    assert Transport.Consumer is Consumer


def test_a_list_becomes_one_message_at_its_last_offset() -> None:
    batch = RecordBatch([record(4), record(5), record(9)])
    message = consumer_of(BatchSchema())._to_message(TP0, batch)
    assert (message.offset, message.value, message.timestamp) == (9, batch, 1.009)


def test_the_newest_acknowledgement_is_the_position_whatever_lies_before() -> None:
    consumer = consumer_of(BatchSchema())
    assert consumer._new_offset(TP0) is None
    consumer._acked[TP0] = [3, 9, 7]
    assert consumer._new_offset(TP0) == 10
    assert consumer._acked[TP0] == []


def test_lists_and_single_events_on_one_topic_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="events has subscribers to lists and to single events"):
        consumer_of(BatchSchema(), faust.Schema())._is_batched("events")


def test_an_ordinary_topic_stays_with_the_driver() -> None:
    assert not consumer_of(faust.Schema())._is_batched("events")


class StubEngine:
    """Takes lists of records and acknowledges them at once, or when told."""

    def __init__(self, applied: dict[int, int]) -> None:
        self.config = EngineConfig(topic="events")
        self.processor = SimpleNamespace(states=SimpleNamespace(applied=applied))
        self.lists: list[Any] = []
        self.acknowledges = True
        self.waiting: list[Callable[[], None]] = []
        self.lulls = 0
        self.ended: dict[int, int] = {}

    async def before_poll(self) -> None:
        self.lulls += 1

    async def offer(self, records: Any, ack: Callable[[], None]) -> None:
        self.lists.append(records)
        if self.acknowledges:
            ack()
        else:
            self.waiting.append(ack)

    async def take_over(
        self, committed: Mapping[int, int | None], ends: Mapping[int, int]
    ) -> Mapping[int, int]:
        assert committed.keys() == ends.keys()
        return {partition: self.processor.states.applied.get(partition, -1) + 1 for partition in committed}

    async def reached_end(self, partition: int, after: int) -> None:
        self.ended[partition] = after

    @property
    def offsets(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for records in self.lists:
            for one in records:
                found.setdefault(one.partition, []).append(one.offset)
        return found


@asynccontextmanager
async def running(
    broker: KafkaClient, topics: TopicSettings, engine: StubEngine, folder: Path
) -> AsyncIterator[faust.App]:
    app = create_app(
        broker,
        engine,
        group=topics.events,
        topic=topics.events,
        shape=TopicShape("", topics.partitions),
        session_timeout_s=6.0,
        folder=folder,  # type: ignore[arg-type]
        take_over=engine.take_over,
        reached_end=engine.reached_end,
    )
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


async def published(broker: KafkaClient, topic: str, count: int) -> dict[int, list[int]]:
    """Publish records of ten keys; where they are now."""
    producer = AIOKafkaProducer(**broker.options())
    await producer.start()
    sent = [await producer.send_and_wait(topic, b"{}", b"%d" % (n % 10)) for n in range(count)]
    await producer.stop()
    found: dict[int, list[int]] = {}
    for one in sent:
        found.setdefault(one.partition, []).append(one.offset)
    return found


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not reached():
            await asyncio.sleep(0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_records_arrive_in_lists_in_order_and_acknowledged_ones_are_committed(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    expected = await published(broker, topics.events, 300)
    engine = StubEngine(applied={})
    async with running(broker, topics, engine, tmp_path) as app:
        await until(lambda: engine.offsets == expected)
        assert all(isinstance(records, RecordBatch) for records in engine.lists)
        assert engine.lulls >= len(engine.lists) / topics.partitions, "before each poll"
        assert len(engine.lists) < 100
        thread = app.consumer._thread
        assert isinstance(thread, ConsumerThread)
        assert thread._ensure_consumer()._fetch_max_wait_ms == FETCH_MAX_WAIT_MS
    ends = {partition: offsets[-1] + 1 for partition, offsets in expected.items()}
    assert committed_offsets(broker, topics.events, topics.events) == ends


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_what_is_acknowledged_during_a_commit_is_committed_when_the_worker_stops(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, committing, may_go_on = StubEngine(applied={}), asyncio.Event(), asyncio.Event()
    commit = Consumer._commit

    async def slow(self: Consumer, offsets: Mapping[TP, int]) -> bool:
        committing.set()
        await may_go_on.wait()
        return await commit(self, offsets)

    monkeypatch.setattr(Consumer, "_commit", slow)
    expected = await published(broker, topics.events, 50)
    async with running(broker, topics, engine, tmp_path):
        await until(lambda: engine.offsets == expected)
        await asyncio.wait_for(committing.wait(), 30.0)
        engine.acknowledges = False
        later = await published(broker, topics.events, 50)
        both = {partition: offsets + later[partition] for partition, offsets in expected.items()}
        await until(lambda: engine.offsets == both)
        for acknowledge in engine.waiting:
            acknowledge()
        asyncio.get_running_loop().call_later(0.5, may_go_on.set)
    ends = {partition: offsets[-1] + 1 for partition, offsets in both.items()}
    assert committed_offsets(broker, topics.events, topics.events) == ends


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_reading_begins_after_the_applied_offsets_whatever_was_committed(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    expected = await published(broker, topics.events, 300)
    first = StubEngine(applied={})
    async with running(broker, topics, first, tmp_path):
        await until(lambda: first.offsets == expected)

    partition = max(expected, key=lambda number: len(expected[number]))
    applied = {number: offsets[-1] for number, offsets in expected.items()}
    applied[partition] = expected[partition][10]
    again = StubEngine(applied=applied)
    async with running(broker, topics, again, tmp_path):
        await until(lambda: again.offsets == {partition: expected[partition][11:]})


async def in_transaction(broker: KafkaClient, topic: str, values: Sequence[bytes], *, commit: bool) -> None:
    """Publish to partition 0."""
    producer = AIOKafkaProducer(**broker.options(), transactional_id=f"{topic}-shop")
    async with producer:
        await producer.begin_transaction()
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_a_transactions_end_is_no_record_and_what_it_took_back_has_never_been(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    """Offsets 0 and 1, their marker, 3 that is taken back, and its marker."""
    await in_transaction(broker, topics.events, [b"1", b"2"], commit=True)
    await in_transaction(broker, topics.events, [b"3"], commit=False)
    assert end_offsets(broker, topics.events)[0] == 5
    engine = StubEngine(applied={})
    async with running(broker, topics, engine, tmp_path) as app:
        await until(lambda: len(engine.ended) == topics.partitions)
        assert engine.offsets == {0: [0, 1]}
        assert engine.ended[0] == 2
        ends = await app.consumer.record_ends(*app.consumer.assignment())
        assert {tp.partition: end for tp, end in ends.items()} == engine.ended
    async with KafkaSource(broker, topics.events, start="earliest") as source:
        assert [one.value for one in await source.read(10.0)] == [b"1", b"2"]


async def test_a_position_of_before_a_seek_says_nothing_of_what_is_to_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    consumer, ended = consumer_of(BatchSchema()), list[tuple[int, int]]()

    async def reached_end(partition: int, after: int) -> None:
        ended.append((partition, after))

    async def position(_: TP) -> int:
        consumer._readings[TP0] = _Reading(after=3, position=3, awaited=9)
        return 9

    consumer.app.reached_end = reached_end  # type: ignore[attr-defined]
    monkeypatch.setattr(consumer, "assignment", lambda: {TP0})
    monkeypatch.setattr(consumer, "position", position)
    consumer._readings[TP0] = _Reading(after=9, position=9)
    await consumer._look_at_positions()
    assert ended == []
    assert consumer._readings[TP0].awaited == 9


@pytest.mark.parametrize("session_timeout_s", [6.0, 300.0])
def test_any_session_timeout_is_one_that_faust_takes(session_timeout_s: float, tmp_path: Path) -> None:
    """It wants the time for a request to be no shorter."""
    engine = StubEngine({})
    app = create_app(
        KafkaClient(bootstrap="127.0.0.1:1"),
        engine,  # type: ignore[arg-type]
        group="group",
        topic="events",
        shape=TopicShape("", 1),
        session_timeout_s=session_timeout_s,
        folder=tmp_path,
        take_over=engine.take_over,
    )
    assert app.conf.broker_session_timeout == session_timeout_s
    assert app.conf.broker_request_timeout >= session_timeout_s
    assert app.conf.broker_rebalance_timeout >= session_timeout_s
