"""A real worker whose learner fails on some records: they are refused, the rest is learned, and the state is exact."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_end_to_end import known_to_commands
from test_verify_broker import verify

from benchmarks.alerts.faults import CHOKING
from benchmarks.alerts.stage import patched_by
from benchmarks.faults.events import log, records
from benchmarks.faults.place import Place, everything, publish
from connectors.dead_letter import decode_dead_letter
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from stream.settings import TopicSettings
from stream.worker_process import WorkerProcess


@pytest.fixture
def place(
    broker: KafkaClient, topics: TopicSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    return known_to_commands(Place(broker, topics, tmp_path / "state"), monkeypatch)


def choking_worker(place: Place, folder: Path) -> WorkerProcess:
    """A worker that is patched as its interpreter starts."""
    path = patched_by(CHOKING, folder / "patch")
    return WorkerProcess(place.settings.state_dir, place.environment | {"PYTHONPATH": path})


def with_poison(events: list[Event], places: set[int]) -> list[Event]:
    return [
        Event(
            event_id=event.event_id,
            event_type=event.event_type,
            occurred_at_ms=event.occurred_at_ms,
            user_id=event.user_id,
            item_id=f"poison-{n}" if n in places else event.item_id,
        )
        for n, event in enumerate(events)
    ]


async def test_poisonous_records_are_refused_and_the_rest_is_learned_exactly(
    place: Place, tmp_path: Path
) -> None:
    poison = {7, 300, 301, 999}
    events = with_poison(log(1_000), poison)
    async with choking_worker(place, tmp_path) as worker:
        await worker.wait_until_ready()
        await publish(place.client, place.topics.events, records(events))
        status = await place.until(worker, lambda s: s["lag"] == 0)
        assert (status["events_learned"], status["dead_letters"]) == (996, 4)
        assert status["items"] == 30

    code, found = await verify()
    assert (code, found["clean"], found["complete"], found["events"]) == (0, True, True, 996)
    letters = [
        decode_dead_letter(value) for value in await everything(place.client, place.topics.dead_letters)
    ]
    assert {letter.reason for letter in letters} == {"learner_failed"}
    assert {
        n for n in poison if any(f"poison-{n}".encode() in letter.original for letter in letters)
    } == poison
    assert "ZeroDivisionError: poison" in letters[0].detail
    log_text = worker.log.read_text()
    assert log_text.count("refused: the learner fails on it") == 4
