"""One user's state in outside words: ids and type names instead of rows and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from learners.row_index import RowIndex
from stream.slate_ids import slate_id
from stream.user_states import UserStates


def user_view(
    states: UserStates, items: RowIndex, event_types: Sequence[str], user_id: str
) -> dict[str, Any] | None:
    """What is known of a user.

    Args:
        states: All users.
        items: The catalogue.
        event_types: Declared types, in the order of their numbers.
        user_id: Whom to look for.

    Returns:
        None where nothing is known. Otherwise `events` (how many were applied), `history` (oldest first),
        `history_counts` (by type), `pending` (impressions that wait for labels), and the latest `slate`.
    """
    user = states.user(user_id)
    if user is None:
        return None

    def type_name(number: int) -> str:
        return event_types[number] if number < len(event_types) else f"type {number}, no longer declared"

    history = [
        {"item_id": items.id(row), "event_type": type_name(number), "occurred_at_ms": at_ms}
        for row, number, at_ms in zip(user.item_rows, user.types, user.times_ms, strict=True)
    ]
    return {
        "user_id": user_id,
        "partition": user.partition,
        "events": user.events,
        "history": history,
        "history_counts": dict(Counter(entry["event_type"] for entry in history)),
        "pending": [
            {"item_id": items.id(row), "shown_at_ms": at_ms} for row, at_ms in zip(*user.pending, strict=True)
        ],
        "recommendation_id": slate_id(user.slate_id) if user.slate_id else None,
        "slate_generated_at_ms": user.slate_at_ms or None,
        "slate": [{"item_id": items.id(row), "rank": rank} for rank, row in enumerate(user.slate_rows)],
    }
