"""What is sent in a drill: events of a made shop, and records that are none."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from connectors.event import Event, encode_event

NOW_MS = 1_700_000_000_000

GARBAGE: dict[bytes, str] = {
    b"not json at all": "not_json",
    b"[1, 2, 3]": "not_an_object",
    b'{"event_type":"view","item_id":"i1","occurred_at_ms":1700000000000}': "missing_user",
    b'{"user_id":"u1","event_type":"view","occurred_at_ms":1700000000000}': "missing_item",
    b'{"user_id":"u1","item_id":"i1","event_type":"tag","occurred_at_ms":1700000000000}': "undeclared_type",
    b'{"user_id":"u1","item_id":"i1","event_type":"view","occurred_at":"2023-11-14T22:13:20"}': "naive_time",
    b'{"user_id":"u1","item_id":"i1","event_type":"view","occurred_at_ms":1700000000}': "absurd_time",
    b'{"user_id":7,"item_id":"i1","event_type":"view","occurred_at_ms":1700000000000}': "wrong_type",
    b'{"user_id":"u1","item_id":"i1","event_type":"rating","value":NaN,"occurred_at_ms":1700000000000}': (
        "non_finite_value"
    ),
    b'{"user_id":"u1","item_id":"' + b"x" * 70_000 + b'"}': "oversized",
}
"""Records, and the reason for which each becomes a dead letter."""

_MIX = {"impression": 50, "view": 35, "add_to_cart": 8, "like": 4, "purchase": 3}


def log(count: int, start: int = 0) -> list[Event]:
    """Twenty users who walk through thirty items in circles of their own."""
    return [
        Event(
            event_id=f"e{n}",
            event_type="view" if n % 3 else "like",
            occurred_at_ms=NOW_MS + 1_000 * n,
            user_id=f"u{n * 7 % 20}",
            item_id=f"i{(n * 7 % 20 + n // 20) % 30}",
        )
        for n in range(start, start + count)
    ]


def shoppers(rng: random.Random, users: int = 500, items: int = 300) -> Iterator[Event]:
    """Events without end, a second apart; few users and items have most of them."""
    kinds, weights = list(_MIX), list(_MIX.values())
    n = 0
    while True:
        yield Event(
            event_id=f"e{n}",
            event_type=rng.choices(kinds, weights)[0],
            occurred_at_ms=NOW_MS + 1_000 * n,
            user_id=f"u{int(users * rng.random() ** 2)}",
            item_id=f"i{int(items * rng.random() ** 3)}",
        )
        n += 1


def records(events: Sequence[Event]) -> list[tuple[bytes | None, bytes]]:
    """As they stand on the topic."""
    return [(event.user_id.encode(), encode_event(event)) for event in events]
