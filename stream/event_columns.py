"""The events of one step as columns: what the batcher makes of rows, and what states and attribution apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from learners.context_fields import ContextArray
from learners.event_batch import BoolArray, IntArray
from stream.arrangement import Rearranged


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """The events of one step as columns, before they are applied.

    Attributes:
        users: (B,) user rows.
        items: (B,) item rows.
        types: (B,) event types' numbers.
        times_ms: (B,) event times.
        remembered: (B,) whether the event enters the history (impressions do not).
        as_of: (B,) how many history events the user had had before this one.
        context: (B, F) buckets of what the event says of the declared fields.
        rearranged: Histories of the users, by row, whose events came out of order.
    """

    users: IntArray
    items: IntArray
    types: IntArray
    times_ms: IntArray
    remembered: BoolArray
    as_of: IntArray
    context: ContextArray
    rearranged: Mapping[int, Rearranged] = field(default_factory=dict)
