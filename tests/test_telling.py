"""The engine tells other workers what was learned, hears what they tell, and can do both again after a failure."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record
from fakes import processor
from models import learner
from test_engine import SOON_S, Stage
from test_shared_model import Topic, clicks, dense, shared, worker

from connectors.model_update import UpdateReader
from stream.checkpoints.store import CheckpointStore
from stream.ownership import Assignment
from stream.processor import Processor
from stream.recovery import Recovery

_HALF = Assignment(frozenset({0}), share=0.5)


def stage(store: CheckpointStore | None = None, **config: Any) -> Stage:
    """An engine whose learner shares."""
    made = Stage(store, **{"batch_max_age_ms": 1.0, "batch_max_events": 8, **config})
    made.engine.processor = worker("ann")
    return made


def updates(of: Stage) -> list[dict[int, int]]:
    """The offsets that each published update has learned."""
    reader, found = UpdateReader(), []
    for offset, value in enumerate(value for update in of.publisher.updates for value in update):
        whole = reader.read(value, offset)
        if whole is not None:
            found.append(whole.learned)
    return found


async def until(reached: Any) -> None:
    async with asyncio.timeout(SOON_S):
        while not reached():
            await asyncio.sleep(0.005)


async def test_one_of_several_tells_what_it_learned_again_and_again() -> None:
    async with stage(tell_every_s=0.01).run() as here:
        here.engine.assignment = _HALF
        await here.offer(*clicks(0, 8))
        await until(lambda: len(updates(here)) == 1)
        await here.offer(*clicks(0, 8, 8))
        await until(lambda: len(updates(here)) == 2)
    assert updates(here) == [{0: 8}, {0: 16}]
    assert here.diary.told_bytes == sum(len(value) for update in here.publisher.updates for value in update)


async def test_who_is_alone_tells_with_its_checkpoints(tmp_path: Path) -> None:
    async with stage(CheckpointStore(tmp_path), tell_every_s=0.001).run() as here:
        await here.offer(*clicks(0, 8))
        await here.publisher.wait_for(1)
    assert updates(here) == [{0: 8}]


async def test_who_did_nothing_since_the_checkpoint_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal keeps each question: they would fill it while nothing happens."""
    asked: list[float] = []
    tell = Processor.tell

    def counted(of: Processor, share: float, *, beginning: bool = False) -> Any:
        asked.append(share)
        return tell(of, share, beginning=beginning)

    monkeypatch.setattr(Processor, "tell", counted)
    here = stage(CheckpointStore(tmp_path), tell_every_s=0.001, checkpoint_every_s=0.01)
    async with here.run():
        here.engine.assignment = _HALF
        await here.offer(*clicks(0, 8))
        await here.acks.wait_for(1)
        before = len(asked)
        assert before
        await asyncio.sleep(0.3)
        assert len(asked) <= before + 1
        await here.offer(*clicks(0, 8, 8))
        await until(lambda: len(asked) > before + 1)
    assert {0: 16} in updates(here)


async def test_a_checkpoint_is_written_when_all_that_it_holds_is_told(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    here = stage(store, checkpoint_every_s=0.02)
    told, may_arrive = asyncio.Event(), asyncio.Event()

    async def tell(update: Any) -> None:
        here.publisher.updates.append(list(update))
        told.set()
        await may_arrive.wait()

    here.publisher.tell = tell  # type: ignore[method-assign]
    async with here.run():
        await here.offer(*clicks(0, 8))
        await asyncio.wait_for(told.wait(), SOON_S)
        await here.acks.stays_empty()
        assert store.latest() is None
        may_arrive.set()
        await here.acks.wait_for(1)
    found = store.latest()
    assert found is not None
    back = processor(learner(choices_per_step=4))
    again = back.share("events-1", "ann again")
    back.load(found.pieces, found.manifest.totals)
    assert again.learned == {0: 8}


async def test_a_worker_that_only_listens_keeps_what_it_heard(tmp_path: Path) -> None:
    topic, bea = Topic(), worker("bea")
    bea.process(clicks(1, 8), NOW_MS)
    topic.take(bea.tell(0.5))
    store = CheckpointStore(tmp_path)
    async with stage(store, checkpoint_every_s=0.01).run() as here:
        await here.engine.hear(topic.records)
        await until(lambda: here.diary.manifests)
    assert here.diary.heard_updates == 1
    found = store.latest()
    assert found is not None
    assert found.pieces["ledger"]["shared.position"].tolist() == [len(topic.records)]


async def test_what_comes_after_the_end_is_left_to_the_next_start() -> None:
    topic, bea = Topic(), worker("bea")
    bea.process(clicks(1, 8), NOW_MS)
    topic.take(bea.tell(0.5))
    async with stage().run() as here:
        pass
    await here.engine.hear(topic.records)
    here.engine.fall_behind(3)
    assert shared(here.engine.processor).position == 0


class PoisonError(Exception):
    """What the learner raises in this test."""


def choking(worked: Processor) -> Processor:
    """Fails, with everything changed, on the event that is named `0-20`."""
    step = worked.pipeline.step

    def choke(events: Any, *rest: Any, **named: Any) -> Any:
        made = step(events, *rest, **named)
        if any(one.event_id == "0-20" for one in events):
            raise PoisonError
        return made

    worked.pipeline.step = choke  # type: ignore[method-assign]
    return worked


@pytest.mark.parametrize("checkpoint_every_s", [0.01, 60.0])
async def test_after_a_failure_what_was_told_and_heard_is_done_again(
    tmp_path: Path, checkpoint_every_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("stream.recovery"), "disabled", True)
    topic, bea = Topic(), worker("bea")
    bea.process(clicks(1, 8), NOW_MS)
    topic.take(bea.tell(0.5))
    store = CheckpointStore(tmp_path)
    here = stage(store, tell_every_s=0.001, checkpoint_every_s=checkpoint_every_s)
    choking(here.engine.processor)

    def rebuild() -> Processor:
        made = choking(worker("ann"))
        found = store.latest()
        if found is not None:
            made.load(found.pieces, found.manifest.totals)
        return made

    here.engine.recovery = Recovery(rebuild)
    async with here.run():
        here.engine.assignment = _HALF
        for first in (0, 8):
            await here.offer(*clicks(0, 8, first))
            await until(lambda count=first // 8 + 1: len(updates(here)) >= count)
            await here.engine.hear(topic.records[: first // 8 * len(topic.records)])
        await here.offer(*clicks(0, 8, 16))
        await until(lambda: here.diary.failed_steps and updates(here)[-1] == {0: 24})
        state = await here.engine.read(lambda one: (one.state_dicts(), dict(shared(one).learned)))
    assert state[1] == {0: 24, 1: 8}
    # Who heard everything that was told and learned nothing itself holds the same model.
    other = worker("cleo")
    told = [value for update in here.publisher.updates for value in update]
    other.merge([Record(value=value, offset=n, topic="model") for n, value in enumerate(told)])
    other.merge([Record(value=one.value, offset=len(told) + n) for n, one in enumerate(topic.records)])
    mine, theirs = state[0]["learner"], other.state_dicts()["learner"]
    names = [name for name in mine if "parameter." in name]
    assert names
    for name in names:
        np.testing.assert_allclose(mine[name], theirs[name], atol=2e-5, err_msg=name)


async def test_after_a_failure_who_had_fallen_behind_is_behind_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("stream.recovery"), "disabled", True)
    topic, bea = Topic(), worker("bea", seed=7)
    for first in (0, 8):
        bea.process(clicks(1, 8, first), NOW_MS)
        topic.take(bea.tell(1.0, beginning=first == 8))
    here = stage(CheckpointStore(tmp_path), tell_every_s=60.0)
    choking(here.engine.processor)
    here.engine.recovery = Recovery(lambda: choking(worker("ann")))
    async with here.run():
        here.engine.processor.shared.load_state_dict({})  # type: ignore[union-attr]
        here.engine.fall_behind(3)
        await here.engine.hear(topic.records)
        parameters = await here.engine.read(dense)
        np.testing.assert_allclose(parameters, dense(bea), atol=2e-5)
        here.engine.assignment = Assignment(frozenset())
        await here.engine.follow(clicks(0, 8, 16))
        await until(lambda: here.diary.failed_steps)
        np.testing.assert_array_equal(await here.engine.read(dense), parameters)
