"""The protocol: which events are scored, which happen at one moment, and what had been seen by then.

All of it follows from the log alone, before any model is asked, so that freshet and its peers are scored on
the very same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from connectors.event import Event

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

WARM_UP_SHARE = 0.2
NEW_ITEM_S = 86_400.0
NEW_USER_EVENTS = 5
IMPRESSION = "impression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """N events, of which M are scored. "Earlier" is always at a strictly earlier time.

    Attributes:
        users: (N,) numbers of the users.
        items: (N,) numbers of the items, both from 0 in the order of their first appearance.
        times_s: (N,) event times, seconds since 1970.
        moments: (G + 1,) where each moment begins: the events `moments[g] .. moments[g + 1] - 1` have one time.
        known: (N,) how many items had appeared earlier: the items `0 .. known - 1`.
        choices: (N,) by which events users choose items.
        scored: (M,) indices of the events that count, if the learner ranks them.
        earlier: (N,) how many earlier events their user had had.
        repeats: (N,) whether the user had had the item earlier.
        item_age_s: (N,) seconds since the item's first appearance, NaN where this is the first.
        warm_up: How many events at the beginning are not scored.
        item_ids: The items' ids by number.
    """

    users: Ints
    items: Ints
    times_s: NDArray[np.float64]
    moments: Ints
    known: Ints
    choices: Bools
    scored: Ints
    earlier: Ints
    repeats: Bools
    item_age_s: NDArray[np.float64]
    warm_up: int
    item_ids: tuple[str, ...]
    _own_items: Ints
    _own_start: Ints

    def __len__(self) -> int:
        return len(self.users)

    def seen(self, event: int) -> Ints:
        """Items that the event's user had had earlier, one entry for each earlier event."""
        start = self._own_start[event]
        return self._own_items[start : start + self.earlier[event]]

    def slices(self) -> dict[str, Bools]:
        """(M,) masks over the scored events, by name."""
        age_s = self.item_age_s[self.scored]
        repeats = self.repeats[self.scored]
        return {
            "first appearances": np.isnan(age_s),
            "new items (< 24 h)": age_s < NEW_ITEM_S,
            "new users (< 5 events)": self.earlier[self.scored] < NEW_USER_EVENTS,
            "repeats": repeats,
            "not repeats": ~repeats,
        }


def apply_protocol(
    events: Sequence[Event],
    choice_types: frozenset[str],
    *,
    exclude_seen: bool = False,
    catalogue_types: frozenset[str] = frozenset(),
) -> Protocol:
    """Decide what counts.

    An event that only shows an item (an impression) or says whether it can be had is no earlier event, as it enters no
    history. A choice
    from a list that was shown (one with a position) is not scored: it says what was better than the rest of
    that list.

    Args:
        events: In the order of time.
        choice_types: Event types by which users choose items.
        exclude_seen: Items that the user had had earlier are not recommended; choices of them do not count.
        catalogue_types: Event types that speak of items only.
    """
    N = len(events)
    user_numbers: dict[str, int] = {}
    item_numbers: dict[str, int] = {}
    users = np.array(
        [user_numbers.setdefault(event.user_id, len(user_numbers)) for event in events], np.int64
    )
    items = np.array(
        [item_numbers.setdefault(event.item_id, len(item_numbers)) for event in events], np.int64
    )
    times_ms = np.array([event.occurred_at_ms for event in events], np.int64)
    silent = {IMPRESSION, *catalogue_types}
    remembered = np.array([event.event_type not in silent for event in events], np.bool_)
    choices = np.array([event.event_type in choice_types for event in events], np.bool_)
    unplaced = np.array([event.position is None for event in events], np.bool_)

    moments = np.flatnonzero(np.diff(times_ms, prepend=times_ms[:1] - 1, append=times_ms[-1:] + 1))
    starts = np.repeat(moments[:-1], np.diff(moments))
    _, first = np.unique(items, return_index=True)  # item numbers rise with first appearance
    age_ms = times_ms - times_ms[first[items]]
    known = np.searchsorted(first, starts)
    kept = np.flatnonzero(remembered)
    earlier, own_start, order = _earlier_in_group(users, starts, kept)
    before, _, _ = _earlier_in_group(users * len(item_numbers) + items, starts, kept)
    warm_up = int(N * WARM_UP_SHARE)
    counts = choices & unplaced & (np.arange(N) >= warm_up) & (earlier > 0)
    if exclude_seen:
        counts &= before == 0
    return Protocol(
        users=users,
        items=items,
        times_s=times_ms / 1000.0,
        moments=moments,
        known=known,
        choices=choices,
        scored=np.flatnonzero(counts),
        earlier=earlier,
        repeats=before > 0,
        item_age_s=np.where(items < known, age_ms / 1000.0, np.nan),
        warm_up=warm_up,
        item_ids=tuple(item_numbers),
        _own_items=items[order],
        _own_start=own_start,
    )


def _earlier_in_group(keys: Ints, starts: Ints, kept: Ints) -> tuple[Ints, Ints, Ints]:
    """For each event, how many kept events of its group lie before its moment.

    Args:
        keys: (N,) which group each event belongs to.
        starts: (N,) the first event of each event's moment.
        kept: The events that are counted, ascending.

    Returns:
        (N,) counts, (N,) where the group begins in the order, and the kept events ordered by group and time.
    """
    order = kept[np.argsort(keys[kept], kind="stable")]
    N = len(keys)
    place = keys[order] * N + order  # ascending: by group, then by event
    own_start = np.searchsorted(place, keys * N)
    return np.searchsorted(place, keys * N + starts) - own_start, own_start, order
