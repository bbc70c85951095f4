"""Which partitions are this worker's, and which slates it owes where it takes over from another one.

Every worker follows all partitions, so that nothing has to move when one of them changes hands. To own a partition
means to foresee its events, to learn from them by gradients and to answer them with slates.

The former owner may have answered events that this worker has not read yet. A slate of older state must not come after
a newer one, so nothing is answered until this worker is as far as the partition's end was when it took over.
Then everybody who did something since the last answer that is known for certain gets one slate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from connectors.event import Event


@dataclass(frozen=True, slots=True)
class TakenOver:
    """A stretch of a partition that somebody else may have answered.

    Attributes:
        since: Its first offset; everything before is answered for certain.
        until: The first offset behind it.
    """

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is this worker's at one time.

    Attributes:
        owned: Its partitions; None for all.
        taken: Those of them that were taken over.
        share: What part of all partitions they are.
    """

    owned: frozenset[int] | None = None
    taken: Mapping[int, TakenOver] = field(default_factory=dict)
    share: float = 1.0

    def owns(self, partition: int) -> bool:
        """Whether it learns from this partition and answers its events."""
        return self.owned is None or partition in self.owned

    def answers(self, partition: int, offset: int) -> bool:
        """Whether a record is answered as soon as it is learned."""
        taken = self.taken.get(partition)
        return self.owns(partition) and (taken is None or offset >= taken.until)

    def owes(self, partition: int, offset: int) -> bool:
        """Whether nobody is known to have answered a record, and this worker does so when it has caught up."""
        taken = self.taken.get(partition)
        return taken is not None and taken.since <= offset < taken.until and self.owns(partition)


EVERYTHING = Assignment()
"""Of a worker that is alone."""

NOTHING = Assignment(frozenset(), share=0.0)
"""Of one that only follows."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a partition begins that is owned from now on.

    Attributes:
        offset: The first to read; some of it may have been followed already.
        taken: What somebody else may have answered; None where that is nothing.
    """

    offset: int
    taken: TakenOver | None = None


_Owed = dict[int, dict[str, Event]]


class Answers:
    """How far this worker has answered each partition itself, and what it owes; belongs to the step's thread."""

    def __init__(self) -> None:
        self.reached: dict[int, int] = {}
        """Offsets up to which slates have been made here."""
        self._owed: _Owed = {}
        self._due: _Owed = {}
        self._read: dict[int, int] = {}  # the last offset of each that was looked at

    def start(self, partition: int, applied: int, committed: int | None, end: int) -> Start:
        """Where to begin.

        Args:
            partition: Which.
            applied: The last offset that was followed or learned.
            committed: What the group has committed: everything before it is answered; None where nothing is.
            end: The offset behind the last record of now.
        """
        own = self.reached.get(partition, -1) + 1
        certain = max(own, committed or 0)
        if max(applied + 1, certain) == own:
            return Start(own)
        return Start(min(applied + 1, certain), TakenOver(certain, end))

    def owe(self, partition: int, event: Event) -> None:
        """A user's last event that nobody is known to have answered."""
        self._owed.setdefault(partition, {})[event.user_id] = event

    def catch_up(self, assignment: Assignment, read: Mapping[int, int]) -> None:
        """What is owed in partitions that were read to where they ended becomes due.

        Args:
            assignment: Of now; what is not owned any more is the next owner's to answer.
            read: The last offset of each partition that was looked at now.
        """
        for waiting in (self._owed, self._due):
            for partition in [one for one in waiting if not assignment.owns(one)]:
                del waiting[partition]
        self._read.update(read)
        for partition in list(self._owed):
            if assignment.answers(partition, self._read.get(partition, -1) + 1):
                self._due.setdefault(partition, {}).update(self._owed.pop(partition))

    def take(self, answered: Set[str], most: int) -> list[Event]:
        """Events to answer now, at most so many, and none of users who have just been answered by newer state."""
        taken: list[Event] = []
        for partition, due in list(self._due.items()):
            for user_id in due.keys() & answered:
                del due[user_id]
            while due and len(taken) < most:
                taken.append(due.pop(next(iter(due))))
            if not due:
                del self._due[partition]
        return taken

    def reach(self, assignment: Assignment, read: Mapping[int, int]) -> None:
        """Slates have been made up to these offsets, but for partitions in which some are due."""
        for partition, offset in read.items():
            if assignment.answers(partition, offset + 1) and partition not in self._due:
                self.reached[partition] = max(self.reached.get(partition, -1), offset)

    @property
    def due(self) -> int:
        """How many events are to be answered without waiting for anything."""
        return sum(map(len, self._due.values()))

    @property
    def owing(self) -> bool:
        """Whether anybody waits for an answer to something that was read already."""
        return bool(self._owed or self._due)

    def begin_anew(self) -> None:
        """The topic is another one from now on."""
        self.reached.clear()
        self._owed.clear()
        self._due.clear()
        self._read.clear()

    def state_dict(self) -> NDArray[np.int64]:
        """(P, 2) partitions and offsets."""
        return np.array(sorted(self.reached.items()), np.int64).reshape(-1, 2)

    def saved(self) -> NDArray[np.uint8]:
        """Whom it owes slates, as JSON: a step that is made again from a checkpoint on reads nothing again."""
        owed = [self._owed, self._due]
        return np.frombuffer(msgspec.json.encode(owed) if any(owed) else b"", np.uint8)

    def load_state_dict(
        self, reached: Sequence[Sequence[int]] | NDArray[np.int64], owed: NDArray[np.uint8] | None = None
    ) -> None:
        """The inverse of `state_dict` and `saved`.

        Who has just started owns nothing yet, so it owes nobody what it owed before, and reads that again.
        """
        self.reached = {int(partition): int(offset) for partition, offset in reached}
        self._owed, self._due = {}, {}
        if owed is not None and len(owed):
            self._owed, self._due = msgspec.json.decode(owed.tobytes(), type=tuple[_Owed, _Owed])
