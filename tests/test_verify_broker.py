"""`freshet verify` on a real topic: while a worker runs, after it was killed, and when retention has been there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka import TopicPartition
from test_end_to_end import known_to_commands

from benchmarks.faults.events import log, records
from benchmarks.faults.place import Place, publish
from connectors.kafka_admin import admin
from connectors.kafka_client import KafkaClient
from connectors.topics import beginning_offsets, end_offsets
from stream.cli.main import cli
from stream.settings import TopicSettings


@pytest.fixture
def place(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    return known_to_commands(Place(broker, topics, tmp_path / "state"), monkeypatch)


async def verify() -> tuple[int, dict[str, Any]]:
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["verify", "--json"])
    assert result.stdout, result.stderr
    return result.exit_code, json.loads(result.stdout)


def delete_before(client: KafkaClient, topic: str, partition: int, offset: int) -> None:
    """As retention does."""
    with admin(client) as kafka:
        kafka.delete_records({TopicPartition(topic, partition): offset})


async def test_a_worker_is_clean_while_it_runs_and_after_it_was_killed(place: Place) -> None:
    """Events out of order, some sent twice, garbage among them."""
    events = log(1_500)
    sent = [one for n in range(0, 1_500, 3) for one in (events[n + 2], events[n], events[n + 1])]
    some = records(sent[:800]) + records(sent[700:800]) + [(None, b"{")] * 5 + records(sent[800:])
    topic = place.topics.events
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, topic, some[:400])
        await place.until(worker, lambda s: s["checkpoint_age_s"] is not None)
        publishing = asyncio.create_task(publish(place.client, topic, some[400:]))
        assert (await verify())[0] == 0
        await publishing
        status = await place.until(worker, lambda s: s["events_learned"] > 400)
        os.kill(status["worker"]["pid"], signal.SIGKILL)
    code, found = await verify()
    assert (code, found["differences"], found["not_compared"]) == (0, [], [])

    async with place.worker() as worker:
        await worker.wait_until_ready()
        status = await place.until(worker, lambda s: s["lag"] == 0)
    code, found = await verify()
    assert (code, found["clean"], found["complete"]) == (0, True, True)
    assert (found["events"], found["users"], found["items"]) == (1_500, 20, 30)
    assert (status["duplicates"], status["dead_letters"], status["late_events"]) == (100, 5, 0)

    ends = end_offsets(place.client, topic)
    partition = max(ends, key=lambda partition: ends[partition])
    delete_before(place.client, topic, partition, ends[partition] // 2)
    assert beginning_offsets(place.client, topic)[partition] > 0
    code, found = await verify()
    assert (code, found["differences"], found["complete"]) == (3, [], False)
    assert "retention has deleted the rest" in found["not_compared"][0]
