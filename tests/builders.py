"""Rows for tests: a test says only what differs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.decode import EventDecoder
from connectors.event import Event, encode_event
from connectors.event_types import STANDARD_TYPES

NOW_MS = 1_769_860_800_000
"""2026-01-31T12:00:00Z."""

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A broker's record."""

    value: bytes | None
    offset: int = 0
    partition: int = 0
    topic: str = "events"
    key: bytes | None = None
    timestamp: int = NOW_MS


def event(user: str = "ann", item: str = "tea", kind: str = "click", **fields: Any) -> Event:
    """An event at `NOW_MS`; `fields` replaces or adds what differs."""
    named = {"event_id": "e1", "event_type": kind, "occurred_at_ms": NOW_MS, "user_id": user, "item_id": item}
    return Event(**{**named, **fields})


def wire(**fields: Any) -> bytes:
    """A valid event as JSON; a field given as None is left out."""
    body: dict[str, Any] = {
        "event_id": "e1",
        "event_type": "click",
        "occurred_at_ms": NOW_MS,
        "user_id": "ann",
        "item_id": "tea",
    }
    body |= fields
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def decoder(**limits: Any) -> EventDecoder:
    """A decoder of the standard types."""
    return EventDecoder(STANDARD_TYPES, **limits)


def records(
    events: Iterable[Event | bytes], *, partition: int = 0, first: int = 0, topic: str = "events"
) -> list[Record]:
    """Records of one partition; bytes stand for themselves, so that garbage can be among them."""
    return [
        Record(
            value=entry if isinstance(entry, bytes) else encode_event(entry),
            offset=first + n,
            partition=partition,
            topic=topic,
        )
        for n, entry in enumerate(events)
    ]


def numbered(events: Sequence[Event], first: int = 0) -> list[Event]:
    """The same events with ids of their own, `first` on, and a second between them; the builders' are all alike."""
    return [
        Event(
            event_id=f"e{n}",
            event_type=one.event_type,
            occurred_at_ms=one.occurred_at_ms + 1_000 * n,
            user_id=one.user_id,
            item_id=one.item_id,
            position=one.position,
            value=one.value,
        )
        for n, one in enumerate(events, first)
    ]


SURROUNDINGS = {
    "freshet": "0.1.0",
    "python": "3.11.9",
    "torch": "2.13.0",
    "numpy": "2.4.6",
    "river": "0.26.1",
    "cpu": "A processor",
    "cores": 2,
    "system": "Linux x86_64",
}
"""Of a run, as a page of results tells them."""
