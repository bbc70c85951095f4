"""Who chooses what whom else chose: for each user the users who were there before, and each item's latest choosers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.neighbours import Neighbours, NeighbourTable, has_room, strengthen
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.row_table import RowTable
from learners.state_arrays import Arrays, grown, nest, unnest
from learners.state_changes import CHANGED, LiveState, Marks, whole

HALF_LIVES_S = np.array([168.0, 87_600.0]) * 3_600.0
"""A week and ten years."""

_COMPANIONS = 64
CHOOSERS = 16
"""Latest users who chose an item, who become companions of the next."""


class CompanionArrays(NamedTuple):
    """What compiled loops take.

    Attributes:
        of_users: For each user those who chose the same items before.
        choosers: (N, V) the latest different users who chose an item, in a circle.
        chosen: (N,) by how many users it was chosen for their first time; the next goes to slot `chosen % V`.
        marks: (N,) which items' choosers changed since they were saved.
        closeness: (U, 2) room for one user's companions' shares; all zero between two uses.
    """

    of_users: Neighbours
    choosers: NDArray[np.int32]
    chosen: IntArray
    marks: Marks
    closeness: FloatArray


class Companions:
    """Counts of who follows whom."""

    def __init__(self) -> None:
        self.of_users = NeighbourTable(_COMPANIONS, HALF_LIVES_S)
        self._items = RowTable(choosers=np.full(CHOOSERS, ABSENT, np.int32), chosen=np.int64(0))
        self._closeness: FloatArray = np.zeros((16, len(HALF_LIVES_S)), np.float32)

    @property
    def arrays(self) -> CompanionArrays:
        """For compiled loops."""
        of = self._items
        return CompanionArrays(self.of_users.arrays, of["choosers"], of["chosen"], of.marks, self._closeness)

    def ensure(self, users: int, items: int, choices: int = 0) -> None:
        """Make room for user rows and item rows below these, and for so many calls of `follow`."""
        self.of_users.ensure(users, CHOOSERS * choices)
        self._closeness = grown(self._closeness, len(self.of_users))
        self._items.ensure(items)

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Give up users or items that are gone."""
        if users is not None:
            self.of_users.forget(users)
            choosers = self._items["choosers"]
            gone = np.isin(choosers, users)
            choosers[gone] = ABSENT
            self._items.mark(np.flatnonzero(gone.any(axis=1)))
        if items is not None:
            self._items.forget(items)

    def live_state(self) -> LiveState:
        """Everything."""
        return {**nest("users", self.of_users.live_state()), **self._items.live_state()}

    def state_dict(self) -> Arrays:
        """Everything as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self.of_users.load_state_dict(unnest("users", arrays))
        self._closeness = np.zeros((len(self.of_users), len(HALF_LIVES_S)), np.float32)
        self._items.load_state_dict(arrays)


@compiled
def may_follow(companions: CompanionArrays) -> bool:
    """Whether there is room for a call of `follow`."""
    return has_room(companions.of_users, companions.choosers.shape[1])


@compiled
def follow(companions: CompanionArrays, user: int, item: int, now_s: float) -> None:
    """A user's first choice of an item: the latest choosers before become companions."""
    V = companions.choosers.shape[1]
    for back in range(V):
        other = companions.choosers[item, (companions.chosen[item] - 1 - back) % V]
        if other != ABSENT and other != user:
            strengthen(companions.of_users, user, other, 1.0, now_s)
    companions.choosers[item, companions.chosen[item] % V] = user
    companions.chosen[item] += 1
    companions.marks[item] = CHANGED
