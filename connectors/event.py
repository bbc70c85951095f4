"""One row of behaviour: who did what with which item, and when."""

from __future__ import annotations

import msgspec

SCHEMA_VERSION = 1

ContextValue = str | int | float | bool | None


def known_position(position: int | None) -> int | None:
    """A place in a list; some write -1 where they do not know it."""
    return position if position is not None and position >= 0 else None


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One behaviour event, as it stands on the events topic (JSON, keyed by `user_id`).

    Attributes:
        event_id: Names the event, in the slate that it triggers too.
        event_type: A standard type (`connectors.event_types`) or one declared in the settings.
        occurred_at_ms: Event time, UTC milliseconds since 1970.
        user_id: Whose behaviour; the record's key.
        item_id: What it concerned.
        session_id: The visit it belongs to, where the client knows one.
        recommendation_id: The slate that showed the item. Labels are joined by user and item for now.
        position: Zero-based place of the item in that slate or list.
        value: Rating, dwell in seconds, price...: what `event_type` measures.
        context: Flat facts about the moment (device, country...).
        schema_version: Version of this row's layout.
    """

    event_id: str
    event_type: str
    occurred_at_ms: int
    user_id: str
    item_id: str
    session_id: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    value: float | None = None
    context: dict[str, ContextValue] = {}
    schema_version: int = SCHEMA_VERSION


encode_event = msgspec.json.Encoder().encode
