"""A real worker process on a real broker: events in, slates out, garbage aside, and nothing lost when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.faults.events import GARBAGE, log, records
from benchmarks.faults.place import Place, everything, publish
from connectors.dead_letter import DeadLetter, decode_dead_letter
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.recommendation import Recommendation, decode_recommendation
from connectors.sources.kafka import KafkaSource
from connectors.topics import create_topics, delete_topics
from stream.settings import TopicSettings
from stream.status import user_state
from stream.topic_specs import topic_specs


def known_to_commands(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same, with its settings in this process's environment too."""
    for name, value in (place.environment | {"FRESHET_STATE_DIR": str(place.settings.state_dir)}).items():
        monkeypatch.setenv(name, value)
    return place


@pytest.fixture
def place(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> Place:
    return Place(broker, topics, tmp_path / "state")


def assert_state_equals(place: Place, events: Sequence[Event]) -> None:
    by_user: dict[str, list[tuple[str, str, int]]] = defaultdict(list)
    for event in events:
        by_user[event.user_id].append((event.item_id, event.event_type, event.occurred_at_ms))
    for user_id, expected in by_user.items():
        state = user_state(place.settings, user_id)
        assert state is not None
        history = [(e["item_id"], e["event_type"], e["occurred_at_ms"]) for e in state["history"]]
        assert state["events"] == len(expected)
        assert history == expected[-place.settings.state.history_length :]


async def test_events_become_slates_and_garbage_becomes_dead_letters(place: Place) -> None:
    events = log(400)
    mixed = records(events[:200]) + [(None, value) for value in GARBAGE] * 3 + records(events[200:])
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, mixed)
        status = await place.until(worker, lambda s: s["lag"] == 0 and s["checkpoint_age_s"] is not None)
        assert status["events_learned"] == 400
        assert status["dead_letters"] == 3 * len(GARBAGE)
        assert (status["users"], status["items"]) == (20, 30)
        assert await worker.ask("/healthz") == {"ok": True}
        await asyncio.to_thread(assert_state_equals, place, events)
        live = await asyncio.to_thread(user_state, place.settings, "u1")

    stopped = await place.status()
    assert not stopped["worker"]["running"]
    assert [stopped[name] for name in ("events_learned", "dead_letters", "lag")] == [400, 3 * len(GARBAGE), 0]
    assert [p["committed"] for p in stopped["partitions"]] == [
        p["end"] or None for p in stopped["partitions"]
    ]
    assert user_state(place.settings, "u1") == live

    slates: dict[str, Recommendation] = {}
    for value in await everything(place.client, place.topics.recommendations):
        slate = decode_recommendation(value)
        items = [item.item_id for item in slate.items]
        assert len(set(items)) == len(items)
        assert set(items) <= {event.item_id for event in events}
        assert [item.rank for item in slate.items] == list(range(len(items)))
        slates[slate.user_id] = slate
    assert set(slates) == {event.user_id for event in events}
    last = {event.user_id: event.event_id for event in events}
    assert {user: slate.trigger_event_id for user, slate in slates.items()} == last
    assert live is not None
    assert [place["item_id"] for place in live["slate"]] == [item.item_id for item in slates["u1"].items]

    letters: list[DeadLetter] = [
        decode_dead_letter(value) for value in await everything(place.client, place.topics.dead_letters)
    ]
    assert sorted((letter.original, letter.reason.value) for letter in letters) == sorted(
        list(GARBAGE.items()) * 3
    )
    assert all(
        letter.topic == place.topics.events and letter.detail.endswith((".", "?")) for letter in letters
    )


async def test_a_worker_that_is_stopped_and_killed_in_the_middle_loses_and_repeats_nothing(
    place: Place,
) -> None:
    events = log(3_000)
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(events))
        await place.until(worker, lambda s: s["events_learned"] > 0)
    first = await place.status()
    assert 0 < first["events_learned"] <= 3_000

    async with place.worker() as worker:  # goes on; killed once it has got on
        await worker.wait_until_ready()
        status = await place.until(
            worker, lambda s: s["events_learned"] > first["events_learned"] or s["lag"] == 0
        )
        os.kill(status["worker"]["pid"], signal.SIGABRT)  # as glibc does where memory was overwritten
    assert "Fatal Python error: Aborted" in worker.log.read_text()

    async with place.worker() as worker:
        await worker.wait_until_ready()
        await place.until(worker, lambda s: s["lag"] == 0)
    final = await place.status()
    assert final["events_learned"] == 3_000
    assert_state_equals(place, events)


async def test_a_lone_event_is_answered_before_a_second_has_passed(place: Place) -> None:
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(log(50)))
        await place.until(worker, lambda s: s["lag"] == 0)
        async with KafkaSource(place.client, place.topics.recommendations) as slates:
            [lone] = log(1, start=50)
            await publish(place.client, place.topics.events, records([lone]))
            async with asyncio.timeout(1.0):
                answers = await slates.read(timeout_s=1.0)
        [slate] = [decode_recommendation(answer.value or b"") for answer in answers]
        assert slate.trigger_event_id == lone.event_id


async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(place: Place) -> None:
    async with place.worker() as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(log(60)))
        await place.until(worker, lambda s: s["lag"] == 0)
    delete_topics(place.client, [place.topics.events])
    create_topics(place.client, topic_specs(place.settings))
    await publish(place.client, place.topics.events, records(log(20, start=60)))
    assert (await place.status())["lag"] == 20
    async with place.worker() as worker:
        await worker.wait_until_ready()
        status = await place.until(worker, lambda s: s["lag"] == 0)
    assert status["events_learned"] == 80
    assert_state_equals(place, log(80))
