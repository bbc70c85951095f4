"""Several workers of one group: they join, leave, are killed and are stopped in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.faults.place import Place, everything, until
from connectors.event import Event
from connectors.kafka_client import KafkaClient
from connectors.recommendation import Recommendation, decode_recommendation
from connectors.topics import committed_offsets, end_offsets
from stream.settings import TopicSettings
from stream.worker_process import WorkerProcess

NAMES = ("one", "two", "three")
"""Of workers."""


class Team:
    """Workers of one group, each with a state folder of its own; those that are left stop at the end of `async with`.

    Args:
        client: The broker.
        topics: Where they read and write.
        folder: Holds a state folder for each name.
        session_s: After which silence a worker's partitions go to others; the default where it is None.
    """

    def __init__(
        self, client: KafkaClient, topics: TopicSettings, folder: Path, session_s: float | None = None
    ) -> None:
        self.client, self.topics, self._folder = client, topics, folder
        self._environment = (
            {"FRESHET_WORKER__SESSION_TIMEOUT_S": str(session_s)} if session_s is not None else {}
        )
        self.places: dict[str, Place] = {}
        self.workers: dict[str, WorkerProcess] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Team:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def join(self, name: str) -> None:
        """Start a worker and wait until it is in the group."""
        place = self.places.setdefault(name, Place(self.client, self.topics, self._folder / name))
        place.environment |= self._environment
        self.workers[name] = await self._stack.enter_async_context(place.worker())
        await self.workers[name].wait_until_ready()

    async def leave(self, name: str) -> None:
        """Stop a worker as it is meant to be stopped."""
        worker = self.workers.pop(name)
        await worker.__aexit__(None, None, None)

    def kill(self, name: str) -> None:
        """Stop a worker as it is not meant to be stopped."""
        os.kill(self.workers.pop(name).pid, signal.SIGKILL)

    def pause(self, name: str) -> WorkerProcess:
        """Let a worker stand still; it counts as gone, until whoever called this puts it among `workers` again."""
        worker = self.workers.pop(name)
        os.kill(worker.pid, signal.SIGSTOP)
        return worker

    async def status(self, name: str) -> dict[str, Any]:
        """What a worker says of itself, as little as may be where it does not answer."""
        worker = self.workers[name]
        worker.check()
        return await worker.ask("/status") or {"owned": [], "applied": {}}

    async def owned(self) -> dict[str, set[int]]:
        """Whose partitions are whose."""
        return {name: set((await self.status(name))["owned"]) for name in self.workers}

    async def owns_all(self, name: str) -> bool:
        """Whether every partition is one worker's."""
        return set((await self.status(name))["owned"]) == set(range(self.topics.partitions))

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

    async def until_told(self) -> None:
        """Wait until every worker knows that all of the topic is learned, by whomever."""
        ends = {str(p): end for p, end in end_offsets(self.client, self.topics.events).items() if end}

        async def told() -> bool:
            return all([(await self.status(name)).get("learned") == ends for name in self.workers])

        await until(told)

    async def until_answered(self, events: Sequence[Event]) -> None:
        """Wait until everybody's last event is answered and the group has committed that.

        What is read is answered a moment later; what is not committed would be answered once more.
        """
        place = next(iter(self.places.values()))

        async def answered() -> bool:
            topic, group = self.topics.events, place.settings.worker.group
            ends = {partition: end for partition, end in end_offsets(self.client, topic).items() if end}
            committed = committed_offsets(self.client, group, topic)
            return all(committed.get(partition) == end for partition, end in ends.items()) and not unanswered(
                await self.slates(), events
            )

        await until(answered)

    async def until_saved(self) -> None:
        """Wait until every worker has a checkpoint, be it of its former life."""

        async def saved() -> bool:
            found = [(await self.status(name)).get("checkpoint_at_ms") for name in self.workers]
            return None not in found

        await until(saved)

    async def differences(self) -> list[str]:
        """How each worker's newest checkpoint differs from what the topic says."""
        return [
            f"{name}: {found}" for name, place in self.places.items() for found in await place.differences()
        ]

    async def slates(self) -> list[Recommendation]:
        """All that were published."""
        return await all_slates(self.client, self.topics)


async def started_again(log: Path, said: int = 0) -> bool:
    """Whether a worker has noticed that it stood still, and is in the group again, since its log was so long."""
    _, woke, after = log.read_bytes()[said:].partition(b"stood still for")
    return bool(woke) and b"assigned partitions" in after


async def all_slates(client: KafkaClient, topics: TopicSettings) -> list[Recommendation]:
    """All that were published, each user's in their order."""
    return [decode_recommendation(value) for value in await everything(client, topics.recommendations)]


def stale(slates: Sequence[Recommendation], events: Sequence[Event]) -> list[str]:
    """Slates that answer an earlier event than the user's slate before."""
    number = {event.event_id: n for n, event in enumerate(events)}
    found = []
    reached: dict[str, Recommendation] = {}
    for slate in slates:
        before = reached.get(slate.user_id, slate)
        if number[slate.trigger_event_id] < number[before.trigger_event_id]:
            found.append(
                f"{slate.user_id}: {slate.trigger_event_id} is answered after {before.trigger_event_id}"
            )
        reached[slate.user_id] = slate
    return found


def unanswered(slates: Sequence[Recommendation], events: Sequence[Event]) -> list[str]:
    """Users whose last slate does not answer their last event."""
    answered = {slate.user_id: slate.trigger_event_id for slate in slates}
    last = {event.user_id: event.event_id for event in events}
    return [
        f"{user}: the last slate answers {answered.get(user, 'nothing')}, not {event}"
        for user, event in last.items()
        if answered.get(user) != event
    ]
