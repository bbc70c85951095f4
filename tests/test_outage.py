"""The broker is killed under a running worker and comes back: the worker waits, goes on by itself, and is exact."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_end_to_end import known_to_commands
from test_verify_broker import verify

from benchmarks.faults.events import log, records
from benchmarks.faults.place import Place, publish
from connectors.kafka_client import KafkaClient
from connectors.local_broker import LocalBroker
from connectors.topics import create_topics
from stream.settings import TopicSettings
from stream.topic_specs import topic_specs

OUTAGE_S = 30.0
"""Longer than the worker's session lasts."""

pytestmark = pytest.mark.broker


@pytest.fixture
def mortal(tmp_path: Path, jars_cache: Path | None) -> Iterator[LocalBroker]:
    """A broker of this test's own, which keeps its data."""
    local = LocalBroker(tmp_path / "broker")
    local.start(port=0, cache_dir=jars_cache)
    yield local
    local.stop()


@pytest.fixture
def place(mortal: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    bootstrap = mortal.status().bootstrap
    assert bootstrap is not None
    here = Place(KafkaClient(bootstrap=bootstrap), TopicSettings(), tmp_path / "state")
    create_topics(here.client, topic_specs(here.settings))
    return known_to_commands(here, monkeypatch)


def kill(mortal: LocalBroker) -> None:
    pid = mortal.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_the_broker_is_killed_and_comes_back(
    place: Place, mortal: LocalBroker, jars_cache: Path | None
) -> None:
    events = log(6_000)
    port = int(place.client.bootstrap.rpartition(":")[2])
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(events[:4_000]))
        await place.until(worker, lambda s: s["events_learned"] > 200)
        before = len(worker.log.read_text().splitlines())
        kill(mortal)
        killed = time.monotonic()
        while time.monotonic() < killed + OUTAGE_S:
            worker.check()
            health = await worker.ask("/healthz")
            assert health == {"ok": True}
            await asyncio.sleep(0.5)
        during = worker.log.read_text().splitlines()[before:]
        await asyncio.to_thread(mortal.start, port=port, cache_dir=jars_cache)
        back = time.monotonic()
        await publish(place.client, place.topics.events, records(events[4_000:]))
        status = await place.until(worker, lambda s: s["lag"] == 0)
        print("caught up after", time.monotonic() - back, "lines", len(during))
        assert status["events_learned"] == 6_000
        assert status["worker"]["running"]
    code, found = await verify()
    assert (code, found["clean"], found["complete"], found["events"]) == (0, True, True, 6_000)
    assert len(during) < 40, "\n".join(during[:100])


async def test_a_worker_that_is_told_to_stop_while_the_broker_is_away_ends_and_nothing_is_lost(
    place: Place, mortal: LocalBroker, jars_cache: Path | None
) -> None:
    events = log(3_000)
    port = int(place.client.bootstrap.rpartition(":")[2])
    place.environment |= {"FRESHET_WORKER__STOP_WITHIN_S": "3"}
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(events))
        await place.until(worker, lambda s: s["events_learned"] > 200)
        kill(mortal)
        told = time.monotonic()
    assert time.monotonic() - told < 15.0
    assert "not stopped within 3 s (worker.stop_within_s)" in worker.log.read_text()

    await asyncio.to_thread(mortal.start, port=port, cache_dir=jars_cache)
    async with place.worker() as again:
        await again.wait_until_ready()
        await place.until(again, lambda s: s["lag"] == 0)
    code, found = await verify()
    assert (code, found["clean"], found["complete"], found["events"]) == (0, True, True, 3_000)
