"""Events that were applied already, by their ids: a producer that tries again sends the same event twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.decode import RawRecord, generated_id, is_generated
from connectors.event import Event
from learners.state_arrays import Arrays, grown
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole


class RecentIds:
    """The latest ids of each partition, as hashes of 64 bits: about 110 bytes an id.

    An id belongs to its user: two users may use the same one. Two different events of a window share a hash
    with a probability of window² / 2⁶⁵: 3e-10 at 100,000, for each full window.

    Args:
        window: How many events of a partition are looked back on; 0 for none.
    """

    def __init__(self, window: int = 100_000) -> None:
        self.window = window
        self._rings: dict[int, _Ring] = {}

    def new_of(self, record: RawRecord, events: Sequence[Event]) -> list[Event]:
        """The record's events that are new; from now on they are known.

        A generated id is a place. It means nothing elsewhere, not on a topic that was made anew, so it is always new.
        """
        generated = generated_id(record)
        return [
            event
            for event in events
            if is_generated(event.event_id, generated) or self.admit(record.partition, event)
        ]

    def admit(self, partition: int, event: Event) -> bool:
        """Whether the event is new; from now on it is known."""
        if not self.window:
            return True
        ring = self._rings.get(partition)
        if ring is None:
            ring = self._rings[partition] = _Ring(self.window)
        return ring.admit(id_hash(event.user_id, event.event_id))

    def live_state(self) -> LiveState:
        """For each partition its ring of hashes, and where the oldest one stands."""
        state: LiveState = {}
        for partition, ring in self._rings.items():
            state[f"{partition}.hashes"] = Table(ring.hashes[: len(ring)], ring.marks)
            state[f"{partition}.oldest"] = np.array([ring.oldest])
        return state

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; where this window is smaller, the latest ids stay."""
        self._rings = {}
        partitions = dict.fromkeys(int(name.partition(".")[0]) for name in arrays) if self.window else {}
        for partition in partitions:
            ring = self._rings[partition] = _Ring(self.window)
            hashes, oldest = arrays[f"{partition}.hashes"], int(arrays[f"{partition}.oldest"][0])
            ring.load(hashes, oldest)


def id_hash(user_id: str, event_id: str) -> int:
    """64 bits that name an event of a user: the same in every process and version, since checkpoints hold them."""
    text = f"{user_id}\0{event_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


class _Ring:
    """The latest different hashes, in the order in which they came first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: set[int] = set()
        self.hashes: NDArray[np.uint64] = np.zeros(16, np.uint64)
        self.marks: Marks = np.zeros(16, np.uint8)
        self.oldest = 0

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, number: int) -> bool:
        if number in self._known:
            return False
        place = len(self._known)
        if place == self._size:
            place, self.oldest = self.oldest, (self.oldest + 1) % self._size
            self._known.remove(int(self.hashes[place]))
        elif place == len(self.hashes):
            self.hashes, self.marks = grown(self.hashes, place + 1), grown(self.marks, place + 1)
        self._known.add(number)
        self.hashes[place], self.marks[place] = number, CHANGED
        return True

    def load(self, hashes: NDArray[Any], oldest: int) -> None:
        """Take over a ring; as it stands where it fits, so that what was saved needs no saving."""
        in_order = np.roll(hashes, -oldest)[-self._size :]
        self._known = set(in_order.tolist())
        as_it_was = oldest == 0 or len(hashes) == self._size
        ring = hashes if as_it_was and len(hashes) <= self._size else in_order
        self.oldest = oldest if ring is hashes else 0
        self.hashes = grown(ring.astype(np.uint64), 16)
        self.marks = np.full(len(self.hashes), 0 if ring is hashes else CHANGED, np.uint8)
