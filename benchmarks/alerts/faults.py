"""What goes wrong."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
from itertools import count, islice

from kafka import TopicPartition

from benchmarks.alerts.stage import Fault, Stage
from benchmarks.faults.events import GARBAGE
from benchmarks.faults.place import Place, publish
from connectors.event import Event, encode_event
from connectors.kafka_admin import admin
from connectors.topics import end_offsets

_SESSION_S = 6.0
_SCRAPED_S = 3.0
_LARGEST_FILE = 64 * 1024
_AT_ONCE = 2_000
_TURN_EVERY_S = 8.0

CHOKING = """
    from stream.pipeline import Pipeline

    step = Pipeline.step

    def choke(self, events, *rest, **named):
        made = step(self, events, *rest, **named)  # everything has changed by now
        if any(event.item_id.startswith("poison") for event in events):
            raise ZeroDivisionError("poison")
        return made

    Pipeline.step = choke
"""
"""A learner that fails on some records."""

_HANGING = """
    import time

    from stream.pipeline import Pipeline

    step = Pipeline.step

    def hang(self, events, *rest, **named):
        if any(event.item_id == "hang" for event in events):
            time.sleep(3_600.0)
        return step(self, events, *rest, **named)

    Pipeline.step = hang
"""

_NO_NUMBERS = """
    import os

    from learners.ranker import _Mixture

    each = _Mixture.each

    def broken(self, x):
        scores = each(self, x)
        wrong = scores.requires_grad and os.path.exists(os.environ["FRESHET_STATE_DIR"] + "/broken")
        return scores * float("nan") if wrong else scores

    _Mixture.each = broken
"""
"""A ranker whose loss is no number from some moment on."""

_BLIND = """
    from dataclasses import replace

    import numpy as np

    from learners.history_view import HistoryView

    def nothing(self, histories):
        if not self.hides:
            return histories
        return replace(histories, users=histories.users[::-1], item_rows=np.full_like(histories.item_rows, -1))

    HistoryView.of = nothing
"""
"""A reaction that does nothing but harm."""


async def _kill(stage: Stage) -> None:
    os.kill(stage.worker.pid, signal.SIGKILL)


async def _crash(stage: Stage) -> None:
    """Again and again, at one address."""
    address = stage.worker.http
    assert address is not None
    await _kill(stage)
    while True:
        async with stage.place.worker(address) as worker:
            await worker.wait_until_ready()
            await asyncio.sleep(_SCRAPED_S)
            os.kill(worker.pid, signal.SIGKILL)


async def _outage(stage: Stage) -> None:
    await stage.shop.publish(20_000)
    stage.shop.broker.kill()
    try:
        await asyncio.Event().wait()
    finally:
        await stage.shop.broker.come_back()


async def _flood(stage: Stage) -> None:
    while True:
        await stage.shop.publish(_AT_ONCE)


async def _garbage(stage: Stage) -> None:
    while True:
        await _send(stage, list(GARBAGE))


async def _poison(stage: Stage) -> None:
    await _send(stage, [encode_event(_event("poison", "ann", "poison"))])


async def _hang(stage: Stage) -> None:
    await _send(stage, [encode_event(_event("hang", "ann", "hang"))])


async def _no_numbers(stage: Stage) -> None:
    (stage.place.settings.state_dir / "broken").touch()


async def _retention(stage: Stage) -> None:
    """As if the worker had been away for longer than the topic keeps records."""
    client, topic = stage.shop.client, stage.shop.topics.events
    while True:
        os.kill(stage.worker.pid, signal.SIGSTOP)
        try:
            await stage.shop.publish(_AT_ONCE)
            ends = await asyncio.to_thread(end_offsets, client, topic)
            with admin(client) as kafka:
                kafka.delete_records({TopicPartition(topic, number): end for number, end in ends.items()})
        finally:
            os.kill(stage.worker.pid, signal.SIGCONT)
        await asyncio.sleep(_TURN_EVERY_S)


async def _turn(stage: Stage) -> None:
    world = stage.simulation.world
    while True:
        world.turn(range(world.config.shoppers), world.successors())
        await asyncio.sleep(_TURN_EVERY_S)


async def _full_disk(stage: Stage) -> None:
    """As where a quota is reached: no file may become larger than that."""
    _, most = resource.prlimit(stage.worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(stage.worker.pid, resource.RLIMIT_FSIZE, (_LARGEST_FILE, most))


async def _crowd(stage: Stage) -> None:
    numbers = count()
    while True:
        some = islice(numbers, _AT_ONCE)
        await _send(stage, [encode_event(_event(f"n{n}", f"u{n}", f"i{n}")) for n in some])


async def _restless(stage: Stage) -> None:
    """Another worker that comes and goes."""
    other = Place(stage.shop.client, stage.shop.topics, stage.shop.folder / "restless")
    other.environment |= stage.place.environment
    while True:
        async with other.worker() as worker:
            await worker.wait_until_ready()
        await asyncio.sleep(_SESSION_S)


async def _send(stage: Stage, values: list[bytes]) -> None:
    await publish(stage.shop.client, stage.shop.topics.events, [(None, value) for value in values])
    await asyncio.sleep(0.1)


def _event(event_id: str, user: str, item: str) -> Event:
    moment_ms = random.Random(event_id).randrange(1_700_000_000_000, 1_700_000_100_000)
    return Event(event_id=event_id, event_type="view", occurred_at_ms=moment_ms, user_id=user, item_id=item)


FAULTS: dict[str, Fault] = {
    "killed": Fault(what="kill -9 of the worker", alerts=("FreshetWorkerDown",), act=_kill),
    "crashing": Fault(
        what="a worker that is killed and started, again and again",
        alerts=("FreshetRestarting",),
        act=_crash,
        faster=10.0,
    ),
    "outage": Fault(
        what="the broker is killed while records wait",
        alerts=("FreshetWorkerNotReady", "FreshetResultsUndelivered"),
        act=_outage,
    ),
    "hang": Fault(what="a step that does not end", alerts=("FreshetStuck",), act=_hang, patch=_HANGING),
    "flood": Fault(
        what="more events than it can learn",
        alerts=(
            "FreshetLagGrowing",
            "FreshetBehind",
            "FreshetFreshnessBurnsFast",
            "FreshetFreshnessBurnsSlowly",
        ),
        act=_flood,
    ),
    "garbage": Fault(what="records that are no events", alerts=("FreshetDeadLetters",), act=_garbage),
    "poison": Fault(
        what="a learner that fails on a record", alerts=("FreshetStepFailures",), act=_poison, patch=CHOKING
    ),
    "no_numbers": Fault(
        what="a loss that is no number", alerts=("FreshetNonfiniteSkips",), act=_no_numbers, patch=_NO_NUMBERS
    ),
    "retention": Fault(
        what="records deleted before they were read", alerts=("FreshetEventsLost",), act=_retention
    ),
    "turn": Fault(
        what="all tastes turn again and again, and a reaction that does harm",
        alerts=("FreshetDrift", "FreshetDriftReactionsUndone"),
        act=_turn,
        environment={
            "FRESHET_MONITORING__DRIFT_FALSE_ALARMS": "10",
            "FRESHET_MONITORING__REACTION_EVENTS": "1000",
            "FRESHET_MONITORING__TRIAL_EVENTS": "1000",
            "FRESHET_MONITORING__REACTION_COOL_DOWN": "0",
        },
        patch=_BLIND,
        rate=800.0,
    ),
    "full_disk": Fault(
        what="no room for checkpoints",
        alerts=("FreshetCheckpointFailing", "FreshetCheckpointOld"),
        act=_full_disk,
    ),
    "crowd": Fault(
        what="a new user and a new item with each event",
        alerts=("FreshetMemoryGrows",),
        act=_crowd,
        faster=144.0,
        environment={"FRESHET_LEARNER__DIMENSION": "512"},  # so that two gigabytes are reached in minutes
    ),
    "restless": Fault(
        what="another worker comes and goes",
        alerts=("FreshetRebalancing",),
        act=_restless,
        faster=10.0,
        environment={"FRESHET_WORKER__SESSION_TIMEOUT_S": str(_SESSION_S)},
    ),
}
