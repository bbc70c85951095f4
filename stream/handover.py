"""When the group shares its partitions anew: what is at hand is answered, and the new share begins where it should."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

from stream.engine import Engine
from stream.follower import Follower
from stream.ownership import NOTHING, Assignment, Start, TakenOver
from stream.processor import Processor

logger = logging.getLogger(__name__)


class Handover:
    """Tells engine and follower whose partitions are whose.

    Args:
        engine: Owns nothing until there is a share.
        follower: Reads the rest.
        partitions: How many the topic has.
        patience_s: How long the group may be kept waiting for what is at hand.
        listen: Waits until everything is heard that the others have told by now, or so many seconds.
        on_share: Told how many partitions are owned.
    """

    def __init__(
        self,
        engine: Engine,
        follower: Follower,
        partitions: int,
        patience_s: float,
        listen: Callable[[float], Awaitable[bool]],
        on_share: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._engine, self._follower = engine, follower
        self._partitions = range(partitions)
        self._patience_s = patience_s
        self._listen = listen
        self._on_share = on_share
        self.owned: int | None = None
        """How many partitions are this worker's; None before the first share."""
        self._ends: dict[int, int] = {}
        self._turn = 0  # of shares that began: the latest one counts, whichever ends last
        self._given_up = False
        engine.assignment = NOTHING

    async def give_up(self) -> None:
        """The group is about to share its partitions anew: answer what is at hand, so that nobody else has to."""
        self._given_up = True
        self._turn += 1
        if not await self._engine.settle(self._patience_s) or self._engine.owing:
            self._engine.leave_unacknowledged()
        else:
            self._engine.leave_waiting()  # what came meanwhile is the next owner's to answer
        self._engine.assignment = NOTHING

    def shared(self) -> None:
        """The group has shared its partitions: who is asked to take over from now on has the new share."""
        self._given_up = False

    async def take_over(
        self, committed: Mapping[int, int | None], ends: Mapping[int, int]
    ) -> Mapping[int, int]:
        """Own partitions from now on.

        Args:
            committed: What the group has committed of each; None where that is nothing.
            ends: Where each ends now.

        Returns:
            Where to read each from.

        Faust asks for this while partitions are being revoked as well, with those that it had: these are given up, and
        all that it learns is where to read. And a share may be another one by the time that everything is heard.
        """
        self._turn += 1
        turn = self._turn

        def look(processor: Processor) -> dict[int, Start]:
            applied = processor.states.applied
            return {
                partition: processor.answers.start(
                    partition, applied.get(partition, -1), offset, ends[partition]
                )
                for partition, offset in committed.items()
            }

        if not await self._listen(self._patience_s):
            logger.warning(
                "not everything is heard yet that other workers learned; some of it may be learned twice"
            )
        starts = await self._engine.read(look)
        taken = {partition: start.taken for partition, start in starts.items() if start.taken is not None}
        if turn == self._turn and not self._given_up:
            if taken:
                logger.info("taking over", extra={"partitions": sorted(taken)})
            self._ends = dict(ends)
            await self.own(committed, taken)
        return {partition: start.offset for partition, start in starts.items()}

    async def reached_end(self, partition: int, after: int) -> None:
        """A partition was read to where it ended when it was taken over.

        Args:
            partition: Which.
            after: The offset behind its last record. What lies between it and the end was no record, so nobody is
                told by one that the end is reached; unless more had been followed than was there when it was asked.
        """
        assignment = self._engine.assignment
        taken = assignment.taken.get(partition)
        if taken is not None and after < taken.until <= self._ends.get(partition, 0):
            ended = {**assignment.taken, partition: replace(taken, until=after)}
            self._engine.assignment = replace(assignment, taken=ended)
            await self._engine.look_again()

    async def own(self, partitions: Iterable[int], taken: Mapping[int, TakenOver]) -> None:
        """Own these partitions, some of them taken over, and follow the others from where the state has got."""
        self._turn += 1
        owned = frozenset(partitions)
        self.owned = len(owned)
        self._on_share(self.owned)
        self._engine.assign(Assignment(owned, taken, len(owned) / len(self._partitions)))
        applied = await self._engine.read(lambda processor: dict(processor.states.applied))
        self._follower.follow(
            {
                partition: applied.get(partition, -1) + 1
                for partition in self._partitions
                if partition not in owned
            }
        )
