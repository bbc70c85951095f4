"""Several workers in one group on a real broker: they join, leave, are killed and are stopped in the middle."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from test_end_to_end import PATIENCE_S, Place, everything, log, publish, records

from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.recommendation import Recommendation, decode_recommendation
from connectors.topics import end_offsets
from stream.settings import TopicSettings
from stream.verification.verify import verify_topic
from stream.worker_process import WorkerProcess

SESSION_S = 6.0


class Team:
    """Workers of one group, each with a state folder of its own."""

    def __init__(self, client: KafkaClient, topics: TopicSettings, folder: Path) -> None:
        self.client, self.topics, self._folder = client, topics, folder
        self.places: dict[str, Place] = {}
        self.workers: dict[str, WorkerProcess] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Team:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    async def join(self, name: str) -> None:
        """Start a worker and wait until it is in the group."""
        place = self.places.setdefault(name, Place(self.client, self.topics, self._folder / name))
        place.environment["FRESHET_WORKER__SESSION_TIMEOUT_S"] = str(SESSION_S)
        self.workers[name] = await self._stack.enter_async_context(place.worker())
        await self.workers[name].wait_until_ready()

    async def leave(self, name: str) -> None:
        """Stop a worker as it is meant to be stopped."""
        worker = self.workers.pop(name)
        await worker.__aexit__(None, None, None)

    def kill(self, name: str) -> None:
        os.kill(self.workers.pop(name).pid, signal.SIGKILL)

    async def status(self, name: str) -> dict[str, Any]:
        status = await self.workers[name].ask("/status")
        return status or {"owned": [], "applied": {}}

    async def owned(self) -> dict[str, set[int]]:
        return {name: set((await self.status(name))["owned"]) for name in self.workers}

    async def until_shared(self) -> Mapping[str, set[int]]:
        """Wait until each partition has one owner and each worker some."""
        everywhere = set(range(self.topics.partitions))

        async def shared() -> bool:
            owned = list((await self.owned()).values())
            return (
                all(owned) and set().union(*owned) == everywhere and sum(map(len, owned)) == len(everywhere)
            )

        await until(shared)
        return await self.owned()

    async def until_read(self) -> None:
        """Wait until every worker has applied all that the topic holds."""
        ends = {str(p): end for p, end in end_offsets(self.client, self.topics.events).items() if end}

        async def read() -> bool:
            applied = [(await self.status(name))["applied"] for name in self.workers]
            return all(one.get(p, -1) + 1 >= end for one in applied for p, end in ends.items())

        await until(read)

    async def assert_clean(self) -> None:
        """What each worker's newest checkpoint holds is what the topic says."""
        for place in self.places.values():
            verdict = await asyncio.to_thread(verify_topic, place.settings, place.client)
            assert verdict.differences == verdict.not_compared == [], place.settings.state_dir

    async def slates(self) -> list[Recommendation]:
        values = await everything(self.client, self.topics.recommendations)
        return [decode_recommendation(value) for value in values]


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await reached():
            await asyncio.sleep(0.1)


@pytest.fixture
async def team(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> Any:
    async with Team(broker, topics, tmp_path) as team:
        yield team


def assert_everybody_has_the_newest(slates: Sequence[Recommendation], events: Sequence[Event]) -> None:
    """Of each user the last slate answers the last event, and none answers an earlier one than the slate before."""
    number = {event.event_id: n for n, event in enumerate(events)}
    reached: dict[str, int] = {}
    for slate in slates:
        answered = number[slate.trigger_event_id]
        assert answered >= reached.get(slate.user_id, -1), slate.user_id
        reached[slate.user_id] = answered
    assert reached == {event.user_id: number[event.event_id] for event in events}


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
    await until(lambda: _owns_all(team, "two"))
    await publish(team.client, team.topics.events, records(events[1_600:2_000]))
    await team.until_read()
    await team.join("one")
    await team.until_shared()
    await publish(team.client, team.topics.events, records(events[2_000:]))
    await team.until_read()
    await team.leave("two")
    await until(lambda: _owns_all(team, "one"))
    await team.leave("one")
    await team.assert_clean()
    assert_everybody_has_the_newest(await team.slates(), events)


async def _owns_all(team: Team, name: str) -> bool:
    return set((await team.status(name))["owned"]) == set(range(team.topics.partitions))


async def test_a_worker_that_was_stopped_past_its_session_wakes_up_and_writes_nothing(team: Team) -> None:
    events = log(1_800)
    await team.join("one")
    await team.join("two")
    await team.until_shared()
    publishing = asyncio.create_task(publish(team.client, team.topics.events, records(events[:900])))
    stopped = team.workers.pop("one")
    os.kill(stopped.pid, signal.SIGSTOP)
    await publishing
    await until(lambda: _owns_all(team, "two"))
    await publish(team.client, team.topics.events, records(events[900:]))
    await team.until_read()
    answered = len(await team.slates())
    os.kill(stopped.pid, signal.SIGCONT)
    await until(lambda: _started_again(stopped))
    await stopped.wait_until_ready()  # it has started itself again, in the same process
    team.workers["one"] = stopped
    await team.until_shared()
    await team.until_read()
    assert len(await team.slates()) == answered
    await team.leave("one")
    await team.leave("two")
    await team.assert_clean()
    assert_everybody_has_the_newest(await team.slates(), events)


async def _started_again(worker: WorkerProcess) -> bool:
    _, woke, after = worker.log.read_text().partition("stood still for")
    return bool(woke) and "assigned partitions" in after
