"""What was done since the newest checkpoint, in memory and bounded: what leads from there to now."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connectors.decode import RawRecord
from stream.ownership import EVERYTHING, Assignment
from stream.processor import Place, Processed, Processor
from stream.shared_model import Merged, Told

_RECORD_BYTES = 400  # of a record beside its key and value


class Done(Protocol):
    """What was done to a processor, and can be done again."""

    def make(self, processor: Processor) -> object:
        """Do it."""
        ...

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        ...


@dataclass(frozen=True, slots=True)
class Stepped:
    """What `Processor.process` was called with.

    Attributes:
        records: The records.
        now_ms: The clock of then, UTC milliseconds.
        refused: Records that the learner cannot take, and why.
        assignment: What of the records was this worker's.
    """

    records: Sequence[RawRecord]
    now_ms: int
    refused: Mapping[Place, str] = field(default_factory=dict)
    assignment: Assignment = EVERYTHING

    def make(self, processor: Processor) -> Processed:
        """Make the step."""
        return processor.process(self.records, self.now_ms, self.refused, self.assignment)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(
            len(record.value or b"") + len(record.key or b"") + _RECORD_BYTES for record in self.records
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What `Processor.merge` was called with."""

    records: Sequence[RawRecord]

    def make(self, processor: Processor) -> Merged:
        """Merge it."""
        return processor.merge(self.records)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(len(record.value or b"") + _RECORD_BYTES for record in self.records)


@dataclass(frozen=True, slots=True)
class FellBehind:
    """That `Processor.fall_behind` was called."""

    def make(self, processor: Processor) -> None:
        """Fall behind again."""
        processor.fall_behind()

    @property
    def size(self) -> int:
        """Nothing to speak of."""
        return 0


@dataclass(frozen=True, slots=True)
class Telling:
    """What `Processor.tell` was called with."""

    share: float
    beginning: bool = False

    def make(self, processor: Processor) -> Told | None:
        """Cut off what was learned."""
        return processor.tell(self.share, beginning=self.beginning)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return _RECORD_BYTES


class Journal:
    """Remembers what was done until a checkpoint holds them. Any thread may tell it of a step or of a checkpoint.

    Args:
        max_bytes: Beyond, all of them are given up, and nothing leads from the checkpoint to now until there is a
            newer one.
    """

    def __init__(self, max_bytes: int = 128 << 20) -> None:
        self.max_bytes = max_bytes
        self._steps: deque[tuple[Done, int]] = deque()
        self._first = 0  # number of the oldest that is remembered
        self._held = 0  # of them, how many the newest checkpoint holds
        self._bytes = 0
        self._lock = threading.Lock()

    def note(self, done: Done) -> None:
        """Something was done."""
        size = done.size
        with self._lock:
            self._steps.append((done, size))
            self._bytes += size
            if self._bytes > self.max_bytes:
                self._first += len(self._steps)
                self._steps.clear()
                self._bytes = 0

    def mark(self) -> int:
        """The present moment, for `forget`."""
        with self._lock:
            return self._first + len(self._steps)

    def forget(self, mark: int) -> None:
        """A checkpoint of the moment `mark` is on disk."""
        with self._lock:
            self._held = mark
            while self._steps and self._first < mark:
                self._bytes -= self._steps.popleft()[1]
                self._first += 1

    @property
    def whole(self) -> bool:
        """Whether everything since the newest checkpoint is remembered."""
        return self._first <= self._held

    @property
    def crowded(self) -> bool:
        """Whether a checkpoint soon would be good."""
        return self._bytes > self.max_bytes // 2

    @property
    def steps(self) -> list[Done]:
        """What is remembered, oldest first."""
        with self._lock:
            return [step for step, _ in self._steps]
