"""When partitions change hands: the latest share counts, and what is not answered is not acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fakes import processor

from stream.handover import Handover
from stream.ownership import NOTHING, Assignment, TakenOver


@dataclass
class Engine:
    """What a handover asks of an engine."""

    settles: bool = True
    owing: bool = False
    assignment: Assignment = NOTHING
    left: int = 0
    left_waiting: int = 0
    looks: int = 0

    async def settle(self, patience_s: float) -> bool:
        del patience_s
        return self.settles

    def leave_unacknowledged(self) -> None:
        self.left += 1

    def leave_waiting(self) -> None:
        self.left_waiting += 1

    def assign(self, assignment: Assignment) -> None:
        self.assignment = assignment

    async def look_again(self) -> None:
        self.looks += 1

    async def read(self, look: Callable[[Any], Any]) -> Any:
        return look(processor())


@dataclass
class Follower:
    """Takes note of what it is to follow."""

    followed: list[Mapping[int, int]] = field(default_factory=list)

    def follow(self, starts: Mapping[int, int]) -> None:
        self.followed.append(starts)


@dataclass
class Stage:
    """A handover of two partitions; who listens waits for `heard`."""

    engine: Engine = field(default_factory=Engine)
    follower: Follower = field(default_factory=Follower)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.handover = Handover(self.engine, self.follower, 2, 1.0, self._listen)  # type: ignore[arg-type]

    async def _listen(self, patience_s: float) -> bool:
        del patience_s
        return await self.heard.wait()


async def test_what_is_taken_over_is_owned_and_the_rest_followed() -> None:
    stage = Stage()
    stage.heard.set()
    starts = await stage.handover.take_over({0: 5, 1: None}, {0: 9, 1: 0})
    assert starts == {0: 0, 1: 0}
    assert stage.engine.assignment.owns(0)
    assert stage.engine.assignment.owes(0, 8)
    await stage.handover.own([1], {})
    assert stage.handover.owned == 1
    assert stage.follower.followed == [{}, {0: 0}]


async def test_where_the_last_records_were_none_the_end_is_before_them() -> None:
    stage = Stage()
    stage.heard.set()
    await stage.handover.take_over({0: 5, 1: 2}, {0: 9, 1: 4})
    await stage.handover.reached_end(1, 4)
    assert stage.engine.looks == 0, "its last record tells"
    await stage.handover.reached_end(0, 8)
    assert stage.engine.looks == 1
    assignment = stage.engine.assignment
    assert assignment.owes(0, 7)
    assert assignment.answers(0, 8)
    assert not assignment.answers(1, 3)
    await stage.handover.own([1], {})
    await stage.handover.reached_end(0, 7)
    assert stage.engine.looks == 1, "it is another worker's by now"


async def test_where_more_was_followed_a_record_tells_that_the_end_is_reached() -> None:
    stage = Stage()
    stage.heard.set()
    await stage.handover.take_over({0: 5}, {0: 8})
    beyond = {0: TakenOver(5, 10)}  # as an engine has it that had followed the partition as far as that
    stage.engine.assignment = replace(stage.engine.assignment, taken=beyond)
    await stage.handover.reached_end(0, 8)
    assert stage.engine.looks == 0
    assert stage.engine.assignment.owes(0, 9)


async def test_a_share_that_is_another_one_by_now_changes_nothing() -> None:
    """Faust asks where to read on while partitions are being revoked as well."""
    stage = Stage()
    former = asyncio.create_task(stage.handover.take_over({0: 5}, {0: 9}))
    await asyncio.sleep(0)
    await stage.handover.own((), {})
    stage.heard.set()
    await former
    assert stage.handover.owned == 0
    assert not stage.engine.assignment.owns(0)
    assert stage.follower.followed == [{0: 0, 1: 0}]


async def test_of_two_shares_the_later_one_counts_whichever_ends_first() -> None:
    stage = Stage()
    former = asyncio.create_task(stage.handover.take_over({0: 5}, {0: 9}))
    await asyncio.sleep(0)
    later = asyncio.create_task(stage.handover.take_over({1: 5}, {1: 9}))
    stage.heard.set()
    await asyncio.gather(former, later)
    assert [stage.engine.assignment.owns(partition) for partition in (0, 1)] == [False, True]
    assert stage.follower.followed == [{0: 0}]


@pytest.mark.parametrize(("settles", "owing", "left"), [(True, False, 0), (False, False, 1), (True, True, 1)])
async def test_only_what_is_answered_may_be_acknowledged_after_it_was_given_up(
    settles: bool, owing: bool, left: int
) -> None:
    stage = Stage(Engine(settles, owing, Assignment(frozenset({0}))))
    await stage.handover.give_up()
    assert (stage.engine.left, stage.engine.left_waiting) == (left, 1 - left), (
        "what came meanwhile is left anyway"
    )
    assert stage.engine.assignment is NOTHING


async def test_what_was_given_up_is_not_taken_over_before_there_is_a_new_share() -> None:
    """Faust may ask where to read on, of what it had, between the two."""
    stage = Stage()
    stage.heard.set()
    await stage.handover.take_over({0: 5}, {0: 9})
    await stage.handover.give_up()
    assert await stage.handover.take_over({0: 5}, {0: 9}) == {0: 0}
    assert not stage.engine.assignment.owns(0)
    stage.handover.shared()
    await stage.handover.take_over({1: 5}, {1: 9})
    assert [stage.engine.assignment.owns(partition) for partition in (0, 1)] == [False, True]
