"""The events topic changes under a worker: partitions added, made anew, records deleted before they were read."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

import pytest
from test_end_to_end import assert_state_equals, known_to_commands
from test_verify_broker import delete_before, verify

from benchmarks.faults.events import log, records
from benchmarks.faults.place import Place, publish
from connectors.event import encode_event
from connectors.kafka_admin import admin
from connectors.kafka_client import KafkaClient
from connectors.kafka_producer import create_producer
from connectors.topics import create_topics, delete_topics, end_offsets
from stream.settings import TopicSettings
from stream.topic_specs import topic_specs
from stream.worker_process import WorkerProcess


@pytest.fixture
def place(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    return known_to_commands(Place(broker, topics, tmp_path / "state"), monkeypatch)


def lost(worker: WorkerProcess) -> float:
    """What the worker's metric says."""
    with urllib.request.urlopen(f"http://{worker.http}/metrics", timeout=5.0) as answer:
        lines = answer.read().decode().splitlines()
    [value] = [line.split()[1] for line in lines if line.startswith("freshet_events_lost_total ")]
    return float(value)


async def test_partitions_that_are_added_are_read_by_the_running_worker(place: Place) -> None:
    topic = place.topics.events
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, topic, records(log(100)))
        await place.until(worker, lambda s: s["lag"] == 0)
        with admin(place.client) as kafka:
            kafka.create_partitions({topic: 6})
        producer = create_producer(place.client)
        await producer.start()
        for event in log(20, start=100):
            await producer.send_and_wait(topic, encode_event(event), partition=5)
        await producer.stop()
        status = await place.until(worker, lambda s: s["events_learned"] == 120)
    assert [partition["applied"] for partition in status["partitions"]][5] == 19
    code, found = await verify()
    assert (code, found["differences"]) == (3, []), "users whose events are in two partitions have no order"
    assert "has 6 partitions, not 4 any more; the worker starts again" in worker.log.read_text()


async def test_partitions_that_were_added_while_no_worker_ran_are_read(place: Place) -> None:
    """A member that comes back under its name would get the partitions that it had."""
    topic = place.topics.events
    async with place.worker() as worker:
        await worker.wait_until_ready()
    with admin(place.client) as kafka:
        kafka.create_partitions({topic: 5})
    await publish(place.client, topic, records(log(100)))
    async with place.worker() as worker:
        await worker.wait_until_ready()
        status = await place.until(worker, lambda s: s["lag"] == 0)
    assert status["events_learned"] == 100


async def test_a_topic_that_is_made_anew_under_a_worker_is_read_from_its_beginning(place: Place) -> None:
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(log(60)))
        await place.until(worker, lambda s: s["lag"] == 0 and s["checkpoint_age_s"] is not None)
        delete_topics(place.client, [place.topics.events])
        create_topics(place.client, topic_specs(place.settings))
        await publish(place.client, place.topics.events, records(log(20, start=60)))
        status = await place.until(worker, lambda s: s["lag"] == 0 and s["events_learned"] == 80)
        assert status["worker"]["running"]
        assert_state_equals(place, log(80))
    said = worker.log.read_text()
    assert "was made anew; the worker starts again" in said
    assert "all that it holds counts as new" in said


async def test_a_topic_that_is_gone_makes_the_worker_say_that_it_is_not_ready(place: Place) -> None:
    async with place.worker() as worker:
        await worker.wait_until_ready()
        delete_topics(place.client, [place.topics.events])
        while await worker.ask("/readyz") is not None:
            worker.check()
        assert await worker.ask("/healthz") == {"ok": True}
        create_topics(place.client, topic_specs(place.settings))
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(log(20)))
        await place.until(worker, lambda s: s["events_learned"] == 20)
    assert "Create the topics with `freshet topics create`" in worker.log.read_text()


async def test_what_retention_deletes_while_a_worker_is_away_is_said_and_counted(place: Place) -> None:
    topic = place.topics.events
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, topic, records(log(100)))
        await place.until(worker, lambda s: s["lag"] == 0)
    before = end_offsets(place.client, topic)
    await publish(place.client, topic, records(log(200, start=100)))
    ends = end_offsets(place.client, topic)
    partition = max(ends, key=lambda number: ends[number] - before[number])
    delete_before(place.client, topic, partition, ends[partition] - 5)
    gone = ends[partition] - 5 - before[partition]
    async with place.worker() as worker:
        await worker.wait_until_ready()
        status = await place.until(worker, lambda s: s["lag"] == 0)
        assert status["events_learned"] == 300 - gone
        assert lost(worker) == gone
    said = f"offsets {before[partition]} to {ends[partition] - 6} were deleted before they were read: {gone} events"
    assert worker.log.read_text().count(said) == 1
    code, found = await verify()
    assert (code, found["differences"]) == (3, [])


async def test_what_retention_deletes_before_a_slow_worker_is_said_and_counted(place: Place) -> None:
    """The client jumps to where the topic begins now, and says nothing."""
    topic = place.topics.events
    # it stands still, but not for as long as that
    place.environment |= {"FRESHET_WORKER__SESSION_TIMEOUT_S": "60"}
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, topic, records(log(100)))
        status = await place.until(worker, lambda s: s["lag"] == 0)
        before = end_offsets(place.client, topic)
        partition = max(before, key=lambda number: before[number])
        os.kill(status["worker"]["pid"], signal.SIGSTOP)
        await publish(place.client, topic, records(log(40, start=100)))  # the answer to the fetch that waits
        answered = end_offsets(place.client, topic)[partition]
        await publish(place.client, topic, records(log(160, start=140)))
        ends = end_offsets(place.client, topic)
        delete_before(place.client, topic, partition, ends[partition])
        os.kill(status["worker"]["pid"], signal.SIGCONT)
        await publish(place.client, topic, records(log(200, start=300)))
        await place.until(worker, lambda s: s["lag"] == 0 and lost(worker) > 0.0)
        assert ends[partition] - answered <= lost(worker) <= ends[partition] - before[partition]
