"""Ids of slates: what a slate is made for, as a number, and as it is published."""

from __future__ import annotations

import hashlib

from connectors.event import Event


def slate_number(event: Event, version: str) -> int:
    """A recommendation's id, as a number: the same for the same trigger and model version, whenever it is made.

    An id that was made of an event's place comes again in a topic that was made anew; its time does not.
    """
    named = "\0".join((event.user_id, event.event_id, str(event.occurred_at_ms), version))
    text = named.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def slate_id(number: int) -> str:
    """As it is published."""
    return f"{number:016x}"


def number_of(recommendation_id: str) -> int | None:
    """The number that `slate_id` has made this of, None where it has not."""
    try:
        number = int(recommendation_id, 16)
    except ValueError:
        return None
    return number if slate_id(number) == recommendation_id else None
