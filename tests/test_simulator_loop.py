"""The loop around the simulation: its pace, its end, and the slates that come back through a real broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.recommendation import (
    ModelVersion,
    Recommendation,
    RecommendedItem,
    encode_recommendation,
)
from connectors.simulator.clock import SimulatedClock
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.loop import LoopProgress, publish, run
from connectors.simulator.simulation import Simulation
from connectors.sinks.memory import MemorySink
from connectors.sources.kafka import KafkaSource
from stream.cli.main import cli
from stream.settings import TopicSettings

SMALL = SimulatorConfig(shoppers=200, items=150)
decode = msgspec.json.Decoder(Event).decode


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def a_shop(duration_s: float) -> tuple[Simulation, SimulatedClock]:
    clock = SimulatedClock.ending_now(wall_ms, scale=600.0, duration_s=duration_s)
    return Simulation(SMALL, clock.start_ms), clock


async def test_events_come_at_the_rate_and_none_from_the_future() -> None:
    simulation, clock = a_shop(1.2)
    sink, progress, ticks = MemorySink(), LoopProgress(), []
    await publish(
        simulation,
        clock,
        sink,
        rate=500.0,
        stop=asyncio.Event(),
        progress=progress,
        duration_s=1.2,
        on_tick=lambda now: ticks.append(now.published),
    )
    assert progress.published == len(sink.events) == simulation.report().events
    assert 300 < progress.published <= 600
    assert 1.2 <= progress.elapsed_s < 1.7
    assert progress.events_per_s == pytest.approx(progress.published / progress.elapsed_s)
    assert ticks == sorted(ticks)
    assert len(ticks) > 20
    assert max(event.occurred_at_ms for event in sink.events) <= wall_ms()
    assert not sink.closed, "the sink is its owner's to close"


async def test_the_loop_ends_when_it_is_told_to() -> None:
    simulation, clock = a_shop(60.0)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop.set)
    progress = LoopProgress()
    async with asyncio.timeout(2):
        await publish(simulation, clock, MemorySink(), rate=100.0, stop=stop, progress=progress)
    assert 0.1 < progress.elapsed_s < 1.0


async def test_a_listener_that_fails_ends_the_loop_with_its_error() -> None:
    async def fail() -> None:
        raise ConnectionError("the slates are gone")

    simulation, clock = a_shop(60.0)
    with pytest.raises(ConnectionError, match="the slates are gone"):
        async with asyncio.timeout(2):
            await publish(
                simulation,
                clock,
                MemorySink(),
                rate=100.0,
                stop=asyncio.Event(),
                progress=LoopProgress(),
                listener=asyncio.create_task(fail()),
            )


@asynccontextmanager
async def a_recommender(client: KafkaClient, topics: TopicSettings) -> AsyncIterator[None]:
    """Recommends to everybody what they last clicked or viewed, and now and then something unreadable."""

    async def recommend(events: KafkaSource, producer: AIOKafkaProducer) -> None:
        async for records in events:
            for record in records:
                event = decode(record.value or b"")
                if event.event_type not in ("click", "view"):
                    continue
                slate = Recommendation(
                    recommendation_id=f"for-{event.event_id}",
                    user_id=event.user_id,
                    generated_at_ms=wall_ms(),
                    trigger_event_id=event.event_id,
                    model=ModelVersion(version="test", step=0),
                    outcome="ok",
                    items=[RecommendedItem(item_id=event.item_id, rank=0, score=1.0, source="test")],
                )
                for value in (encode_recommendation(slate), b"unreadable"):
                    await producer.send(topics.recommendations, value, event.user_id.encode())

    async with KafkaSource(client, topics.events) as events:
        producer = AIOKafkaProducer(**client.options())
        await producer.start()
        task = asyncio.create_task(recommend(events, producer))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await producer.stop()


@pytest.mark.broker
async def test_shoppers_see_the_slates_that_come_back(broker: KafkaClient, topics: TopicSettings) -> None:
    simulation, clock = a_shop(2.0)
    async with a_recommender(broker, topics), KafkaSource(broker, topics.events) as source:
        progress = await run(
            simulation,
            clock,
            broker,
            events_topic=topics.events,
            recommendations_topic=topics.recommendations,
            rate=400.0,
            stop=asyncio.Event(),
            duration_s=2.0,
        )
        events: list[Event] = []
        async with asyncio.timeout(10):
            while len(events) < progress.published:
                events += [decode(record.value or b"") for record in await source.read()]
    assert len({event.event_id for event in events}) == progress.published
    report = simulation.report()
    assert report.recommendations > 0
    assert progress.unreadable > 0
    recommended = [event for event in events if event.recommendation_id]
    assert recommended
    by_id = {event.event_id: event for event in events}
    for event in recommended:
        trigger = by_id[(event.recommendation_id or "").removeprefix("for-")]
        assert (trigger.user_id, trigger.item_id) == (event.user_id, event.item_id)
        assert trigger.occurred_at_ms <= event.occurred_at_ms
    assert report.arms["recommended"].impressions == sum(e.event_type == "impression" for e in recommended)


@pytest.mark.broker
def test_the_command_prints_its_report(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> None:
    config = tmp_path / "freshet.toml"
    config.write_text(f'[topics]\nevents = "{topics.events}"\nrecommendations = "{topics.recommendations}"\n')
    command = [
        "simulate",
        "--rate",
        "300",
        "--duration",
        "1",
        "--shoppers",
        "100",
        "--items",
        "50",
        "--json",
    ]
    result = CliRunner().invoke(cli, ["--bootstrap", broker.bootstrap, "--config", str(config), *command])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["events_published"] == report["events"] > 0
    assert sum(report["shoppers_per_arm"].values()) == 100
    assert report["click_rate"]["recommended"] is None
    assert "is `freshet worker` running?" in result.stderr


@pytest.mark.parametrize(
    "wrong", [["--rate", "0"], ["--cold-users", "2"], ["--popularity-share", "0.7", "--random-share", "0.7"]]
)
def test_an_impossible_simulation_is_wrong_usage(wrong: list[str]) -> None:
    assert CliRunner().invoke(cli, ["simulate", *wrong]).exit_code == 2
