"""What may not stand in a slate, however good it is: what is owned, withdrawn, or in the user's hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.own_items import OwnItems, Pairs, find_pair
from learners.event_batch import FloatArray, Happenings, Histories, IntArray
from learners.row_index import ABSENT
from learners.row_table import RowTable
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import LiveState, whole

FILTERS: tuple[str, ...] = ("unavailable", "owned", "in_hand", "seen")
"""By which a candidate can be left out; where several apply, the first of them counts. `seen` is retrieval's."""

_IN_HAND_S = 1_800.0  # what was done longer ago is not in anybody's hand any more


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRules:
    """What is left out.

    Attributes:
        owned_s: So many seconds after it was acquired an owned item may come back; 0 for never.
        repeat_last: Whether a slate may show the item that its user has just acted on.
        max_owned: Bound of the (user, item) pairs that are remembered; the oldest are given up.
    """

    owned_s: float = 0.0
    repeat_last: bool = False
    max_owned: int = 2_000_000


class Filters:
    """Remembers who owns what and what cannot be had.

    Whether an item is available is what its latest event says, by event time; one of the same time goes by
    the order of arrival. An item of which nothing was said is available.

    Args:
        rules: What is left out.
    """

    def __init__(self, rules: FilterRules) -> None:
        self._rules = rules
        self._owned = OwnItems(rules.max_owned)
        self._items = RowTable(withdrawn=np.bool_(False), said_s=np.float64(-np.inf))

    @property
    def evicted(self) -> int:
        """How many pairs of users and what they own were given up because there were too many."""
        return self._owned.evicted

    def learn_many(self, happenings: Happenings) -> None:
        """Take note of what was acquired, withdrawn and put back on sale."""
        if happenings.acquired.any():
            there = happenings.acquired
            self._owned.learn_many(happenings.users[there], happenings.items[there], happenings.now_s[there])
        for n in np.flatnonzero(happenings.supply).tolist():  # catalogue events are few
            row, now_s = int(happenings.items[n]), float(happenings.now_s[n])
            self._items.ensure(row + 1)
            if now_s >= self._items["said_s"][row]:
                self._items["said_s"][row], self._items["withdrawn"][row] = now_s, happenings.supply[n] < 0
                self._items.mark(row)

    def barred(self, rows: IntArray, histories: Histories) -> NDArray[np.int8]:
        """(S, C) number in `FILTERS` of what bars each candidate, -1 where nothing does.

        Args:
            rows: (S, C) item rows.
            histories: The S users at their moments.
        """
        out = np.full(rows.shape, -1, np.int8)
        _bar(
            self._owned.arrays,
            self._items["withdrawn"],
            rows,
            histories.users,
            histories.item_rows,
            histories.age_s,
            histories.now_s,
            self._rules.owned_s if self._rules.owned_s > 0.0 else np.inf,
            -1.0 if self._rules.repeat_last else _IN_HAND_S,
            out,
        )
        return out

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Users or items that are gone: their rows will be used for others."""
        self._owned.forget(users=users, items=items)
        if items is not None:
            self._items.forget(items)

    def live_state(self) -> LiveState:
        """Who owns what, and what was said of items."""
        return {**nest("owned", self._owned.live_state()), **self._items.live_state()}

    def state_dict(self) -> Arrays:
        """Who owns what, and what was said of items, as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._owned.load_state_dict(unnest("owned", arrays))
        self._items.load_state_dict(arrays)


@compiled
def _bar(
    owned: Pairs,
    withdrawn: NDArray[np.bool_],
    rows: IntArray,
    users: IntArray,
    histories: IntArray,
    ages_s: FloatArray,
    now_s: NDArray[np.float64],
    owned_s: float,
    in_hand_s: float,
    out: NDArray[np.int8],
) -> None:
    S, C = rows.shape
    newest = histories.shape[1] - 1
    for s in range(S):
        in_hand = ABSENT
        if newest >= 0 and ages_s[s, newest] <= in_hand_s:
            in_hand = histories[s, newest]
        for c in range(C):
            row = rows[s, c]
            if row == ABSENT:
                continue
            if row < len(withdrawn) and withdrawn[row]:
                out[s, c] = 0
                continue
            pair = find_pair(owned, users[s], row)
            if pair >= 0 and now_s[s] - owned.last_s[pair] <= owned_s:
                out[s, c] = 1
            elif row == in_hand:
                out[s, c] = 2
