"""From outside ids to table rows and back: no collisions, a bound, and a free-list of given-up rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays, grown, unnest, unpack_strings
from learners.state_changes import CHANGED, LiveState, Marks, Table, Texts, whole

ABSENT = -1
"""The row of an id that has none, and of a history slot that is empty."""

_EVICTED_SHARE = 0.05
_LOOKED_AT = 4_096  # rows at a time, so that other threads get on


class RowIndex:
    """A growing, bounded map from ids (strings) to rows (0, 1, 2...).

    When the bound is reached, the 5 % of the rows that were not touched for longest are given up at once;
    their owners learn of it from `take_evicted` and must forget what they keep under these rows.

    Args:
        capacity: Most rows at a time.

    Raises:
        ValueError: A capacity below one.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._rows: dict[str, int] = {}
        self._ids: list[str | None] = []
        self._free: list[int] = []
        self._touched: NDArray[np.int64] = np.zeros(16, np.int64)
        self._marks: Marks = np.zeros(16, np.uint8)
        self._clock = 0
        self._evicted: list[int] = []
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._rows

    @property
    def size(self) -> int:
        """Rows that tables must have: one more than the largest row ever handed out."""
        return len(self._ids)

    def row(self, id_: str) -> int:
        """The row of `id_`, `ABSENT` where it has none."""
        return self._rows.get(id_, ABSENT)

    def id(self, row: int) -> str:
        """The id of a row in use.

        Raises:
            KeyError: The row is not in use.
        """
        id_ = self._ids[row] if 0 <= row < len(self._ids) else None
        if id_ is None:
            raise KeyError(f"row {row} is not in use")
        return id_

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of known ids, `ABSENT` for the others: (len(ids),)."""
        get = self._rows.get
        return np.fromiter((get(id_, ABSENT) for id_ in ids), np.int64, len(ids))

    def latest(self, prefix: str, most: int) -> list[str]:
        """At most so many ids that begin with `prefix`, those touched last first.

        It may be called from another thread while ids come and go: what it finds was there at some time since the call.
        """
        order = np.argsort(-self._touched[: len(self._ids)], kind="stable")
        found: list[str] = []
        for begin in range(0, len(order), _LOOKED_AT):
            for row in order[begin : begin + _LOOKED_AT].tolist():
                if len(found) >= most:
                    return found
                id_ = self._ids[row]
                if id_ is not None and id_.startswith(prefix):
                    found.append(id_)
        return found

    def admit(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The rows of `ids`, new ones made where needed, all of them touched: (len(ids),).

        Raises:
            ValueError: More different ids in one call than the bound holds.
        """
        self._clock += 1
        rows = self.rows(ids)
        missing = [ids[n] for n in np.flatnonzero(rows == ABSENT).tolist()]
        if missing:
            self._touch(rows[rows != ABSENT])
            missing = list(dict.fromkeys(missing))
            self._make_room(len(missing))
            for id_ in missing:
                self._add(id_)
            rows = self.rows(ids)
        self._touch(rows)
        return rows

    def take_evicted(self) -> NDArray[np.int64]:
        """Rows given up since the last call; forget what is kept under them before they are used again."""
        evicted, self._evicted = np.array(self._evicted, np.int64), []
        return evicted

    def live_rows(self) -> NDArray[np.int64]:
        """All rows in use, in no order."""
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))

    def _touch(self, rows: NDArray[np.int64]) -> None:
        self._touched[rows] = self._clock
        self._marks[rows] = CHANGED

    def _add(self, id_: str) -> None:
        if self._free:
            row = self._free.pop()
            self._ids[row] = id_
        else:
            row = len(self._ids)
            self._ids.append(id_)
            self._touched = grown(self._touched, row + 1)
            self._marks = grown(self._marks, row + 1)
        self._rows[id_] = row
        self._touched[row] = self._clock

    def _make_room(self, wanted: int) -> None:
        excess = len(self._rows) + wanted - self.capacity
        if excess <= 0:
            return
        rows = np.sort(self.live_rows())  # a restored index has them in another order, and ties go by order
        rows = rows[self._touched[rows] < self._clock]
        if excess > len(rows):
            raise ValueError(
                f"one batch needs more than {self.capacity} rows; raise the bound or shrink the batch"
            )
        count = min(max(excess, int(self.capacity * _EVICTED_SHARE)), len(rows))
        oldest = self._given_up(rows, count).tolist()
        for row in oldest:
            id_ = self._ids[row]
            assert id_ is not None
            del self._rows[id_]
            self._ids[row] = None
        self._marks[oldest] = CHANGED
        self._free.extend(oldest)
        self._evicted.extend(oldest)
        self.evictions += count

    def _given_up(self, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """So many of the rows: those not touched for longest. `python -m benchmarks bounds` tries other rules."""
        oldest: NDArray[np.int64] = rows[np.argpartition(self._touched[rows], count - 1)[:count]]
        return oldest

    def live_state(self) -> LiveState:
        """Everything; the order of the free-list is kept, so that a restored index goes on alike."""
        return {
            "ids": Texts(self._ids, self._marks),
            "free": np.array(self._free, np.int64),
            "touched": Table(self._touched[: len(self._ids)], self._marks),
            "scalars": np.array([self._clock, self.evictions], np.int64),
        }

    def state_dict(self) -> Arrays:
        """Everything as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; the bound stays this index's own."""
        ids = unpack_strings(unnest("ids", arrays))
        self._free = arrays["free"].tolist()
        self._ids = list(ids)
        for row in self._free:
            self._ids[row] = None
        self._rows = {id_: row for row, id_ in enumerate(self._ids) if id_ is not None}
        self._touched = grown(arrays["touched"].astype(np.int64, copy=False), 16)
        self._marks = np.zeros(len(self._touched), np.uint8)
        self._clock, self.evictions = (int(value) for value in arrays["scalars"])
        self._evicted = []
