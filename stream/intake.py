"""What was offered to the engine and waits for its step: lists of one partition each, in the order they came in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from connectors.decode import RawRecord, entries

Ack: TypeAlias = Callable[[], None]


def no_ack() -> None:
    """Nobody waits for it."""


@dataclass(slots=True)
class _Waiting:
    """Records that were offered together and how many of them were taken."""

    records: Sequence[RawRecord]
    ack: Ack
    since: float
    followed: bool
    taken: int = 0


class Intake:
    """Belongs to the event loop.

    Attributes:
        offered: Records so far, whether or not there was room for them yet.
        waiting: Records that are in and wait.
    """

    def __init__(self) -> None:
        self.offered = 0
        self.waiting = 0
        self._lists: deque[_Waiting] = deque()
        self._handed: dict[int, int] = {}

    @property
    def since(self) -> float | None:
        """When the oldest list came; None where none waits, one without records neither."""
        return self._lists[0].since if self._lists else None

    def add(self, records: Sequence[RawRecord], ack: Ack, *, followed: bool) -> None:
        """Let a list in, whose records were counted as offered before."""
        self._lists.append(_Waiting(records, ack, time.monotonic(), followed))
        self.waiting += len(records)

    def take(self, room: int) -> tuple[list[RawRecord], list[Ack]]:
        """Up to `room` events of records, and the acknowledgements of the lists that these used up.

        A record that is a list of events counts as all of them; the last one of a batch may exceed it.
        """
        records: list[RawRecord] = []
        consumed = []
        while self._lists and room > 0:
            head = self._lists[0]
            while head.taken < len(head.records) and room > 0:
                record = head.records[head.taken]
                records.append(record)
                self._handed[record.partition] = max(record.offset + 1, self.handed(record.partition))
                room -= entries(record.value)
                head.taken += 1
            if head.taken == len(head.records):
                consumed.append(head.ack)
                self._lists.popleft()
        self.waiting -= len(records)
        return records, consumed

    def handed(self, partition: int) -> int:
        """The offset behind the last record of a partition that a step was given."""
        return self._handed.get(partition, 0)

    def leave_unacknowledged(self) -> None:
        """Acknowledge nothing of what waits."""
        for waiting in self._lists:
            waiting.ack = no_ack

    def drop_followed(self, owned: Callable[[int], bool]) -> None:
        """What waits and was followed is brought again where its partition is owned by now."""
        for waiting in self._lists:
            rest = len(waiting.records) - waiting.taken
            if waiting.followed and rest and owned(waiting.records[0].partition):
                waiting.records = waiting.records[: waiting.taken]
                self.waiting -= rest
                self.offered -= rest
