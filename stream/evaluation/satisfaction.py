"""Satisfaction: how many of the recommended items their users soon were happy with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.event import Event
from stream.evaluation.protocol import Ints, Protocol

WITHIN_S = 3_600.0
LONG_DWELL_S = 30.0
GOOD_RATING = 4.0
_ALWAYS = frozenset({"like", "purchase"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfaction:
    """Of the first ten places of the scored events' lists.

    Attributes:
        places: Recommended items, over all lists.
        satisfying_events: Events after the warm-up that show satisfaction; without any, nothing can be told.
        of_places: Share of the places whose item satisfied the user within an hour; NaN without such events.
        of_lists: Share of the lists that had at least one such item.
    """

    places: int
    satisfying_events: int
    of_places: float
    of_lists: float


def satisfies(event: Event) -> bool:
    """Whether an event shows satisfaction.

    A like, a purchase, a rating of at least 4, or a dwell of at least 30 s (the "satisfied click" of Fox et
    al., ACM TOIS 2005).
    """
    if event.event_type in _ALWAYS:
        return True
    least = {"rating": GOOD_RATING, "dwell": LONG_DWELL_S}.get(event.event_type)
    return least is not None and event.value is not None and event.value >= least


def satisfaction(
    events: Sequence[Event], protocol: Protocol, scored: Ints, recommended: NDArray[np.int32]
) -> Satisfaction:
    """Credit satisfying events to the lists that named their items.

    A place of a list counts where its user has a satisfying event on its item from the moment of the list up
    to an hour later, the event that was foreseen included. The lists were made before these events were
    learned; since nobody saw them, this says what users wanted anyway and not what a list brought about.

    Args:
        events: Of the protocol.
        protocol: What counted.
        scored: (M,) indices of the events that have a list.
        recommended: (M, 10) item numbers, negative where a list is shorter.
    """
    happy = np.array([satisfies(event) for event in events], np.bool_)
    satisfying = np.flatnonzero(happy)
    by_user: dict[int, list[int]] = {}
    for event in satisfying.tolist():
        by_user.setdefault(int(protocol.users[event]), []).append(event)
    moments = {user: (protocol.times_s[one], protocol.items[one]) for user, one in by_user.items()}
    good = np.zeros(len(scored), np.int64)
    for n, event in enumerate(scored.tolist()):
        found = moments.get(int(protocol.users[event]))
        if found is not None:
            times_s, items = found
            now_s = protocol.times_s[event]
            first, last = (
                np.searchsorted(times_s, now_s, "left"),
                np.searchsorted(times_s, now_s + WITHIN_S, "right"),
            )
            if last > first:
                good[n] = np.isin(recommended[n], items[first:last]).sum()
    places = int((recommended >= 0).sum())
    count = int((satisfying >= protocol.warm_up).sum())
    told = bool(count and places)
    return Satisfaction(
        places=places,
        satisfying_events=count,
        of_places=float(good.sum() / places) if told else float("nan"),
        of_lists=float((good > 0).mean()) if told else float("nan"),
    )
