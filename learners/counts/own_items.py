"""What each user has chosen: how often and when last, for every (user, item) pair within a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray, IntArray
from learners.state_arrays import Arrays, unnest
from learners.state_changes import CHANGED, Keyed, LiveState, Marks, whole

_EMPTY = -1
_SMALLEST = 1 << 10
_FULL = 0.6  # share of slots in use at which the table grows or lets go of old pairs
_KEPT = 0.75  # share of the pairs that stay when it lets go
_USER_BITS = 32
_ROW = (1 << _USER_BITS) - 1
_SLOTS_A_MASK = 8
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, vol. 3, 6.4)


class Pairs(NamedTuple):
    """A hash table with open addressing; what compiled loops take.

    Attributes:
        keys: (Z,) user row << 32 | item row, negative where a slot is empty; Z is a power of two.
        counts: (Z,) how often the user chose the item.
        last_s: (Z,) when last, seconds.
        marks: (Z,) which pairs changed since they were saved.
        masks: (Z / 8,) bits of items that users of a place have, and perhaps of others: most pairs that are asked for
            are not there, and a user's place lies near the processor where Z slots do not (Bloom, 1970).
    """

    keys: IntArray
    counts: FloatArray
    last_s: NDArray[np.float64]
    marks: Marks
    masks: NDArray[np.uint64]


class OwnItems:
    """Counts of pairs; beyond the bound, those that were not chosen for longest are forgotten.

    Args:
        capacity: Most pairs between two batches; the table has up to five times as many slots of 22 bytes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.arrays = _table(_SMALLEST)
        self.pairs = 0
        self.evicted = 0
        self._removed: list[IntArray] = []

    def ensure(self, more: int) -> None:
        """Make room for so many new pairs."""
        if self.pairs + more <= min(_FULL * len(self.arrays.keys), self.capacity):
            return
        pairs = self._filled()
        if self.pairs + more > self.capacity:
            keep = max(min(int(_KEPT * self.capacity), self.capacity - more), 0)
            # ties by key: a restored table lets go of the same
            newest_first = np.lexsort((pairs.keys, -pairs.last_s))
            self.evicted += len(newest_first[keep:])
            self._removed.append(pairs.keys[newest_first[keep:]])
            pairs = _some(pairs, newest_first[:keep])
        self._fill(pairs, more)

    def learn_many(self, users: IntArray, rows: IntArray, now_s: NDArray[np.float64]) -> None:
        """Count choices: (B,) user rows, item rows and moments."""
        self.ensure(len(rows))
        for user, row, now in zip(users, rows, now_s, strict=True):
            self.pairs += remember_pair(self.arrays, user, row, now)

    def of(self, user: int, row: int) -> tuple[int, float]:
        """How often a user chose an item, and when last (-infinite where never)."""
        slot = find_pair(self.arrays, user, row)
        return (0, -np.inf) if slot < 0 else (int(self.arrays.counts[slot]), float(self.arrays.last_s[slot]))

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Give up the pairs of users or items that are gone."""
        pairs = self._filled()
        gone = np.zeros(len(pairs.keys), np.bool_)
        if users is not None:
            gone |= np.isin(pairs.keys >> _USER_BITS, users)
        if items is not None:
            gone |= np.isin(pairs.keys & _ROW, items)
        if gone.any():
            self._removed.append(pairs.keys[gone])
            self._fill(_some(pairs, np.flatnonzero(~gone)), 0)

    def _filled(self) -> Pairs:
        return _some(self.arrays, np.flatnonzero(self.arrays.keys != _EMPTY))

    def _fill(self, pairs: Pairs, more: int) -> None:
        size = _SMALLEST
        while len(pairs.keys) + more > _FULL * size / 1.5:  # with some room to grow
            size *= 2
        self.arrays = _table(size)
        self.pairs = len(pairs.keys)
        _insert(self.arrays, pairs)

    def live_state(self) -> LiveState:
        """The pairs, wherever they stand."""
        of = self.arrays
        columns: dict[str, NDArray[Any]] = {"counts": of.counts, "last_s": of.last_s}
        return {
            "pairs": Keyed(of.keys, columns, of.marks, self._removed),
            "evicted": np.array([self.evicted]),
        }

    def state_dict(self) -> Arrays:
        """The pairs, in an order that does not depend on where they stand."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        pairs = unnest("pairs", arrays)
        marks: Marks = np.zeros(len(pairs["keys"]), np.uint8)
        self._fill(Pairs(**pairs, marks=marks, masks=np.zeros(0, np.uint64)), 0)
        self._removed = []
        self.evicted = int(arrays["evicted"][0])


def _table(size: int) -> Pairs:
    return Pairs(
        keys=np.full(size, _EMPTY, np.int64),
        counts=np.zeros(size, np.float32),
        last_s=np.zeros(size),
        marks=np.zeros(size, np.uint8),
        masks=np.zeros(size // _SLOTS_A_MASK, np.uint64),
    )


def _some(pairs: Pairs, slots: IntArray) -> Pairs:
    """Those in some slots, to be filled into a table."""
    return Pairs(
        pairs.keys[slots], pairs.counts[slots], pairs.last_s[slots], pairs.marks[slots], pairs.masks[:0]
    )


@compiled
def _masked(pairs: Pairs, key: np.int64) -> tuple[np.int64, np.uint64]:
    """The place of a key's user among the masks, and its item's bit."""
    user, row = np.uint64(key >> _USER_BITS), np.uint64(key & _ROW)
    place = np.int64(((user * _MIX) >> np.uint64(32)) & np.uint64(len(pairs.masks) - 1))
    return place, np.uint64(1) << ((row * _MIX) >> np.uint64(58))


@compiled
def _slot(pairs: Pairs, key: np.int64) -> np.int64:
    """Where the key stands, or the empty slot where it would."""
    size = len(pairs.keys)
    mixed = np.uint64(key) * _MIX
    slot = np.int64((mixed >> np.uint64(32)) & np.uint64(size - 1))  # below, the user does not count
    while pairs.keys[slot] != key and pairs.keys[slot] != _EMPTY:
        slot = (slot + 1) & (size - 1)
    return slot


@compiled
def find_pair(pairs: Pairs, user: int, row: int) -> int:
    """The slot of a pair, negative where it is not there."""
    key = np.int64(user) << _USER_BITS | np.int64(row)
    place, bit = _masked(pairs, key)
    if pairs.masks[place] & bit == 0:
        return -1
    slot = _slot(pairs, key)
    return int(slot) if pairs.keys[slot] == key else -1


@compiled
def remember_pair(pairs: Pairs, user: int, row: int, now_s: float) -> int:
    """Count a choice; returns how many pairs are new (0 or 1). There must be an empty slot."""
    key = np.int64(user) << _USER_BITS | np.int64(row)
    slot = _slot(pairs, key)
    pairs.marks[slot] = CHANGED
    if pairs.keys[slot] == key:
        pairs.counts[slot] += 1.0
        pairs.last_s[slot] = max(pairs.last_s[slot], now_s)
        return 0
    pairs.keys[slot], pairs.counts[slot], pairs.last_s[slot] = key, 1.0, now_s
    place, bit = _masked(pairs, key)
    pairs.masks[place] |= bit
    return 1


@compiled
def _insert(pairs: Pairs, others: Pairs) -> None:
    for n in range(len(others.keys)):
        slot = _slot(pairs, others.keys[n])
        pairs.keys[slot], pairs.counts[slot] = others.keys[n], others.counts[n]
        pairs.last_s[slot], pairs.marks[slot] = others.last_s[n], others.marks[n]
        place, bit = _masked(pairs, others.keys[n])
        pairs.masks[place] |= bit
