"""Where events belong in their user's history if they come out of order: by event time, and by arrival among equals.

Histories are numbered: a user's oldest history event is number 0, the next one number 1. An event that comes late moves
the numbers of those behind it up by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, IntArray


class Kept(NamedTuple):
    """What is kept of one user's history.

    Attributes:
        first: The number of the oldest entry.
        slots: (P,) the slots of the user's ring that hold the entries, oldest first.
        times_ms: (P,) their event times.
    """

    first: int
    slots: IntArray
    times_ms: IntArray


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

    def entries(
        self, numbers: IntArray, of_step: NDArray[Any], of_ring: NDArray[Any], empty: int
    ) -> IntArray:
        """(N, ...) one column of the entries with these numbers.

        Args:
            numbers: (N,) numbers in the user's whole history.
            of_step: (B, ...) the column of the step's events.
            of_ring: (R, ...) the column of the user's ring, as it was before the step.
            empty: Stands for entries that are not kept.
        """
        at = numbers - self.first
        kept = np.flatnonzero((at >= 0) & (at < len(self.sources)))
        source = self.sources[at[kept]]
        new = source >= 0
        found = np.full((len(numbers), *of_step.shape[1:]), empty, np.int64)
        found[kept[new]] = of_step[source[new]]
        found[kept[~new]] = of_ring[-1 - source[~new]]
        return found


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


def place(
    users: IntArray,
    times_ms: IntArray,
    entering: BoolArray,
    *,
    lengths: IntArray,
    newest_ms: IntArray,
    kept: Callable[[int], Kept],
    lateness_ms: int,
) -> Placement:
    """Place a step's events. Users whose time ran forward cost a comparison, all others an `arrange`.

    Args:
        users: (B,) user rows, in the order of arrival.
        times_ms: (B,) event times.
        entering: (B,) which events are of a kind that enters the history.
        lengths: (B,) length of each event's user's history before the step.
        newest_ms: (B,) time of the user's newest event before the step.
        kept: What is kept of a user row's history.
        lateness_ms: How far behind its user's newest event so far one may lie and enter.
    """
    order, starts = grouped(users)
    as_of = lengths + ordinals(users, entering, order, starts)
    late = np.zeros(len(users), np.bool_)
    in_order_ms = times_ms[order]
    before_ms = np.concatenate([[0], in_order_ms[:-1]])
    before_ms[starts] = newest_ms[order[starts]]
    back = in_order_ms < before_ms
    if not back.any():
        return Placement(as_of=as_of, late=late)
    rearranged = {}
    for user in np.unique(users[order[back]]).tolist():
        events = np.flatnonzero(users == user)
        rearranged[user], as_of[events], late[events] = arrange(
            kept(user),
            events,
            times_ms[events],
            entering[events],
            newest_ms=int(newest_ms[events[0]]),
            lateness_ms=lateness_ms,
        )
    return Placement(as_of=as_of, late=late, rearranged=rearranged)


def arrange(
    kept: Kept,
    events: IntArray,
    times_ms: IntArray,
    entering: BoolArray,
    *,
    newest_ms: int,
    lateness_ms: int,
) -> tuple[Rearranged, IntArray, BoolArray]:
    """Put one user's events where they belong.

    An event from before all that is kept moves the numbers and is kept no more than what lay beside it: a history has
    no gaps.

    Args:
        kept: What is kept of the user's history.
        events: (M,) the user's events of the step, by their rows there, as they came.
        times_ms: (M,) their times.
        entering: (M,) which of them are of a kind that enters the history.
        newest_ms: Time of the user's newest event before the step.
        lateness_ms: How far behind the newest event so far one may lie and enter.

    Returns:
        The history; (M,) how many of its events lie before each event; (M,) which events come too late.
    """
    newest_so_far_ms = np.maximum.accumulate(np.concatenate([[newest_ms], times_ms]))[:-1]
    late: BoolArray = times_ms < newest_so_far_ms - lateness_ms
    enters = entering & ~late
    entries = len(kept.slots)
    order = np.argsort(np.concatenate([kept.times_ms, times_ms]), kind="stable")
    counted = np.concatenate([np.ones(entries, np.bool_), enters])[order]
    number = np.empty(len(order), np.int64)
    number[order] = kept.first + np.cumsum(counted) - counted
    gone = int((enters & (times_ms < kept.times_ms[0])).sum()) if kept.first else 0
    rearranged = Rearranged(
        first=kept.first + gone,
        sources=np.concatenate([-1 - kept.slots, events])[order[counted]][gone:],
        entering_ms=np.sort(times_ms[enters]),
    )
    return rearranged, number[entries:], late


def grouped(users: IntArray) -> tuple[IntArray, IntArray]:
    """(B,) the rows with those of one user side by side, in order, and (U,) where each user's begin there."""
    order = np.argsort(users, kind="stable")
    if not len(users):
        return order, order
    return order, np.flatnonzero(np.concatenate([[True], users[order][1:] != users[order][:-1]]))


def ordinals(users: IntArray, counted: BoolArray, order: IntArray, starts: IntArray) -> IntArray:
    """(B,) how many counted rows of the same user stand before each row; the last two are `grouped(users)`."""
    running: IntArray = np.cumsum(counted[order]) - counted[order]
    group: IntArray = np.repeat(running[starts], np.diff(np.append(starts, len(users))))
    found = np.empty(len(users), np.int64)
    found[order] = running - group
    return found
