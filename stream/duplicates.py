"""Events that were applied already, by their ids: a producer that tries again sends the same event twice."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.event import Event
from learners.state_arrays import Arrays


class RecentIds:
    """The latest ids of each partition, as hashes of 64 bits: about 100 bytes an id.

    An id belongs to its user: two users may use the same one. Two different events of a window share a hash
    with a probability of window² / 2⁶⁵: 3e-10 at 100,000, for each full window.

    Args:
        window: How many events of a partition are looked back on; 0 for none.
    """

    def __init__(self, window: int = 100_000) -> None:
        self.window = window
        self._rings: dict[int, _Ring] = {}

    def admit(self, partition: int, event: Event) -> bool:
        """Whether the event is new; from now on it is known."""
        if not self.window:
            return True
        ring = self._rings.get(partition)
        if ring is None:
            ring = self._rings[partition] = _Ring(self.window)
        return ring.admit(id_hash(event.user_id, event.event_id))

    def state_dict(self) -> Arrays:
        """For each partition its hashes, oldest first: (N,) uint64, named by the partition."""
        return {str(partition): ring.oldest_first() for partition, ring in self._rings.items()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; where this window is smaller, the latest ids stay."""
        self._rings = {}
        for partition, hashes in arrays.items() if self.window else ():
            ring = self._rings[int(partition)] = _Ring(self.window)
            for number in hashes[-self.window :].tolist():
                ring.admit(number)


def id_hash(user_id: str, event_id: str) -> int:
    """64 bits that name an event of a user: the same in every process and version, since checkpoints hold them."""
    text = f"{user_id}\0{event_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class _Ring:
    """The latest different numbers, in the order in which they came first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._numbers = array("Q")
        self._oldest = 0
        self._known: set[int] = set()

    def admit(self, number: int) -> bool:
        if number in self._known:
            return False
        if len(self._numbers) < self._size:
            self._numbers.append(number)
        else:
            self._known.remove(self._numbers[self._oldest])
            self._numbers[self._oldest] = number
            self._oldest = (self._oldest + 1) % self._size
        self._known.add(number)
        return True

    def oldest_first(self) -> NDArray[np.uint64]:
        return np.roll(np.array(self._numbers, np.uint64), -self._oldest)
