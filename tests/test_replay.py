"""Replaying a log to a real broker: every event once, under its key, in its user's order, at its own time."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.partitioner import DefaultPartitioner
from click.testing import CliRunner, Result

import connectors.kafka_producer as producer_module
from connectors.event import Event, encode_event
from connectors.kafka_admin import BrokerUnreachableError
from connectors.kafka_client import KafkaClient
from connectors.sinks.kafka import DeliveryError, KafkaSink
from connectors.sources.files import FileSource
from connectors.sources.kafka import KafkaSource, Record
from connectors.topics import TopicError, end_offsets
from stream.cli.main import cli
from stream.settings import TopicSettings

pytestmark = pytest.mark.broker
decode = msgspec.json.Decoder(Event).decode


def a_log(folder: Path, rows: int = 5_000) -> Path:
    """Forty users in turn, an hour of 2009, and every hundredth row twice."""
    folder.mkdir()
    with gzip.open(folder / "events.csv.gz", "wt") as file:
        file.write("timestamp,user_id,item_id,event_type,value\n")
        for n in range(rows):
            if n % 100 == 1:
                n -= 1
            file.write(
                f"{1_234_567_890 + n // 2},user-{n % 40},item-{n % 17},{'tag' if n == 2 else 'view'},{n}\n"
            )
    return folder


def freshet(client: KafkaClient, topics: TopicSettings, folder: Path, *arguments: str) -> Result:
    config = folder / "freshet.toml"
    lines = [f'{name} = "{getattr(topics, name)}"' for name in ("events", "recommendations")]
    config.write_text("\n".join(["[topics]", *lines]))
    return CliRunner().invoke(cli, ["--bootstrap", client.bootstrap, "--config", str(config), *arguments])


async def everything(client: KafkaClient, topic: str, count: int) -> list[Record]:
    records: list[Record] = []
    async with asyncio.timeout(20), KafkaSource(client, topic, start="earliest") as source:
        while len(records) < count:
            records += await source.read()
        assert await source.read(0.2) == [], "and no more"
    return records


def test_every_event_arrives_once_under_its_key_and_in_its_users_order(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    folder = a_log(tmp_path / "shop")
    result = freshet(broker, topics, tmp_path, "replay", str(folder), "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["events_published"] == 5_000
    assert answer["events_per_s"] > 0
    assert "1 of them have the type 'tag'" in result.stderr

    records = asyncio.run(everything(broker, topics.events, 5_000))
    expected = list(FileSource(folder))
    arrived = {(event := decode(record.value or b"")).event_id: event for record in records}
    assert len(arrived) == 5_000
    assert arrived == {event.event_id: event for event in expected}
    assert arrived["shop#1"].occurred_at_ms == 1_234_567_890_000

    partitions = sorted({record.partition for record in records})
    assert len(partitions) > 1
    order: dict[str, list[str]] = {}
    for record in sorted(records, key=lambda record: record.offset):
        event = decode(record.value or b"")
        assert record.key == event.user_id.encode()
        assert record.partition == DefaultPartitioner()(record.key, list(range(4)), [])
        order.setdefault(event.user_id, []).append(event.event_id)
    for user_id, ids in order.items():
        assert ids == [event.event_id for event in expected if event.user_id == user_id]
    # Retention goes by a record's own time: that of a log from 2009 would delete it at once.
    assert min(record.timestamp_ms for record in records) > (time.time() - 60) * 1_000


def test_a_limit_ends_the_replay(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> None:
    result = freshet(
        broker, topics, tmp_path, "replay", str(a_log(tmp_path / "shop")), "--limit", "7", "--json"
    )
    assert json.loads(result.stdout)["events_published"] == 7
    assert len(asyncio.run(everything(broker, topics.events, 7))) == 7


def test_speed_keeps_the_rhythm_of_the_log(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    # 100 seconds of the log, two hundred times as fast.
    folder = a_log(tmp_path / "shop", rows=200)
    result = freshet(broker, topics, tmp_path, "replay", str(folder), "--speed", "200", "--json")
    answer = json.loads(result.stdout)
    assert answer["events_published"] == 200
    assert 0.45 < answer["seconds"] < 3.0


def test_a_signal_ends_the_replay_cleanly(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> None:
    interrupt = threading.Timer(1.2, os.kill, (os.getpid(), signal.SIGTERM))
    interrupt.start()
    folder = a_log(tmp_path / "shop", rows=200)
    result = freshet(broker, topics, tmp_path, "replay", str(folder), "--speed", "1", "--json")
    interrupt.join()
    assert result.exit_code == 130
    published = json.loads(result.stdout)["events_published"]
    assert 0 < published < 200
    assert len(asyncio.run(everything(broker, topics.events, published))) == published


@pytest.mark.parametrize("command", [["replay", "LOG"], ["simulate", "--duration", "1"]])
def test_a_missing_topic_is_named_with_what_to_do(
    command: list[str], broker: KafkaClient, tmp_path: Path
) -> None:
    log = a_log(tmp_path / "shop", rows=10)
    nowhere = TopicSettings(events="no-such-events", recommendations="no-such-slates")
    result = freshet(broker, nowhere, tmp_path, *(str(log) if word == "LOG" else word for word in command))
    assert result.exit_code == 1
    assert "no topic no-such-" in result.stderr
    assert "freshet topics create" in result.stderr
    assert result.stdout == ""


def test_a_malformed_log_is_a_failure_with_its_line(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,user_id,item_id,event_type\n1000000000,u,i,view\nsoon,u,i,view\n")
    result = freshet(broker, topics, tmp_path, "replay", str(path))
    assert result.exit_code == 1
    assert "log.csv, line 3: timestamp is 'soon'" in result.stderr


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan"])
def test_an_impossible_speed_is_wrong_usage(
    speed: str, broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    assert freshet(broker, topics, tmp_path, "replay", "x.csv", f"--speed={speed}").exit_code == 2


def test_a_log_whose_times_the_worker_would_refuse_is_not_published(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path
) -> None:
    log = tmp_path / "relative.csv"
    log.write_text("timestamp,user_id,item_id,event_type\n0,u,i,view\n86400,u,j,view\n")
    result = freshet(broker, topics, tmp_path, "replay", str(log))
    assert result.exit_code == 1
    assert "relative#1 happened before 1990" in result.stderr
    assert sum(end_offsets(broker, topics.events).values()) == 0


async def test_nobody_listening_is_an_error_with_what_to_do() -> None:
    nobody = KafkaClient(bootstrap="127.0.0.1:1")
    for endpoint in (KafkaSink(nobody, "events"), KafkaSource(nobody, "slates")):
        context: Any = endpoint
        with pytest.raises(BrokerUnreachableError, match="freshet broker start"):
            async with context:
                pass


async def test_the_latest_start_is_fixed_when_the_source_is_entered(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    old, new = (
        Event(event_id=name, event_type="view", occurred_at_ms=1, user_id="u", item_id="i")
        for name in ("old", "new")
    )
    async with KafkaSink(broker, topics.events) as sink:
        await sink.write([old])
        await sink.flush()
        async with KafkaSource(broker, topics.events) as source:
            await sink.write([new])
            await sink.flush()
            assert sink.delivered == 2
            async with asyncio.timeout(10):
                async for records in source:
                    assert [record.value for record in records] == [encode_event(new)]
                    break
    with pytest.raises(TopicError, match="no topic nowhere"):
        async with KafkaSource(broker, "nowhere"):
            pass


async def test_what_the_broker_refuses_is_raised(broker: KafkaClient, topics: TopicSettings) -> None:
    huge = Event(event_id="e", event_type="view", occurred_at_ms=1, user_id="u", item_id="i" * 3_000_000)
    with pytest.raises(DeliveryError, match="1 events were not delivered"):
        async with KafkaSink(broker, topics.events) as sink:
            await sink.write([huge])


async def test_a_broker_that_goes_away_is_an_error_after_a_while(
    broker: KafkaClient, topics: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idempotent producer sends again for ever, and does not close before it has sent everything."""

    async def away(*_args: Any, **_options: Any) -> None:
        raise KafkaConnectionError("nobody there")

    monkeypatch.setattr(producer_module, "PATIENCE_S", 0.3)
    monkeypatch.setattr(producer_module, "_CLOSING_S", 0.3)
    event = Event(event_id="e", event_type="view", occurred_at_ms=1, user_id="u", item_id="i")
    sink = KafkaSink(broker, topics.events)
    async with asyncio.timeout(10):
        await sink.__aenter__()
        assert sink._producer is not None
        monkeypatch.setattr(sink._producer.client, "send", away)
        await sink.write([event])
        with pytest.raises(DeliveryError, match="1 events were not delivered"):
            await sink.close()


async def test_more_than_a_batch_and_more_than_may_be_in_flight_arrives_in_order(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    events = [
        Event(event_id=f"e{n}", event_type="view", occurred_at_ms=n, user_id="u", item_id="i" * 200)
        for n in range(6_000)
    ]
    async with KafkaSink(broker, topics.events, max_in_flight=500) as sink:
        await sink.write(events)
        assert sink.delivered >= 3_000, "write waited for the first batches"
    records = await everything(broker, topics.events, 6_000)
    assert [decode(record.value or b"").event_id for record in records] == [
        event.event_id for event in events
    ]
