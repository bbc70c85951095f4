"""What every source and every sink of events has in common; the Kafka source yields raw records instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from connectors.event import Event


class Source(Protocol):
    """A finite log of events. Each iteration reads it from its beginning and keeps a bounded part in memory."""

    def __iter__(self) -> Iterator[Event]:
        """The events, in the log's order."""


class Sink(Protocol):
    """Takes events. What was written is safe once `close` has returned without an error."""

    async def write(self, events: Sequence[Event]) -> None:
        """Take events, in this order; events of one user keep their order over all calls."""

    async def close(self) -> None:
        """Finish what was written and let go of every resource; a second call does nothing."""
