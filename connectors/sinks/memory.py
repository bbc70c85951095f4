"""A list as a sink: for tests and for small programs."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.event import Event


class MemorySink:
    """Keeps every event it was given.

    Attributes:
        events: What was written so far, in order.
        closed: Whether it was closed.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    async def write(self, events: Sequence[Event]) -> None:
        """Keep the events.

        Raises:
            ValueError: The sink is closed.
        """
        if self.closed:
            raise ValueError("the sink is closed")
        self.events.extend(events)

    async def close(self) -> None:
        """Take no more events."""
        self.closed = True
