"""When each event of a log is due if the log is told again, faster or slower than it happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from connectors.event import Event

_TICK_S = 0.02


def due_chunks(
    events: Iterable[Event], speed: float, *, size: int, tick_s: float = _TICK_S
) -> Iterator[tuple[float, list[Event]]]:
    """Cut a log into chunks of events that are due together.

    Args:
        events: In the order of their time; one that is earlier than those before it is due with them.
        speed: How many times faster than it happened; `inf` for everything at once.
        size: Most events of a chunk.
        tick_s: Events this close together, in seconds of the retelling, share a chunk.

    Yields:
        Seconds after the start at which the chunk is due, never falling, and its events.
    """
    chunk: list[Event] = []
    due_s, first_ms = 0.0, None
    for event in events:
        if first_ms is None:
            first_ms = event.occurred_at_ms
        at_s = 0.0 if math.isinf(speed) else (event.occurred_at_ms - first_ms) / 1_000.0 / speed
        if chunk and (len(chunk) >= size or at_s > due_s + tick_s):
            yield due_s, chunk
            chunk = []
        if not chunk:
            due_s = max(due_s, at_s)
        chunk.append(event)
    if chunk:
        yield due_s, chunk
