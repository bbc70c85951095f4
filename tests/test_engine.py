"""Micro-batches, publishing, checkpoints and acknowledgements: in memory, on a real event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, Record, event, numbered, records
from fakes import BrokenStore, CountingLearner, Diary, MemoryPublisher, processor

import stream.engine as engine_module
from stream.checkpoints.store import CheckpointStore
from stream.engine import Engine, EngineConfig, EngineStoppedError
from stream.journal import Journal
from stream.lease import FencedError
from stream.ownership import NOTHING, Assignment, TakenOver
from stream.processor import Processor
from stream.recovery import Recovery, RecoveryError
from stream.statistics import Noticed

SOON_S = 60.0
"""Longer than anything takes; a test that waits so long has failed."""

NEVER_S = 0.15
"""How long a test waits for what must not happen."""


class Acks:
    """Acknowledgements by name, in the order in which they came."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self._changed = asyncio.Event()

    def __call__(self, name: str) -> Callable[[], None]:
        def ack() -> None:
            self.given.append(name)
            self._changed.set()

        return ack

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(SOON_S):
            while len(self.given) < count:
                self._changed.clear()
                await self._changed.wait()

    async def stays_empty(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), NEVER_S)
        assert self.given == []


class Stage:
    """An engine and everything around it."""

    def __init__(self, store: CheckpointStore | None = None, *, hold: bool = False, **config: Any) -> None:
        self.publisher = MemoryPublisher(hold=hold)
        self.diary = Diary()
        self.acks = Acks()
        self.permits: threading.Semaphore | None = None
        """Where a test sets it, each step waits for a permit of its own."""
        patient = {"batch_max_events": 4, "batch_max_age_ms": 60_000.0, "checkpoint_every_s": 60.0}
        self.engine = Engine(
            processor=processor(self._learner()),
            publisher=self.publisher,
            checkpoints=store,
            observer=self.diary,
            config=EngineConfig(topic="events", **{**patient, **config}),
            now_ms=lambda: NOW_MS,
        )
        self.running: asyncio.Task[None] | None = None

    def _learner(self) -> CountingLearner:
        stage = self

        class Waiting(CountingLearner):
            def predict_many(self, batch: Any) -> Any:
                if stage.permits is not None:
                    assert stage.permits.acquire(timeout=SOON_S)
                return super().predict_many(batch)

        return Waiting()

    async def offer(self, *some: Record, name: str = "list") -> None:
        await self.engine.offer(some, self.acks(name))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Stage]:
        """The engine's life; it ends well, or its error comes out."""
        self.running = asyncio.create_task(self.engine.run())
        await asyncio.wait_for(self.engine.started.wait(), SOON_S)
        try:
            yield self
            await self.engine.stop()
            await asyncio.wait_for(self.running, SOON_S)
            await asyncio.wait_for(self.engine.finish(), SOON_S)
        finally:
            self.running.cancel()
            self.engine._thread.shutdown()

    async def fail(self, *records: Record) -> None:
        """Offer, and let the engine's error come out."""
        async with self.run():
            await self.offer(*records)
            assert self.running is not None
            await asyncio.wait_for(asyncio.shield(self.running), SOON_S)


def some(count: int, first: int = 0, partition: int = 0) -> list[Record]:
    """Clicks of one user."""
    return records(
        numbered([event(item=f"i{n}") for n in range(count)], first), first=first, partition=partition
    )


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON_S):
        while not reached():
            await asyncio.sleep(0.005)


async def test_who_only_watches_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with Stage().run() as stage:
        stage.diary.step = lambda *_: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        await stage.offer(*some(4))
        await stage.publisher.wait_for(1)
        await stage.offer(*some(4, first=4))
        await stage.publisher.wait_for(2)
    assert "a step could not be counted" in caplog.text
    assert stage.engine.processor.states.applied == {0: 7}


# --- batches


async def test_a_lone_record_waits_no_longer_than_its_patience() -> None:
    async with Stage(batch_max_age_ms=30.0).run() as stage:
        before = time.monotonic()
        stage.engine._checkpoint_due = before + 3_600.0  # a due checkpoint would not wait either
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        assert 0.02 < time.monotonic() - before < 5.0
        assert stage.diary.steps == [1]


async def test_what_came_during_a_step_waits_for_what_is_read_after_it() -> None:
    async with Stage(batch_max_age_ms=100.0).run() as stage:
        stage.permits = threading.Semaphore(0)
        await stage.offer(*some(1))
        while stage.engine._between_steps.is_set():
            await asyncio.sleep(0.001)
        await stage.offer(*some(1, first=1))
        await asyncio.sleep(0.15)  # its own patience has ended
        stage.permits.release(2)
        await stage.publisher.wait_for(1)
        await stage.offer(*some(1, first=2))
        await stage.publisher.wait_for(2)
        assert stage.diary.steps == [1, 2]


async def test_a_full_batch_waits_for_nobody() -> None:
    async with Stage().run() as stage:
        await stage.offer(*some(10))
        await stage.publisher.wait_for(2)
        assert stage.diary.steps == [4, 4], "the other two wait for company"


async def test_lists_are_put_together_and_cut() -> None:
    async with Stage().run() as stage:
        for n in range(4):
            await stage.offer(*some(3, first=3 * n))
        await stage.publisher.wait_for(3)
        assert stage.diary.steps == [4, 4, 4]
        states = await stage.engine.read(lambda worked: worked.states.applied)
        assert states == {0: 11}


async def test_a_record_that_is_a_list_counts_as_all_its_events() -> None:
    def listed(n: int) -> Record:
        items = ",".join(f'{{"item_id":"i{n}-{m}"}}' for m in range(3))
        value = f'{{"user_id":"u","event_type":"view","occurred_at_ms":{NOW_MS + n},"items":[{items}]}}'
        return Record(value=value.encode(), offset=n)

    async with Stage().run() as stage:
        await stage.offer(*map(listed, range(4)))
        await until(lambda: len(stage.diary.steps) == 2)
        assert stage.diary.steps == [6, 6], "the second list begins where there is room for one event"


async def test_results_are_handed_over_in_order() -> None:
    async with Stage(batch_max_events=1, hold=True).run() as stage:
        await stage.offer(*some(3))
        await stage.publisher.wait_for(3)
        assert [slate.trigger_event_id for slate in stage.publisher.recommendations] == ["e0", "e1", "e2"]
        for delivery in reversed(stage.publisher.held):
            delivery.set_result(None)


async def test_dead_letters_and_findings_are_published_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(batch_max_events=2)
    found: Any = ["drift"]
    monkeypatch.setattr(stage.engine.processor.statistics, "count", lambda *_: Noticed(findings=found))
    async with stage.run():
        await stage.offer(*records([b"{", *numbered([event()])]))
        await stage.publisher.wait_for(1)
        slates, letters, findings = stage.publisher.sent[0]
        assert (len(slates), len(letters), findings) == (1, 1, found)


async def test_what_was_applied_before_is_not_published_again() -> None:
    async with Stage(batch_max_events=1).run() as stage:
        await stage.offer(*some(1))
        await stage.offer(*some(1))
        await stage.offer(*some(1, first=1))
        await stage.publisher.wait_for(2)
        assert len(stage.publisher.sent) == 2


async def test_at_most_a_few_batches_are_under_way() -> None:
    async with Stage(batch_max_events=1, hold=True).run() as stage:
        await stage.offer(*some(4))
        await stage.publisher.wait_for(4)
        await stage.offer(*some(1, first=4))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(NEVER_S):
                await stage.publisher.wait_for(5)
        stage.publisher.held[2].set_result(None)
        await stage.publisher.wait_for(5)
        for delivery in stage.publisher.held:
            if not delivery.done():
                delivery.set_result(None)


async def test_freshness_is_measured_when_the_results_have_arrived() -> None:
    async with Stage(batch_max_events=2, hold=True).run() as stage:
        await stage.offer(*some(2))
        await stage.publisher.wait_for(1)
        assert stage.diary.published_at == []
        stage.publisher.held[0].set_result(None)
        await stage.engine.stop()
    arrived, published = stage.diary.published_at[0]
    assert arrived == [NOW_MS, NOW_MS]
    assert published == pytest.approx(time.time() * 1000.0, abs=60_000.0)


async def test_it_says_how_long_results_have_waited_for_the_broker() -> None:
    async with Stage(batch_max_events=1, hold=True).run() as stage:
        assert stage.engine.undelivered_s == 0.0
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        await asyncio.sleep(0.02)
        assert 0.02 <= stage.engine.undelivered_s < SOON_S
        stage.publisher.held[0].set_result(None)
        async with asyncio.timeout(SOON_S):
            while stage.engine.undelivered_s:
                await asyncio.sleep(0.0)


# --- back-pressure


async def test_offers_wait_while_too_much_is_waiting() -> None:
    stage = Stage(batch_max_events=2)
    stage.permits = threading.Semaphore(0)
    async with stage.run():
        for n in range(5):  # one batch in the step, four waiting
            await stage.offer(*some(2, first=2 * n))
        blocked = asyncio.create_task(stage.offer(*some(2, first=10)))
        done, _ = await asyncio.wait({blocked}, timeout=NEVER_S)
        assert not done
        assert stage.engine._intake.waiting == 8
        stage.permits.release(100)
        await asyncio.wait_for(blocked, SOON_S)
        await stage.publisher.wait_for(6)
    assert stage.engine.processor.totals.events_learned == 12


async def test_a_stop_lets_waiting_offers_go() -> None:
    stage = Stage(batch_max_events=1)
    stage.permits = threading.Semaphore(0)
    async with stage.run():
        for n in range(5):
            await stage.offer(*some(1, first=n))
        blocked = asyncio.create_task(stage.offer(*some(1, first=5), name="late"))
        await asyncio.sleep(0)
        await stage.engine.stop()
        await asyncio.wait_for(blocked, SOON_S)
        stage.permits.release(100)
    assert "late" not in stage.acks.given


# --- acknowledgements


async def test_records_are_acknowledged_by_the_checkpoint_that_holds_them(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    written_when_acked = []
    async with Stage(store, batch_max_events=2, checkpoint_every_s=0.01).run() as stage:
        await stage.engine.offer(
            some(2), lambda: written_when_acked.append(store.latest_manifest()) or stage.acks("list")()
        )
        await stage.acks.wait_for(1)
    assert written_when_acked[0] is not None
    assert written_when_acked[0].applied == {0: 1}
    assert written_when_acked[0].totals["events_learned"] == 2
    assert written_when_acked[0].summary == {"users": 1, "items": 2, "model_step": 1}
    assert stage.engine.last_checkpoint is not None
    assert stage.diary.manifests[-1] == stage.engine.last_checkpoint


async def test_nothing_is_acknowledged_before_its_results_have_arrived(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    async with Stage(store, hold=True, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        await stage.acks.stays_empty()
        stage.publisher.held[0].set_result(None)
        await stage.acks.wait_for(1)


async def test_the_stream_does_not_wait_for_the_broker_at_a_checkpoint(tmp_path: Path) -> None:
    """What is not published yet holds up the writing of a checkpoint, not the steps after it."""
    store = CheckpointStore(tmp_path)
    async with Stage(store, hold=True, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        await asyncio.sleep(0.03)
        await stage.offer(*some(1, first=1))
        await stage.publisher.wait_for(2)
        assert store.latest_manifest() is None
        stage.publisher.held[0].set_result(None)
        await stage.acks.wait_for(1)
        assert stage.diary.manifests[0].applied == {0: 0}
        stage.publisher.held[1].set_result(None)
        await stage.acks.wait_for(2)


async def test_deltas_are_merged_beside_the_stream(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, longest_chain=2)
    async with Stage(store, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        for number in range(8):
            await stage.offer(*some(1, first=number))
            await stage.acks.wait_for(number + 1)
    assert [manifest.kind for manifest in stage.diary.manifests] == ["full", *["delta"] * 7]
    assert {manifest.kind for manifest in stage.diary.merges} == {"full"}
    latest = CheckpointStore(tmp_path).latest()
    assert latest is not None
    assert len(latest.deltas) < 7
    again = processor()
    again.load(latest.pieces, latest.manifest.totals)
    assert again.totals.events_learned == 8


async def test_what_is_much_is_copied_in_portions_with_steps_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "PORTION_BYTES", 300.0)
    store = CheckpointStore(tmp_path)
    async with Stage(store, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        takes: list[bool] = []
        of = stage.engine.processor
        real = type(of).snapshot

        def snapshot(self: Any, **asked: Any) -> Any:
            found = real(self, **asked)
            takes.append(found is not None)
            return found

        monkeypatch.setattr(type(of), "snapshot", snapshot)
        for number in range(6):
            await stage.offer(*some(1, first=number))
        await stage.acks.wait_for(6)
    assert takes.count(False) > takes.count(True) > 0
    latest = CheckpointStore(tmp_path).latest()
    assert latest is not None
    again = processor()
    again.load(latest.pieces, latest.manifest.totals)
    assert again.totals.events_learned == 6
    assert again.states.user("ann") == of.states.user("ann")


async def test_what_a_failed_checkpoint_held_is_in_the_next_one(tmp_path: Path) -> None:
    store = BrokenStore(tmp_path / "checkpoints")
    store.broken = False
    async with Stage(store, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1))
        await stage.acks.wait_for(1)
        store.broken = True
        await stage.offer(*records([event("bob", "cup")], first=1))
        await stage.publisher.wait_for(2)
        while not stage.diary.failures:
            await asyncio.sleep(0.001)
        await stage.offer(*records([event("cat", "pot")], first=2))
        await stage.publisher.wait_for(3)
        store.broken = False
        await stage.acks.wait_for(3)
    latest = CheckpointStore(tmp_path / "checkpoints").latest()
    assert latest is not None
    assert latest.manifest.kind == "delta"
    again = processor()
    again.load(latest.pieces, latest.manifest.totals)
    users = [again.states.user(name) for name in ("ann", "bob", "cat")]
    assert [user.events for user in users if user is not None] == [1, 1, 1]


async def test_a_list_is_acknowledged_when_all_of_it_is_used(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), checkpoint_every_s=0.001)
    stage.permits = threading.Semaphore(0)
    async with stage.run():
        await stage.offer(*some(6))
        await asyncio.sleep(0.02)  # a step that lasts longer than checkpoints are apart
        stage.permits.release()
        await stage.publisher.wait_for(1)
        await stage.acks.stays_empty()
        assert stage.diary.manifests[0].applied == {0: 3}, "four of six are on disk"
        stage.permits.release()
        await stage.acks.wait_for(1)
        stage.permits.release(100)


async def test_an_empty_list_is_acknowledged_too(tmp_path: Path) -> None:
    async with Stage(CheckpointStore(tmp_path), batch_max_age_ms=1.0, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(name="empty")
        await stage.acks.wait_for(1)


async def test_without_checkpoints_records_are_acknowledged_after_publishing() -> None:
    async with Stage(hold=True, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        await stage.acks.stays_empty()
        stage.publisher.held[0].set_result(None)
        await stage.acks.wait_for(1)


async def test_the_first_checkpoint_comes_soon(tmp_path: Path) -> None:
    """A worker that keeps being killed must get on, however far apart its checkpoints are."""
    async with Stage(
        CheckpointStore(tmp_path), batch_max_events=1, checkpoint_every_s=3_600.0
    ).run() as stage:
        await stage.offer(*some(1))
        await stage.acks.wait_for(1)


async def test_no_checkpoint_is_written_when_nothing_has_happened(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    async with Stage(store, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1))
        await stage.acks.wait_for(1)
        written = store.numbers()
        await asyncio.sleep(NEVER_S)
        assert store.numbers() == written


async def test_a_stop_finishes_the_step_at_hand_and_writes_a_last_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    async with Stage(store).run() as stage:
        await stage.offer(*some(3), name="taken")
        await stage.offer(*some(9, first=3), name="cut")
        await stage.publisher.wait_for(3)
    assert stage.acks.given == ["taken", "cut"]
    assert store.latest_manifest().applied == {0: 11}  # type: ignore[union-attr]


async def test_what_still_waits_at_a_stop_is_not_acknowledged(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), batch_max_events=1)
    stage.permits = threading.Semaphore(1)
    async with stage.run():
        for n in range(4):
            await stage.offer(*some(1, first=n), name=f"list {n}")
        await stage.publisher.wait_for(1)
        await stage.engine.stop()
        stage.permits.release(100)
    applied = stage.engine.last_checkpoint.applied[0]  # type: ignore[union-attr]
    assert applied < 2, "at most the step at hand was finished"
    assert stage.acks.given == [f"list {n}" for n in range(applied + 1)]


# --- failures


async def test_a_refused_hand_over_stops_the_engine_and_acknowledges_nothing(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), batch_max_events=1, checkpoint_every_s=0.01)
    stage.publisher.error = ConnectionError("the broker is gone")
    with pytest.raises(ConnectionError, match="the broker is gone"):
        await stage.fail(*some(1))
    assert stage.acks.given == []


async def test_a_failed_delivery_stops_the_engine_and_acknowledges_nothing(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    stage = Stage(store, batch_max_events=1, checkpoint_every_s=0.01)
    stage.publisher.delivery_error = ConnectionError("not acknowledged")
    with pytest.raises(ConnectionError, match="not acknowledged"):
        await stage.fail(*some(1))
    assert stage.acks.given == []
    assert store.numbers() == []


async def test_no_checkpoint_holds_what_was_not_delivered_whoever_noticed_it_first(tmp_path: Path) -> None:
    """The handover of partitions notices, and the engine goes on for a moment until all of it is stopped."""
    store = CheckpointStore(tmp_path)
    stage = Stage(store, hold=True, batch_max_events=1)

    async def go_on() -> None:
        async with stage.run():
            await stage.offer(*some(1))
            await stage.publisher.wait_for(1)
            stage.publisher.held[0].set_exception(ConnectionError("not acknowledged"))
            with pytest.raises(ConnectionError, match="not acknowledged"):
                await stage.engine.settle(SOON_S)
            stage.publisher.hold = False
            await stage.offer(*some(1, first=1))

    with pytest.raises(ConnectionError, match="not acknowledged"):
        await go_on()
    assert stage.acks.given == []
    assert store.numbers() == []


async def test_no_checkpoint_holds_what_turned_out_not_to_be_delivered_while_it_was_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = CheckpointStore(tmp_path)
    stage = Stage(store, hold=True, batch_max_events=1, checkpoint_every_s=0.01)
    real = Engine._copy

    async def copy(engine: Engine, store: CheckpointStore) -> Any:
        moment = await real(engine, store)
        if moment is not None:
            stage.publisher.held[0].set_exception(ConnectionError("not acknowledged"))
            with pytest.raises(ConnectionError, match="not acknowledged"):
                await engine.settle(SOON_S)
        return moment

    monkeypatch.setattr(Engine, "_copy", copy)
    with pytest.raises(ConnectionError, match="not acknowledged"):
        await stage.fail(*some(1))
    assert stage.acks.given == []
    assert store.numbers() == []


async def test_a_failed_step_stops_the_engine_and_acknowledges_nothing(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), batch_max_events=1, checkpoint_every_s=0.01)

    def broken(*_: Any) -> Any:
        raise FloatingPointError("not a number")

    stage.engine.processor.pipeline.learner.predict_many = broken  # type: ignore[method-assign]
    with pytest.raises(FloatingPointError, match="not a number"):
        await stage.fail(*some(1))
    assert stage.acks.given == []


class Choking(CountingLearner):
    """Fails on an event at the thirteenth place, when it has learned from it already."""

    def learn_many(self, batch: Any, predictions: Any) -> Any:
        made = super().learn_many(batch, predictions)
        if (batch.position == POISON).any():
            raise FloatingPointError("not a number")
        return made


POISON = 13


def some_with_poison(count: int, poison: int) -> list[Record]:
    """Clicks of one user, one of them at the place that cannot be learned."""
    clicks = [event(item=f"i{n}", position=POISON if n == poison else None) for n in range(count)]
    return records(numbered(clicks))


def recoverable(stage: Stage, store: CheckpointStore) -> None:
    def rebuild() -> Processor:
        made = processor(Choking())
        found = store.latest()
        if found is not None:
            made.load(found.pieces, found.manifest.totals)
        return made

    stage.engine.processor = processor(Choking())
    stage.engine.recovery = Recovery(rebuild)


@pytest.mark.parametrize("checkpoint_every_s", [0.001, 60.0])
async def test_a_record_that_the_learner_fails_on_is_a_dead_letter_and_the_rest_is_learned(
    tmp_path: Path, checkpoint_every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("stream.recovery"), "disabled", True)
    store = CheckpointStore(tmp_path)
    stage = Stage(store, batch_max_events=2, checkpoint_every_s=checkpoint_every_s)
    recoverable(stage, store)
    async with stage.run():
        await stage.offer(*some_with_poison(6, 2))
        await stage.publisher.wait_for(4)
        await stage.acks.wait_for(1 if checkpoint_every_s < 1.0 else 0)
    assert stage.acks.given == ["list"]
    assert [letter.offset for _, letters, _ in stage.publisher.sent for letter in letters] == [2]
    assert [slate.trigger_event_id for slate in stage.publisher.recommendations] == ["e1", "e3", "e5"]
    assert (stage.diary.failed_steps, stage.diary.steps) == (1, [2, 0, 1, 2])
    found = store.latest()
    assert found is not None
    assert (found.manifest.applied, found.manifest.totals["events_learned"]) == ({0: 5}, 5)
    assert stage.engine.recovery is not None
    assert stage.engine.recovery.journal.steps == []


async def test_when_nothing_helps_the_engine_stops_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("stream.recovery"), "disabled", True)
    store = CheckpointStore(tmp_path)
    stage = Stage(store, batch_max_events=3, checkpoint_every_s=60.0)
    recoverable(stage, store)
    assert stage.engine.recovery is not None
    stage.engine.recovery.refused_per_hour = 1
    stage.engine.recovery.rebuild = lambda: processor(Broken())

    class Broken(CountingLearner):
        def predict_many(self, batch: Any) -> Any:
            raise FloatingPointError("everywhere")

    with pytest.raises(RecoveryError, match="more than 1 records within an hour"):
        await stage.fail(*some_with_poison(3, 0))
    assert stage.acks.given == []
    assert stage.publisher.sent == []


async def test_a_full_journal_asks_for_a_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    stage = Stage(store, batch_max_events=1, checkpoint_every_s=3_600.0)
    recoverable(stage, store)
    assert stage.engine.recovery is not None
    stage.engine.recovery.journal = Journal(max_bytes=4_000)
    async with stage.run():
        await stage.offer(*some(1), name="first")
        await stage.acks.wait_for(1)  # that one comes soon in any case
        for n in (1, 3, 4, 5, 6, 7):
            await stage.offer(*some(1, first=n), name=f"list {n}")
        await stage.acks.wait_for(3)


async def test_learning_goes_on_while_checkpoints_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = BrokenStore(tmp_path / "checkpoints")
    async with Stage(store, batch_max_events=1, checkpoint_every_s=0.01).run() as stage:
        await stage.offer(*some(1), name="first")
        await stage.publisher.wait_for(1)
        await stage.offer(*some(1, first=1), name="second")
        await stage.publisher.wait_for(2)
        await until(lambda: store.attempts >= 2 and stage.diary.failures >= 2)
        assert stage.acks.given == []
        assert stage.diary.manifests == []
        store.broken = False
        await stage.acks.wait_for(2)
    assert stage.acks.given == ["first", "second"]
    assert store.latest_manifest().applied == {0: 1}  # type: ignore[union-attr]
    assert "could not be written" in caplog.text


async def test_a_stop_without_a_checkpoint_acknowledges_nothing(tmp_path: Path) -> None:
    caught = logging.getLogger("stream.engine")
    caught.disabled = True
    try:
        async with Stage(BrokenStore(tmp_path), batch_max_events=1).run() as stage:
            await stage.offer(*some(1))
            await stage.publisher.wait_for(1)
    finally:
        caught.disabled = False
    assert stage.acks.given == []
    assert stage.diary.failures == 1


async def test_a_checkpoint_that_fails_in_another_way_stops_the_engine(tmp_path: Path) -> None:
    """An error that nobody foresaw must not leave records unacknowledged for ever and in silence."""

    class Mad(CheckpointStore):
        def write(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("mad")

    stage = Stage(Mad(tmp_path), batch_max_events=1, checkpoint_every_s=0.01)
    with pytest.raises(RuntimeError, match="mad"):
        await stage.fail(*some(1))
    assert stage.acks.given == []


# --- clocks


async def test_a_clock_that_jumps_changes_stamps_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches, checkpoints and health go by a clock that cannot jump."""
    year_ms = 366 * 86_400_000
    jumps = iter([0, -3_600_000, 20 * year_ms, -year_ms // 400, 0, 7, 30 * year_ms, 0] * 20)
    monkeypatch.setattr(time, "time", lambda: (NOW_MS + next(jumps)) / 1000.0)
    store = CheckpointStore(tmp_path)
    stage = Stage(store, batch_max_events=1, checkpoint_every_s=0.01)
    stage.engine.now_ms = lambda: NOW_MS + next(jumps)
    async with stage.run():
        for n in range(8):
            await stage.offer(*some(1, first=n), name=f"list {n}")
            await stage.publisher.wait_for(n + 1)
            await stage.acks.wait_for(n + 1)
            assert stage.engine.undelivered_s < SOON_S
            assert time.monotonic() - stage.engine.progressed_at < SOON_S
    assert stage.acks.given == [f"list {n}" for n in range(8)]
    assert stage.engine.processor.totals.events_learned == 8
    assert store.latest_manifest().applied == {0: 7}  # type: ignore[union-attr]
    stamps = [slate.generated_at_ms for slate in stage.publisher.recommendations]
    assert len(stamps) == 8
    assert sorted(stamps) != stamps, "stamps are the clock's"
    assert all(published >= 0.0 for _, published in stage.diary.published_at)


# --- looking


async def test_a_look_sees_whole_steps_only() -> None:
    async with Stage(batch_max_events=2).run() as stage:
        await stage.offer(*some(8))
        seen = [
            await stage.engine.read(
                lambda worked: (worked.totals.events_learned, worked.states.applied[0] + 1)
            )
            for _ in range(20)
            if stage.diary.steps or await stage.publisher.wait_for(1) is None
        ]
    assert all(learned == applied and learned % 2 == 0 for learned, applied in seen)


async def test_it_is_busy_until_everything_has_arrived() -> None:
    async with Stage(batch_max_events=1, hold=True).run() as stage:
        assert not stage.engine.busy
        await stage.offer(*some(1))
        assert stage.engine.busy
        await stage.publisher.wait_for(1)
        assert stage.engine.busy
        stage.publisher.held[0].set_result(None)
        await until(lambda: not stage.engine.undelivered_s)
        assert not stage.engine.busy, "with nothing to come, nobody looks after what has arrived"


async def test_it_is_busy_and_not_settled_while_a_step_is_under_way() -> None:
    async with Stage(batch_max_events=1).run() as stage:
        stage.permits = threading.Semaphore(0)
        await stage.offer(*some(1))
        await until(lambda: not stage.engine._intake.waiting)
        progressed_at = stage.engine.progressed_at
        assert stage.engine.busy, "all of it is taken, and none of it is answered"
        assert not await stage.engine.settle(NEVER_S)
        await stage.offer(*some(1, first=1))
        assert stage.engine.progressed_at == progressed_at, "it was not idle"
        stage.permits.release(2)
        assert await stage.engine.settle(SOON_S)
        assert stage.diary.steps == [1, 1]


async def test_who_reads_waits_for_the_end_of_a_step_and_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment_s = engine_module._LULL_S
    async with Stage(batch_max_events=1).run() as stage:
        stage.permits = threading.Semaphore(0)
        before = time.monotonic()
        await stage.engine.lull()
        assert time.monotonic() - before < moment_s, "nothing is under way"
        await stage.offer(*some(1))
        while stage.engine._between_steps.is_set():
            await asyncio.sleep(0.001)
        before = time.monotonic()
        await stage.engine.lull()
        assert time.monotonic() - before >= 0.9 * moment_s, "a long step holds nobody up for long"
        monkeypatch.setattr(engine_module, "_LULL_S", SOON_S)
        reader = asyncio.create_task(stage.engine.lull())
        await asyncio.sleep(0)
        assert not reader.done()
        stage.permits.release()
        await asyncio.wait_for(reader, SOON_S / 2)


async def test_a_step_begins_when_what_came_during_the_last_one_is_polled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of it is there already, and would go on its own while the other half waits for another step."""
    monkeypatch.setattr(engine_module, "_POLL_SHARE", 1e6)
    monkeypatch.setattr(engine_module, "_POLL_MOST_S", SOON_S)
    async with Stage(batch_max_events=4, batch_max_age_ms=1.0).run() as stage:
        stage.permits = threading.Semaphore(0)
        await stage.offer(*some(4))
        await until(lambda: not stage.engine._between_steps.is_set())
        await stage.offer(*some(1, first=4))  # by a poll beside the step
        stage.permits.release(2)
        await stage.engine._between_steps.wait()
        await asyncio.sleep(0.02)
        await stage.offer(*some(2, first=5))  # by the poll after it
        await stage.engine.before_poll()
        await stage.publisher.wait_for(2)
        assert stage.diary.steps == [4, 3]


async def test_a_step_does_not_wait_for_ever_for_a_poll_that_brings_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine_module, "_POLL_SHARE", 1e6)
    async with Stage(batch_max_events=4, batch_max_age_ms=1.0).run() as stage:
        stage.permits = threading.Semaphore(0)
        await stage.offer(*some(4))
        await until(lambda: not stage.engine._between_steps.is_set())
        await stage.offer(*some(1, first=4))
        stage.permits.release(2)
        await stage.engine._between_steps.wait()
        stepped_at = time.monotonic()
        await stage.publisher.wait_for(2)
        assert time.monotonic() - stepped_at + 0.001 >= engine_module._POLL_MOST_S
        assert stage.diary.steps == [4, 1]


async def test_a_restarted_engine_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    async with Stage(store, batch_max_events=2).run() as stage:
        await stage.offer(*some(4))
        await stage.publisher.wait_for(2)
    restarted = Stage(store, batch_max_events=2)
    found = store.latest()
    assert found is not None
    restarted.engine.processor.load(found.pieces, found.manifest.totals)
    async with restarted.run():
        await restarted.offer(*some(6))
        await restarted.publisher.wait_for(1)
    assert [slate.trigger_event_id for slate in restarted.publisher.recommendations] == ["e5"]
    assert restarted.engine.processor.totals.events_learned == 6
    assert restarted.engine.processor.totals.records_skipped == 4


# --- after a step that raised


class Shy(CountingLearner):
    """Fails on every batch of more than one event."""

    def predict_many(self, batch: Any) -> Any:
        if len(batch) > 1:
            raise ZeroDivisionError
        return super().predict_many(batch)


def recovering(stage: Stage, max_bytes: int = 1 << 20) -> Stage:
    stage.engine.processor = processor(Shy())
    stage.engine.recovery = Recovery(rebuild=lambda: processor(Shy()), journal=Journal(max_bytes))
    return stage


async def test_each_arrival_counts_once_though_the_records_were_applied_one_by_one() -> None:
    async with recovering(Stage()).run() as stage:
        await stage.offer(*some(4))
        await stage.publisher.wait_for(4)
    assert sum(len(arrived) for arrived, _ in stage.diary.published_at) == 4
    assert stage.diary.failed_steps == 1


async def test_who_looks_while_the_state_is_made_anew_sees_the_new_one() -> None:
    async with recovering(Stage()).run() as stage:
        torn = stage.engine.processor
        await stage.offer(*some(4))
        seen = await stage.engine.read(lambda one: one)
        await stage.publisher.wait_for(4)
        assert stage.engine.processor is not torn
        assert await stage.engine.read(lambda one: one) is stage.engine.processor
        assert seen in (torn, stage.engine.processor)


async def test_a_disk_that_refuses_is_not_asked_after_every_step(tmp_path: Path) -> None:
    store = BrokenStore(tmp_path)
    async with recovering(
        Stage(store, batch_max_events=1, checkpoint_every_s=60.0), max_bytes=3_000
    ).run() as stage:
        for n in range(30):
            await stage.offer(*some(1, first=n))
        await stage.publisher.wait_for(30)
        assert 1 <= store.attempts <= 3, "the first, the crowded journal's, and no more"


# --- several workers


def lapsed() -> None:
    raise FencedError("it stood still")


async def test_who_may_not_speak_any_more_publishes_saves_and_acknowledges_nothing(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path))

    async def speak() -> None:
        async with stage.run():
            await stage.offer(*some(4))
            await stage.publisher.wait_for(1)
            stage.engine.require_lease = lapsed
            await stage.offer(*some(4, first=4))
            assert stage.running is not None
            await asyncio.wait_for(asyncio.shield(stage.running), SOON_S)

    with pytest.raises(FencedError):
        await speak()
    assert len(stage.publisher.sent) == 1
    with pytest.raises(FencedError):
        await stage.engine._begin_checkpoint()
    assert stage.acks.given == []
    assert CheckpointStore(tmp_path).latest() is None


async def test_a_checkpoint_that_waits_for_the_broker_is_not_written_by_who_may_not_speak_any_more(
    tmp_path: Path,
) -> None:
    stage = Stage(CheckpointStore(tmp_path), hold=True)

    async def save() -> None:
        async with stage.run():
            await stage.offer(*some(4))
            await stage.publisher.wait_for(1)
            await stage.engine._begin_checkpoint()
            stage.engine.require_lease = lapsed
            stage.publisher.held[0].set_result(None)
            assert stage.engine._writing is not None
            await asyncio.wait_for(stage.engine._writing, SOON_S)

    with pytest.raises(FencedError):
        await save()
    assert stage.acks.given == []
    assert CheckpointStore(tmp_path).latest() is None


async def test_settling_waits_for_what_is_at_hand_and_not_for_ever() -> None:
    async with Stage(hold=True, batch_max_age_ms=1.0).run() as stage:
        assert await stage.engine.settle(SOON_S)
        await stage.offer(*some(1))
        await stage.publisher.wait_for(1)
        assert not await stage.engine.settle(NEVER_S)
        settling = asyncio.create_task(stage.engine.settle(SOON_S))
        await asyncio.sleep(0)
        stage.publisher.held[0].set_result(None)
        assert await settling


async def test_settling_does_not_wait_for_what_others_send_meanwhile() -> None:
    async with Stage(batch_max_events=1).run() as stage:
        stage.engine.assignment = Assignment(frozenset({0}))
        stage.permits = threading.Semaphore(0)
        await stage.offer(*some(1))
        settling = asyncio.create_task(stage.engine.settle(SOON_S))
        await asyncio.sleep(0)
        await stage.engine.follow(some(1, partition=1))
        await stage.engine.follow(some(1, first=1, partition=1))
        stage.permits.release(1)
        assert await settling
        assert stage.engine.busy
        stage.permits.release(2)


async def test_settling_waits_for_a_step_that_no_record_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers what is due, and its slates must be out before the partition is another's."""
    monkeypatch.setattr("stream.processor.ANSWERED_A_STEP", 1)
    async with Stage(batch_max_events=2).run() as stage:
        learner, held, gate = stage.engine.processor.pipeline.learner, threading.Event(), threading.Event()
        recommend, made = learner.recommend, []

        def waiting(*given: Any) -> Any:
            if made:
                held.set()
                assert gate.wait(SOON_S)
            made.append(recommend(*given))
            return made[-1]

        monkeypatch.setattr(learner, "recommend", waiting)
        stage.engine.assignment = Assignment(frozenset({0}), {0: TakenOver(0, 2)})
        await stage.offer(*records(numbered([event(user=f"u{n}") for n in range(2)])))
        await until(held.is_set)
        assert not await stage.engine.settle(NEVER_S)
        gate.set()
        assert await stage.engine.settle(SOON_S)
        assert len(stage.publisher.recommendations) == 2


async def test_a_step_is_made_with_the_assignment_of_its_beginning() -> None:
    async with Stage().run() as stage:
        stage.engine.assignment = Assignment(frozenset({0}))
        await stage.offer(*some(4))
        await stage.publisher.wait_for(1)
        await stage.engine.follow(some(4, partition=1))
        await stage.offer(*some(4, first=4))
        await stage.publisher.wait_for(2)
        totals = await stage.engine.read(lambda worked: worked.totals_dict())
    assert (totals["events_learned"], totals["events_followed"], totals["recommendations"]) == (12, 4, 2)


async def test_what_is_due_is_answered_without_waiting_for_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.processor.ANSWERED_A_STEP", 1)
    async with Stage().run() as stage:
        users = records(numbered([event(user=f"u{n}") for n in range(4)]))
        stage.engine.assignment = Assignment(frozenset({0}), {0: TakenOver(0, 4)})
        await stage.offer(*users)
        await stage.publisher.wait_for(4)
    assert sorted(slate.user_id for slate in stage.publisher.recommendations) == ["u0", "u1", "u2", "u3"]


async def test_what_is_owed_is_not_acknowledged(tmp_path: Path) -> None:
    """Else nobody would answer it if this worker died now."""
    stage = Stage(CheckpointStore(tmp_path), checkpoint_every_s=0.02)
    async with stage.run():
        stage.engine.assignment = Assignment(frozenset({0}), {0: TakenOver(0, 6)})
        await stage.offer(*some(4), name="first")
        async with asyncio.timeout(SOON_S):
            while not stage.diary.manifests:
                await asyncio.sleep(0.01)
        assert stage.diary.manifests[0].applied == {0: 3}
        await stage.acks.stays_empty()
        assert stage.publisher.recommendations == []
        await stage.offer(*some(4, first=4), name="second")
        await stage.acks.wait_for(2)
    assert stage.acks.given == ["first", "second"]
    assert [slate.trigger_event_id for slate in stage.publisher.recommendations] == ["e7"]


async def test_what_was_owed_when_the_partition_was_given_up_is_never_acknowledged(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), checkpoint_every_s=0.02)
    async with stage.run():
        stage.engine.assignment = Assignment(frozenset({0}), {0: TakenOver(0, 6)})
        await stage.offer(*some(4), name="owed")
        assert await stage.engine.settle(SOON_S)
        assert stage.engine.owing
        stage.engine.leave_unacknowledged()
        stage.engine.assignment = NOTHING
        await stage.offer(*some(1, first=4), name="another's by now")
        assert await stage.engine.settle(SOON_S)
        stage.engine.assign(Assignment(frozenset({0})))
        await stage.offer(*some(1, first=5), name="this worker's again")
        await stage.acks.wait_for(1)
    assert stage.acks.given == ["this worker's again"]


async def test_what_waits_for_room_is_settled_too_and_else_not_acknowledged(tmp_path: Path) -> None:
    """The list that a backlog's reader has in hand is no less this worker's than those that were let in."""
    stage = Stage(CheckpointStore(tmp_path), batch_max_events=1, checkpoint_every_s=0.02)
    stage.permits = threading.Semaphore(0)
    async with stage.run():
        for n in range(5):  # one is stepped, and there is room for four
            await stage.offer(*some(1, first=n), name=f"waiting {n}")
            await asyncio.sleep(0.02)
        outside = asyncio.create_task(stage.offer(*some(2, first=5), name="outside"))
        await asyncio.sleep(0.02)
        assert not outside.done()
        settling = asyncio.create_task(stage.engine.settle(SOON_S))
        stage.permits.release(6)
        await outside
        await asyncio.sleep(0.05)
        assert not settling.done()
        stage.permits.release(1)
        assert await settling
        for n in range(5):
            await stage.offer(*some(1, first=7 + n))
            await asyncio.sleep(0.02)
        outside = asyncio.create_task(stage.offer(*some(1, first=12), name="left outside"))
        await asyncio.sleep(0.02)
        stage.engine.leave_unacknowledged()
        stage.permits.release(100)
        await outside
        await stage.offer(*some(1, first=13), name="later")
        await stage.acks.wait_for(7)
    assert [name for name in stage.acks.given if name in ("outside", "left outside", "later")] == [
        "outside",
        "later",
    ]


async def test_what_was_followed_beyond_the_end_that_was_asked_for_is_answered() -> None:
    """It was read as another worker's after this one had asked where the partition ends."""
    users = records(numbered([event(user=f"u{n}") for n in range(13)]))
    async with Stage().run() as stage:
        stage.engine.assignment = NOTHING
        await stage.engine.follow(users[:10])
        assert await stage.engine.settle(SOON_S)
        stage.engine.assign(Assignment(frozenset({0}), {0: TakenOver(5, 8)}))
        await stage.offer(*users[5:])
        await until(lambda: len(stage.publisher.recommendations) == 8)
    assert sorted(slate.user_id for slate in stage.publisher.recommendations) == sorted(
        f"u{n}" for n in range(5, 13)
    )


async def test_what_waits_and_was_followed_is_left_to_who_reads_it_as_its_owner() -> None:
    """Stepped before what this worker reads again, it would count as answered up to there."""
    users = records(numbered([event(user=f"u{n}") for n in range(12)]))
    stage = Stage(batch_max_events=2)
    async with stage.run():
        stage.engine.assignment = NOTHING
        await stage.engine.follow(users[:6])
        assert await stage.engine.settle(SOON_S)
        stage.permits = threading.Semaphore(0)
        await stage.engine.follow(users[6:8])
        async with asyncio.timeout(SOON_S):
            while not stage.engine._stepping:
                await asyncio.sleep(0.001)
        await stage.engine.follow(users[8:10])
        stage.engine.assign(Assignment(frozenset({0}), {0: TakenOver(4, 10)}))
        await stage.engine.follow(users[10:])
        stage.permits.release(100)
        assert await stage.engine.settle(SOON_S)
        assert stage.publisher.recommendations == []
        answers = await stage.engine.read(lambda worked: dict(worked.answers.reached))
        assert answers.get(0, -1) < 4
        await stage.offer(*users[4:])
        await until(lambda: len(stage.publisher.recommendations) == 8)
    assert sorted(slate.user_id for slate in stage.publisher.recommendations) == sorted(
        f"u{n}" for n in range(4, 12)
    )


async def test_what_waits_or_is_stepped_when_nothing_is_to_be_acknowledged_is_not(tmp_path: Path) -> None:
    stage = Stage(CheckpointStore(tmp_path), batch_max_events=2, checkpoint_every_s=0.02)
    stage.permits = threading.Semaphore(0)
    async with stage.run():
        await stage.offer(*some(2), name="stepped")
        await stage.offer(*some(2, first=2), name="waiting")
        async with asyncio.timeout(SOON_S):
            while not stage.engine._stepping:
                await asyncio.sleep(0.001)
        stage.engine.leave_unacknowledged()
        stage.permits.release(100)
        await stage.offer(*some(2, first=4), name="later")
        await stage.acks.wait_for(1)
    assert stage.acks.given == ["later"]


async def test_who_stops_takes_nothing_more() -> None:
    """The last checkpoint may take long, and whoever follows others reads on meanwhile."""
    stage = Stage(batch_max_events=1)
    async with stage.run():
        await stage.engine.stop()
        for n in range(50):
            await stage.engine.follow(some(1, first=n))
        assert not stage.engine.busy


async def test_freshness_is_that_of_what_is_answered() -> None:
    async with Stage().run() as stage:
        stage.engine.assignment = Assignment(frozenset({0}))
        await stage.engine.follow(some(2, partition=1))
        await stage.offer(*some(2))
        await stage.publisher.wait_for(1)
    [(arrived, _)] = stage.diary.published_at
    assert arrived == [NOW_MS, NOW_MS]


async def test_nobody_looks_at_the_state_after_the_end() -> None:
    async with Stage().run() as stage:
        assert await stage.engine.read(lambda processor: processor.totals.events_learned) == 0
    with pytest.raises(EngineStoppedError, match="stopping"):
        await stage.engine.read(lambda processor: processor)
