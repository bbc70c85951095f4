"""Where events belong in their user's history if they come out of order: by event time, and by arrival among equals.

Histories are numbered: a user's oldest history event is number 0, the next one number 1. An event that comes late moves
the numbers of those behind it up by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from learners.event_batch import BoolArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Rearranged:
    """One user's history with a step's events in their places.

    Attributes:
        first: The number of the first entry.
        sources: (N,) where each entry stands: `n` is event n of the step, `-1 - s` is slot s of the user's ring.
        entering_ms: (M,) times of the step's events that enter the history, ascending.
    """

    first: int
    sources: IntArray
    entering_ms: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the events of a step belong.

    Attributes:
        as_of: (B,) how many history events of the user lie before each event, once the step is applied.
        late: (B,) which events lie too far behind their user's newest one to enter the history.
        rearranged: The histories, by user row, of the users whose events are out of order; empty where time ran
            forward.
    """

    as_of: IntArray
    late: BoolArray
    rearranged: Mapping[int, Rearranged] = field(default_factory=dict)


def arrange(
    *,
    first: int,
    slots: IntArray,
    kept_ms: IntArray,
    events: IntArray,
    times_ms: IntArray,
    entering: BoolArray,
    newest_ms: int,
    lateness_ms: int,
) -> tuple[Rearranged, IntArray, BoolArray]:
    """Put one user's events where they belong.

    An event from before all that is kept moves the numbers and is kept no more than what lay beside it: a history has
    no gaps.

    Args:
        first: Number of the oldest history event that is kept.
        slots: (P,) slots of the ring that hold what is kept, oldest first.
        kept_ms: (P,) their event times.
        events: (M,) the user's events of the step, by their rows there, as they came.
        times_ms: (M,) their times.
        entering: (M,) which of them are of a kind that enters the history.
        newest_ms: Time of the user's newest event before the step.
        lateness_ms: How far behind the newest event so far one may lie and enter.

    Returns:
        The history; (M,) how many of its events lie before each event; (M,) which events come too late.
    """
    newest_so_far = np.maximum.accumulate(np.concatenate([[newest_ms], times_ms]))[:-1]
    late: BoolArray = times_ms < newest_so_far - lateness_ms
    enters = entering & ~late
    kept = len(slots)
    order = np.argsort(np.concatenate([kept_ms, times_ms]), kind="stable")
    counted = np.concatenate([np.ones(kept, np.bool_), enters])[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(counted) - counted
    gone = int((enters & (times_ms < kept_ms[0])).sum()) if first else 0
    rearranged = Rearranged(
        first=first + gone,
        sources=np.concatenate([-1 - slots, events])[order[counted]][gone:],
        entering_ms=np.sort(times_ms[enters]),
    )
    return rearranged, first + place[kept:], late
