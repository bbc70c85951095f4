"""Several workers in one group on a real broker: they join, leave, are killed and are stopped in the middle."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults.events import log, records
from benchmarks.faults.place import publish, until
from benchmarks.faults.team import Team, stale, started_again, unanswered
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from stream.assembly import checkpoint_store
from stream.settings import TopicSettings

SESSION_S = 6.0


@pytest.fixture
async def team(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> Any:
    async with Team(broker, topics, tmp_path, SESSION_S) as team:
        yield team


async def assert_clean(team: Team, events: Sequence[Event]) -> None:
    """Also, of each user the last slate answers the last event, and none answers an earlier one than the one before."""
    assert await team.differences() == []
    slates = await team.slates()
    assert stale(slates, events) == []
    assert unanswered(slates, events) == []


async def test_a_worker_joins_another_is_killed_and_nothing_is_lost_or_answered_by_older_state(
    team: Team,
) -> None:
    events = log(2_400)
    await team.join("one")
    assert await team.until_shared() == {"one": set(range(team.topics.partitions))}
    await publish(team.client, team.topics.events, records(events[:400]))
    await team.join("two")
    shared = await team.until_shared()
    assert all(shared.values())
    publishing = asyncio.create_task(publish(team.client, team.topics.events, records(events[400:1_600])))
    team.kill("one")
    await publishing
    await until(lambda: team.owns_all("two"))
    await publish(team.client, team.topics.events, records(events[1_600:2_000]))
    await team.until_read()
    await team.join("one")
    await team.until_shared()
    await publish(team.client, team.topics.events, records(events[2_000:]))
    await team.until_read()
    await team.leave("two")
    await until(lambda: team.owns_all("one"))
    await team.leave("one")
    await assert_clean(team, events)


async def test_a_worker_that_was_stopped_past_its_session_wakes_up_and_writes_nothing(team: Team) -> None:
    events = log(1_800)
    await team.join("one")
    await team.join("two")
    await team.until_shared()
    publishing = asyncio.create_task(publish(team.client, team.topics.events, records(events[:900])))
    stopped = team.pause("one")
    await publishing
    await until(lambda: team.owns_all("two"))
    await publish(team.client, team.topics.events, records(events[900:]))
    await team.until_answered(events)
    answered = len(await team.slates())
    os.kill(stopped.pid, signal.SIGCONT)
    await until(lambda: started_again(stopped.log))
    await stopped.wait_until_ready()  # it has started itself again, in the same process
    team.workers["one"] = stopped
    await team.until_shared()
    await team.until_read()
    assert len(await team.slates()) == answered
    await team.leave("one")
    await team.leave("two")
    await assert_clean(team, events)


async def test_of_four_partitions_each_of_three_workers_has_one(team: Team) -> None:
    for name in ("one", "two", "three"):
        await team.join(name)
    assert sorted(len(owned) for owned in (await team.until_shared()).values()) == [1, 1, 2]


def dense(team: Team, name: str) -> dict[str, Any]:
    """Dense parameters of a worker's last checkpoint."""
    found = checkpoint_store(team.places[name].settings).latest()
    assert found is not None
    return {part: array for part, array in found.pieces["learner"].items() if "parameter." in part}


async def test_what_one_learned_reaches_the_others_and_outlives_it(team: Team) -> None:
    events = log(1_200)
    for name in ("one", "two"):
        await team.join(name)
    await team.until_shared()
    await publish(team.client, team.topics.events, records(events))
    await team.until_told()
    team.kill("one")
    shutil.rmtree(team.places.pop("one").settings.state_dir)
    await until(lambda: team.owns_all("two"))
    await team.join("three")  # which has nothing but the topics
    await team.until_shared()
    await team.until_told()
    for name in ("two", "three"):
        await team.leave(name)
    mine, theirs = dense(team, "two"), dense(team, "three")
    assert mine.keys() == theirs.keys()
    for part, array in mine.items():
        np.testing.assert_allclose(array, theirs[part], atol=1e-4, err_msg=part)
    await assert_clean(team, events)
