"""Whatever is sent: an event or a dead letter with a reason, an answer and never an error of the server."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, Record, decoder, wire
from fakes import TASKS, Diary, MemoryPublisher, processor
from hostile import path, record
from hypothesis import example, given
from hypothesis import strategies as st
from laws import FUZZ, INPUTS, fuzz

from connectors.dead_letter import DeadLetter, Reason, decode_dead_letter, encode_dead_letter
from connectors.event import Event, encode_event
from connectors.event_types import STANDARD_TYPES
from stream.engine import Engine, EngineConfig
from stream.explorer.explorer import Explorer
from stream.explorer.routes import routes
from stream.http_server import HttpServer, Views
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processor
from stream.user_view import user_view

seeds = st.integers(0, 2**63 - 1)


def judged(value: bytes, outcome: list[Event] | DeadLetter) -> None:
    """What a record may become."""
    if isinstance(outcome, DeadLetter):
        assert outcome.reason in set(Reason)
        assert 0 < len(outcome.detail) <= 400
        assert len(encode_dead_letter(outcome)) <= 4 * len(value) // 3 + 1_500
        assert decode_dead_letter(encode_dead_letter(outcome)).original == value
        return
    assert 1 <= len(outcome) <= 500
    for event in outcome:
        assert event.event_type in STANDARD_TYPES
        assert all(0 < len(name) <= 256 for name in (event.user_id, event.item_id))
        assert NOW_MS - 40 * 366 * 86_400_000 < event.occurred_at_ms <= NOW_MS + 86_400_000
        assert event.value is None or abs(event.value) < float("inf")
        assert len(encode_event(event)) <= 20 * 65_536
        event.user_id.encode()


@given(seeds, st.binary(max_size=300))
@example(0, b'{"event_type":"click","user_id":"a","item_id":"b","occurred_at_ms":' + b"9" * 5_000 + b"}")
@example(0, wire(schema_version=10**400))
@fuzz()
def test_any_bytes_are_events_or_a_dead_letter(seed: int, some: bytes) -> None:
    rng, decoding = random.Random(seed), decoder()
    for value in [some, *(record(rng) for _ in range(INPUTS - 1))]:
        judged(value, decoding.decode(Record(value=value), NOW_MS))


@given(seeds)
@fuzz()
def test_whatever_is_decoded_can_be_applied_shown_and_published(seed: int) -> None:
    rng, worked = random.Random(seed), processor(max_users=50, max_items=60)
    some = [Record(value=record(rng), offset=n) for n in range(INPUTS)]
    found = worked.process(some, NOW_MS)
    assert worked.states.applied == {0: INPUTS - 1}
    for slate in found.recommendations:
        msgspec.json.encode(slate)
        slate.user_id.encode()
    for row in worked.states.index.live_rows().tolist():
        user_id = worked.states.index.id(row)
        msgspec.json.encode(user_view(worked.states, worked.pipeline.items, STANDARD_TYPES, user_id))


def test_a_record_of_any_size_leaves_a_dead_letter_that_can_be_published() -> None:
    large = b"x" * (8 << 20)
    outcome = decoder().decode(Record(value=large, key=large), NOW_MS)
    assert isinstance(outcome, DeadLetter)
    assert outcome.reason is Reason.OVERSIZED
    assert len(encode_dead_letter(outcome)) < 2 << 20
    assert large.startswith(outcome.original)
    assert f"only the first {len(outcome.original)} bytes are kept" in outcome.detail


# --- HTTP


class Connection:
    """Asks for paths, byte for byte as given, over connections that are kept where the server keeps them."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def status(self, path: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        status = int((await reader.readline()).split()[1])
        length, keeps = 0, True
        while (line := await reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
            keeps = keeps and not (name == b"connection" and value.strip() == b"close")
        await reader.readexactly(length)
        if not keeps or status == 400:
            await self.close()
        return status

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()
            self._streams = None


def views_of(worked: Processor) -> Views:
    async def status() -> dict[str, Any]:
        return dict(worked.totals_dict())

    async def user(user_id: str) -> dict[str, Any] | None:
        return user_view(worked.states, worked.pipeline.items, STANDARD_TYPES, user_id)

    return Views(
        metrics=lambda: b"freshet_up 1\n",
        content_type="text/plain",
        alive=lambda: (),
        ready=lambda: (),
        status=status,
        user=user,
        weights=status,
    )


async def explorer_of(worked: Processor) -> Explorer:
    engine = Engine(worked, MemoryPublisher(), None, Diary(), EngineConfig(topic="events"))
    watching = WorkerObserver(worker_metrics(TASKS), worked)
    explorer = Explorer(engine, watching.summary, watching.recent_slates, dict)
    await explorer.sample(NOW_MS)
    return explorer


def test_any_path_is_answered_without_an_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """Over seeds as they come, since Hypothesis would start a server for each."""
    caplog.set_level(logging.CRITICAL, "aiohttp.server")  # a line for each bad request

    async def ask(count: int) -> set[int]:
        worked = processor()
        worked.process([Record(value=wire(user_id="ann"))], NOW_MS)
        server = HttpServer(views_of(worked), routes(await explorer_of(worked)))
        connection = Connection(await server.start("127.0.0.1", 0))
        found: set[int] = set()
        for seed in range(count // INPUTS):
            rng = random.Random(seed)
            for _ in range(INPUTS):
                asked = path(rng)
                status = await connection.status(asked)
                assert status < 500, (seed, asked)
                found.add(status)
        for known in (b"/users/ann", b"/explorer/api/user?id=ann", b"/explorer/api/overview"):
            assert await connection.status(known) == 200
        await connection.close()
        await server.stop()
        return found

    assert {200, 400, 404} <= asyncio.run(ask(FUZZ))


def test_hostile_records_are_varied() -> None:
    """The generator reaches every reason that bytes alone can cause, and events too."""
    rng, decoding = random.Random(1), decoder()
    outcomes = [decoding.decode(Record(value=record(rng)), NOW_MS) for _ in range(5_000)]
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, DeadLetter)}
    assert reasons == set(Reason) - {Reason.LEARNER_FAILED}
    assert sum(isinstance(outcome, list) for outcome in outcomes) > 1_000
    assert json.loads(wire())
