"""A list as a source: for tests and for small programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.event import Event


class MemorySource:
    """Events that are in memory already; the list is copied, so later changes to it change nothing.

    Args:
        events: The events, in the order in which they are to come.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = tuple(events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def count(self) -> int:
        """How many events there are."""
        return len(self._events)
