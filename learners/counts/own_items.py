"""What each user has chosen: how often and when last, for every (user, item) pair within a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray, IntArray
from learners.state_arrays import Arrays

_EMPTY = -1
_SMALLEST = 1 << 10
_FULL = 0.6  # share of slots in use at which the table grows or lets go of old pairs
_KEPT = 0.75  # share of the pairs that stay when it lets go
_USER_BITS = 32
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, vol. 3, 6.4)


class Pairs(NamedTuple):
    """A hash table with open addressing; what compiled loops take.

    Attributes:
        keys: (Z,) user row << 32 | item row, negative where a slot is empty; Z is a power of two.
        counts: (Z,) how often the user chose the item.
        last_s: (Z,) when last, seconds.
    """

    keys: IntArray
    counts: FloatArray
    last_s: NDArray[np.float64]


class OwnItems:
    """Counts of pairs; beyond the bound, those that were not chosen for longest are forgotten.

    Args:
        capacity: Most pairs between two batches; the table has up to five times as many slots of 20 bytes.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.arrays = _table(_SMALLEST)
        self.pairs = 0
        self.evicted = 0

    def ensure(self, more: int) -> None:
        """Make room for so many new pairs."""
        if self.pairs + more <= min(_FULL * len(self.arrays.keys), self.capacity):
            return
        keys, counts, last_s = self._filled()
        if self.pairs + more > self.capacity:
            keep = max(min(int(_KEPT * self.capacity), self.capacity - more), 0)
            newest = np.lexsort((keys, -last_s))[:keep]  # ties by key: a restored table lets go of the same
            self.evicted += len(keys) - len(newest)
            keys, counts, last_s = keys[newest], counts[newest], last_s[newest]
        self._fill(keys, counts, last_s, more)

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
        keys, counts, last_s = self._filled()
        gone = np.zeros(len(keys), np.bool_)
        if users is not None:
            gone |= np.isin(keys >> _USER_BITS, users)
        if items is not None:
            gone |= np.isin(keys & ((1 << _USER_BITS) - 1), items)
        if gone.any():
            self._fill(keys[~gone], counts[~gone], last_s[~gone], 0)

    def _filled(self) -> tuple[IntArray, FloatArray, NDArray[np.float64]]:
        filled = np.flatnonzero(self.arrays.keys != _EMPTY)
        return self.arrays.keys[filled], self.arrays.counts[filled], self.arrays.last_s[filled]

    def _fill(self, keys: IntArray, counts: FloatArray, last_s: NDArray[np.float64], more: int) -> None:
        size = _SMALLEST
        while len(keys) + more > _FULL * size / 1.5:  # with some room to grow
            size *= 2
        self.arrays = _table(size)
        self.pairs = len(keys)
        _insert(self.arrays, keys, counts, last_s)

    def state_dict(self) -> Arrays:
        """The pairs, in an order that does not depend on where they stand."""
        keys, counts, last_s = self._filled()
        order = np.argsort(keys)
        return {
            "keys": keys[order],
            "counts": counts[order],
            "last_s": last_s[order],
            "evicted": np.array([self.evicted]),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._fill(arrays["keys"], arrays["counts"], arrays["last_s"], 0)
        self.evicted = int(arrays["evicted"][0])


def _table(size: int) -> Pairs:
    return Pairs(np.full(size, _EMPTY, np.int64), np.zeros(size, np.float32), np.zeros(size))


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
    slot = _slot(pairs, key)
    return int(slot) if pairs.keys[slot] == key else -1


@compiled
def remember_pair(pairs: Pairs, user: int, row: int, now_s: float) -> int:
    """Count a choice; returns how many pairs are new (0 or 1). There must be an empty slot."""
    key = np.int64(user) << _USER_BITS | np.int64(row)
    slot = _slot(pairs, key)
    if pairs.keys[slot] == key:
        pairs.counts[slot] += 1.0
        pairs.last_s[slot] = max(pairs.last_s[slot], now_s)
        return 0
    pairs.keys[slot], pairs.counts[slot], pairs.last_s[slot] = key, 1.0, now_s
    return 1


@compiled
def _insert(pairs: Pairs, keys: IntArray, counts: FloatArray, last_s: NDArray[np.float64]) -> None:
    for n in range(len(keys)):
        slot = _slot(pairs, keys[n])
        pairs.keys[slot], pairs.counts[slot], pairs.last_s[slot] = keys[n], counts[n], last_s[n]
