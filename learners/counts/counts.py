"""All counts together: each choice is counted once, in every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.companions import CompanionArrays, Companions, follow, may_follow
from learners.counts.expectations import ExpectationArrays, Expectations
from learners.counts.habits import empty_habits, form_habit
from learners.counts.neighbours import Neighbours, NeighbourTable, has_room, strengthen
from learners.counts.own_items import OwnItems, Pairs, find_pair, remember_pair
from learners.counts.popularity import TIMED, Popularity, PopularityArrays, popularity_of
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.row_table import RowTable
from learners.stamps import Stamps
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import CHANGED, LiveState, Marks, whole

TRANSITION_HALF_LIVES_S = np.array([1.0, 24.0, 1_440.0, 87_600.0]) * 3_600.0
"""An hour, a day, two months, ten years."""

TRANSITIONS_KEPT = (0.7, 0.93, 0.985)
"""The latest two, ten or fifty that came after an item."""

TOGETHER_HALF_LIVES_S = np.array([168.0, 87_600.0]) * 3_600.0
"""A week and ten years."""

FOLLOWED = 20
"""How many of a user's latest different items a choice is counted to follow."""

ACCOMPANIED = 30
"""How many of a user's latest items a choice is counted to go together with."""

_LASTING = TIMED - 1  # the popularity that forgets slowest


class CountArrays(NamedTuple):
    """What compiled loops take.

    Attributes:
        popularity: Choices of items.
        transitions: From item to item, in the order of the choices, weighted by 1 / distance.
        together: Between items of one user, whatever the order, each new pair once.
        companions: Users who chose the same before.
        own: Pairs of users and items.
        habits: (U, 5) what kind of items users choose.
        habits_marks: (U,) which of them changed since they were saved.
        expectations: Choices over what the ranker expected.
    """

    popularity: PopularityArrays
    transitions: Neighbours
    together: Neighbours
    companions: CompanionArrays
    own: Pairs
    habits: FloatArray
    habits_marks: Marks
    expectations: ExpectationArrays


class Counts:
    """Learns every choice, with bounded memory.

    Args:
        max_pairs: Bound of the (user, item) pairs.
        leaders: Items kept at hand by each popularity, recency and novelty.
        neighbours: Items kept of what goes with an item.
    """

    def __init__(self, *, max_pairs: int, leaders: int = 64, neighbours: int = 80) -> None:
        self.popularity = Popularity(leaders)
        self.transitions = NeighbourTable(neighbours, TRANSITION_HALF_LIVES_S, TRANSITIONS_KEPT)
        self.together = NeighbourTable(neighbours, TOGETHER_HALF_LIVES_S)
        self.companions = Companions()
        self.own = OwnItems(max_pairs)
        self.expectations = Expectations()
        self._stamps = Stamps()
        self._users = RowTable(habits=empty_habits(1)[0])

    @property
    def arrays(self) -> CountArrays:
        """For compiled loops; valid until the next call that makes room."""
        return CountArrays(
            self.popularity.arrays,
            self.transitions.arrays,
            self.together.arrays,
            self.companions.arrays,
            self.own.arrays,
            self._users["habits"],
            self._users.marks,
            self.expectations.arrays,
        )

    def ensure(self, users: int, items: int, choices: int = 0) -> None:
        """Make room for user rows and item rows below these, and for so many choices at least."""
        self.popularity.ensure(items)
        self.transitions.ensure(items, FOLLOWED * choices)
        self.together.ensure(items, 2 * ACCOMPANIED * choices)
        self.companions.ensure(users, items, choices)
        self.expectations.ensure(items)
        self._users.ensure(users)

    def stamps(self, needed: int) -> tuple[IntArray, IntArray, int]:
        """See `Stamps.take`, for all items that there is room for."""
        return self._stamps.take(len(self.popularity.arrays.last_s), needed)

    def learn_many(
        self, users: IntArray, rows: IntArray, now_s: NDArray[np.float64], histories: IntArray
    ) -> None:
        """Count choices, in their order.

        Args:
            users: (B,) user rows.
            rows: (B,) chosen items.
            now_s: (B,) when.
            histories: (B, H) what the user had done before each choice, oldest first, `ABSENT` in empty slots.
        """
        if not len(rows):
            return
        known = int(users.max()) + 1, int(max(rows.max(), histories.max(initial=-1))) + 1
        self.own.ensure(len(rows))
        begin = 0
        while begin < len(rows):
            self.ensure(*known, choices=1)
            begin, new_pairs = _learn_pairwise(
                self.arrays, users, rows, now_s, histories, self.popularity.events, begin
            )
            self.own.pairs += new_pairs
        self.popularity.learn_many(rows, now_s)

    def forget_items(self, rows: IntArray) -> None:
        """Give up item rows whose items are gone."""
        self.popularity.forget(rows)
        self.transitions.forget(rows)
        self.together.forget(rows)
        self.companions.forget(items=rows)
        self.own.forget(items=rows)
        self.expectations.forget(rows)

    def forget_users(self, rows: IntArray) -> None:
        """Give up user rows whose users are gone."""
        self.companions.forget(users=rows)
        self.own.forget(users=rows)
        self._users.forget(rows)

    def live_state(self) -> LiveState:
        """Everything."""
        return {
            **nest("popularity", self.popularity.live_state()),
            **nest("transitions", self.transitions.live_state()),
            **nest("together", self.together.live_state()),
            **nest("companions", self.companions.live_state()),
            **nest("own", self.own.live_state()),
            **nest("expectations", self.expectations.live_state()),
            **self._users.live_state(),
        }

    def state_dict(self) -> Arrays:
        """Everything as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with other bounds.
        """
        self.popularity.load_state_dict(unnest("popularity", arrays))
        self.transitions.load_state_dict(unnest("transitions", arrays))
        self.together.load_state_dict(unnest("together", arrays))
        self.companions.load_state_dict(unnest("companions", arrays))
        self.own.load_state_dict(unnest("own", arrays))
        self.expectations.load_state_dict(unnest("expectations", arrays))
        self._users.load_state_dict(arrays)


@compiled
def latest_distinct(history: IntArray, out: IntArray) -> int:
    """A user's latest different items, newest first, into `out`; returns how many there are.

    Args:
        history: (H,) oldest first, `ABSENT` in empty slots.
        out: (L,) takes at most L of them.
    """
    found = 0
    for slot in range(len(history) - 1, -1, -1):
        row = history[slot]
        if found == len(out):
            break
        if row == ABSENT:
            continue
        new = True
        for n in range(found):
            if out[n] == row:
                new = False
                break
        if new:
            out[found] = row
            found += 1
    return found


@compiled
def _learn_pairwise(
    counts: CountArrays,
    users: IntArray,
    rows: IntArray,
    now_s: NDArray[np.float64],
    histories: IntArray,
    events: int,
    begin: int,
) -> tuple[int, int]:
    """What choices from `begin` on say of their users and of the users' other items.

    The batch's own choices enter `popularity` afterwards, so that it is as of before the batch here.

    Returns:
        The first choice that there was no room for, and how many pairs are new.
    """
    recent = np.empty(FOLLOWED, np.int64)
    others = np.empty(ACCOMPANIED, np.int64)
    new_pairs = 0
    for b in range(begin, len(rows)):
        if not (
            has_room(counts.transitions, FOLLOWED)
            and has_room(counts.together, 2 * ACCOMPANIED)
            and may_follow(counts.companions)
        ):
            return b, new_pairs
        user, row, now, history = users[b], rows[b], now_s[b], histories[b]
        for distance in range(latest_distinct(history, recent)):
            if recent[distance] != row:
                strengthen(counts.transitions, recent[distance], row, 1.0 / (1.0 + distance), now)
        repeat = find_pair(counts.own, user, row) >= 0
        if not repeat:
            for distance in range(latest_distinct(history, others)):
                if others[distance] != row:
                    strengthen(counts.together, others[distance], row, 1.0 / (1.0 + distance), now)
                    strengthen(counts.together, row, others[distance], 1.0 / (1.0 + distance), now)
            follow(counts.companions, user, row, now)
        if counts.popularity.last_s[row] != -np.inf:
            form_habit(
                counts.habits,
                user,
                float(events - counts.popularity.first_n[row]),
                float(events - counts.popularity.last_n[row]),
                popularity_of(counts.popularity, row, _LASTING, now, events),
                1.0 if repeat else 0.0,
            )
            counts.habits_marks[user] = CHANGED
        new_pairs += remember_pair(counts.own, user, row, now)
    return len(rows), new_pairs
