"""What the sender and the reader are told."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand(Message):
    """One run at one pace.

    Attributes:
        topic: Where to send events to, or where to read slates from.
        name: Of the run; event ids are `name-N`, N from 0 on.
        rate: Events a second.
        duration_s: How long, seconds.
        values: A file with the events' other fields, one JSON object a line, which are used in turn.
        users: How many users they are spread over.
        seed: Of the schedule and of whose event each is.
        first: Events that were sent before this run: its own come after them in event time.
        out: File for what was sent or read.
    """

    topic: str
    name: str
    rate: float
    duration_s: float
    values: str
    users: int
    seed: int
    first: int
    out: str
