"""Who chooses what whom else chose: for each user the users who were there before, and each item's latest choosers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.neighbours import Neighbours, NeighbourTable, strengthen
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, grown, nest, unnest

HALF_LIVES_S = np.array([168.0, 87_600.0]) * 3_600.0
"""A week and ten years."""

_COMPANIONS = 64
_CHOOSERS = 16


class CompanionArrays(NamedTuple):
    """What compiled loops take.

    Attributes:
        of_users: For each user those who chose the same items before.
        choosers: (N, V) the latest different users who chose an item, in a circle.
        chosen: (N,) by how many users it was chosen for their first time; the next goes to slot `chosen % V`.
        closeness: (U, 2) room for one user's companions' shares; all zero between two uses.
    """

    of_users: Neighbours
    choosers: NDArray[np.int32]
    chosen: IntArray
    closeness: FloatArray


class Companions:
    """Counts of who follows whom."""

    def __init__(self) -> None:
        self._users = NeighbourTable(_COMPANIONS, HALF_LIVES_S)
        self._choosers: NDArray[np.int32] = np.full((16, _CHOOSERS), ABSENT, np.int32)
        self._chosen: IntArray = np.zeros(16, np.int64)
        self._closeness: FloatArray = np.zeros((16, len(HALF_LIVES_S)), np.float32)

    @property
    def arrays(self) -> CompanionArrays:
        """For compiled loops."""
        return CompanionArrays(self._users.arrays, self._choosers, self._chosen, self._closeness)

    def ensure(self, users: int, items: int) -> None:
        """Make room for user rows and item rows below these."""
        self._users.ensure(users)
        self._closeness = grown(self._closeness, len(self._users.arrays.rows))
        self._choosers = grown(self._choosers, items, fill=ABSENT)
        self._chosen = grown(self._chosen, items)

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Give up users or items that are gone."""
        if users is not None:
            self._users.forget(users)
            self._choosers[np.isin(self._choosers, users)] = ABSENT
        if items is not None:
            items = items[items < len(self._chosen)]
            self._choosers[items] = ABSENT
            self._chosen[items] = 0

    def state_dict(self) -> Arrays:
        """Everything as arrays."""
        return {
            **nest("users", self._users.state_dict()),
            "choosers": self._choosers.copy(),
            "chosen": self._chosen.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._users.load_state_dict(unnest("users", arrays))
        self._closeness = np.zeros((len(self._users.arrays.rows), len(HALF_LIVES_S)), np.float32)
        self._choosers = arrays["choosers"].copy()
        self._chosen = arrays["chosen"].copy()


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
