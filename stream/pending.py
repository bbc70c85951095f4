"""Impressions that wait for what will be done with them, in the order in which they were made.

A circular buffer in columns: the oldest leaves when all of its attribution windows have closed, or early
when the buffer is full (counted, never labelled).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole
from learners.task_axes import Axis, Bits, TaskAxes

_USER_BITS = 32
_COLUMNS = {
    "user": ABSENT,
    "item": ABSENT,
    "as_of": 0,
    "opened_ms": 0,
    "order_ms": 0,
    "position": -1,
    "resolved": 0,
    "positive": 0,
    "negative": 0,
    "shown": 0,
}
"""And what an empty slot holds."""


class PendingImpressions:
    """One partition's pending impressions, each named by a number that only grows.

    Args:
        capacity: Most impressions at a time.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.first = 0
        self.next = 0
        self.expired_early = 0
        self.watermark_ms = 0
        """Latest event time seen in this partition: what closes windows."""
        self.closed: dict[int, int] = {}
        """For each window (ms) the first impression that it has not closed yet."""
        size = min(capacity, 256)
        self.user: IntArray = np.full(size, ABSENT, np.int64)
        self.item: IntArray = np.full(size, ABSENT, np.int64)
        self.as_of: IntArray = np.zeros(size, np.int64)
        self.opened_ms: IntArray = np.zeros(size, np.int64)
        self.order_ms: IntArray = np.zeros(size, np.int64)
        self.position: IntArray = np.full(size, -1, np.int64)
        self.resolved: IntArray = np.zeros(size, np.int64)
        self.positive: IntArray = np.zeros(size, np.int64)
        """A bit for each task that was answered with yes."""
        self.negative: IntArray = np.zeros(size, np.int64)
        """A bit for each task whose negative was taught: what a late answer corrects."""
        self.shown: NDArray[np.float16] = np.zeros((size, 0), np.float16)
        """What was known of the pair when it was shown; half precision, since there are many."""
        self._marks: Marks = np.zeros(size, np.uint8)
        self._latest: dict[int, int] = {}

    def __len__(self) -> int:
        return self.next - self.first

    def open(self, user: int, item: int, as_of: int, at_ms: int, position: int, resolved: int) -> int:
        """Add an impression; `resolved` has a bit for each task that does not wait. Returns its number."""
        if len(self) == len(self.user):
            self._make_room()
        number = self.next
        slot = number % len(self.user)
        previous = self.order_ms[(number - 1) % len(self.user)] if len(self) else 0
        self.user[slot], self.item[slot], self.as_of[slot] = user, item, as_of
        self.opened_ms[slot], self.order_ms[slot] = at_ms, max(at_ms, previous, self.watermark_ms)
        self.position[slot], self.resolved[slot] = position, resolved
        self.positive[slot], self.negative[slot] = 0, 0
        self._latest[user << _USER_BITS | item] = number
        self._marks[slot] = CHANGED
        self.next += 1
        return number

    def open_many(
        self,
        users: IntArray,
        items: IntArray,
        as_of: IntArray,
        times_ms: IntArray,
        positions: IntArray,
        resolved: int,
        shown: NDArray[np.float32],
    ) -> None:
        """Add impressions (N,) as `open` and `note` would one after the other, and take their times for the newest."""
        if self.shown.shape[1] != shown.shape[1]:
            self.shown = np.zeros((len(self.user), shown.shape[1]), np.float16)
        begin = 0
        while begin < len(users):
            if len(self) == len(self.user):
                self._make_room()
            size = len(self.user)
            previous = int(self.order_ms[(self.next - 1) % size]) if len(self) else 0
            first = self.next % size
            # Side by side in the ring: no index is needed.
            count = min(len(users) - begin, size - len(self), size - first)
            some, slots = slice(begin, begin + count), slice(first, first + count)
            self.user[slots], self.item[slots], self.as_of[slots] = users[some], items[some], as_of[some]
            self.opened_ms[slots], self.position[slots] = times_ms[some], positions[some]
            self.order_ms[slots] = np.maximum.accumulate(
                np.maximum(times_ms[some], max(previous, self.watermark_ms))
            )
            self.resolved[slots], self.positive[slots], self.negative[slots] = resolved, 0, 0
            self.shown[slots] = shown[some]
            self._marks[slots] = CHANGED
            keys = (users[some] << _USER_BITS | items[some]).tolist()
            self._latest.update(zip(keys, range(self.next, self.next + count), strict=True))
            self.next += count
            self.watermark_ms = max(self.watermark_ms, int(times_ms[some].max()))
            begin = some.stop

    def note(self, number: int, shown: NDArray[np.float32]) -> None:
        """Keep (R,) numbers with an impression until its labels come; R is the same for all."""
        if self.shown.shape[1] != len(shown):
            self.shown = np.zeros((len(self.user), len(shown)), np.float16)
        self.shown[number % len(self.user)] = shown
        self._marks[number % len(self.user)] = CHANGED

    def answer(
        self, slots: IntArray | int, *, resolved: Any = 0, positive: Any = 0, negative: Any = 0
    ) -> None:
        """Set bits of tasks in some slots: those that do not wait any more, said yes, and were taught as no."""
        self.resolved[slots] |= resolved
        self.positive[slots] |= positive
        self.negative[slots] |= negative
        self._marks[slots] = CHANGED

    def correct(self, slot: int, bit: int) -> None:
        """A task whose negative was taught says yes after all."""
        self.negative[slot] &= ~bit
        self.answer(slot, positive=bit)

    def latest(self, user: int, item: int) -> int | None:
        """The number of the latest impression of `item` on `user`."""
        return self._latest.get(user << _USER_BITS | item)

    def latest_at(self, user: int, item: int, at_ms: int, kept_ms: int) -> int | None:
        """The number of the latest impression of `item` on `user` that was opened by `at_ms`; by a search of all.

        What came before `kept_ms`, by the partition's clock, is let go at the end of the step at the latest.
        """
        numbers = np.arange(self.first, self.next)
        slots = numbers % len(self.user)
        some = (self.user[slots] == user) & (self.item[slots] == item)
        some &= (self.opened_ms[slots] <= at_ms) & (self.order_ms[slots] >= kept_ms)
        if not some.any():
            return None
        found, opened_ms = numbers[some], self.opened_ms[slots[some]]
        return int(found[opened_ms == opened_ms.max()][-1])

    def slot(self, number: int) -> int:
        """Where the columns hold impression `number`."""
        return number % len(self.user)

    def close(self, window_ms: int, now_ms: int) -> IntArray:
        """Slots of the impressions whose window of this length has closed since the last call.

        The window's last millisecond is inside: closing by it would make the labels of events with equal times
        depend on which of them share a step.
        """
        start, size = max(self.closed.get(window_ms, 0), self.first), len(self.user)
        waiting = range(start, self.next)
        end = start + bisect_left(
            waiting, now_ms - window_ms, key=lambda number: self.order_ms[number % size]
        )
        self.closed[window_ms] = end
        return np.arange(start, end) % size

    def release(self, windows_ms: Sequence[int]) -> None:
        """Let go of the impressions that all windows have closed."""
        self._drop_until(min((self.closed.get(window, 0) for window in windows_ms), default=self.first))

    def of_user(self, user: int) -> tuple[list[int], list[int]]:
        """Item rows and times (ms) of the pending impressions of `user`, oldest first."""
        size = len(self.user)
        slots = np.flatnonzero(self.user == user)
        age = (slots - self.first) % size  # in the ring; what lies behind its end has left
        slots = slots[age < self.next - self.first]
        slots = slots[np.argsort((slots - self.first) % size)]
        return self.item[slots].tolist(), self.opened_ms[slots].tolist()

    def make_room(self, entering_ms: Mapping[int, IntArray]) -> None:
        """History events have come that lie before impressions which wait: these have one more before them each.

        Args:
            entering_ms: By user row, (M,) the events' times, ascending.
        """
        slots = np.arange(self.first, self.next) % len(self.user)
        slots = slots[np.isin(self.user[slots], list(entering_ms))]
        for user in np.unique(self.user[slots]).tolist():
            mine = slots[self.user[slots] == user]
            self.as_of[mine] += np.searchsorted(entering_ms[user], self.opened_ms[mine], side="left")
            self._marks[mine] = CHANGED

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Nothing more will be learned from impressions of users or items that are gone."""
        numbers = np.arange(self.first, self.next)
        slots = numbers % len(self.user)
        gone = np.zeros(len(slots), np.bool_)
        if users is not None:
            gone |= np.isin(self.user[slots], users)
        if items is not None:
            gone |= np.isin(self.item[slots], items)
        for number, slot in zip(numbers[gone].tolist(), slots[gone].tolist(), strict=True):
            self._unlink(number, slot)
        self.user[slots[gone]] = ABSENT
        self.item[slots[gone]] = ABSENT
        self.resolved[slots[gone]] = -1  # every bit
        self.positive[slots[gone]], self.negative[slots[gone]] = 0, 0
        self._marks[slots[gone]] = CHANGED

    def _drop_until(self, number: int) -> None:
        for gone in range(self.first, min(number, self.next)):
            self._unlink(gone, gone % len(self.user))
        self.first = max(self.first, min(number, self.next))

    def _unlink(self, number: int, slot: int) -> None:
        key = int(self.user[slot]) << _USER_BITS | int(self.item[slot])
        if self._latest.get(key) == number:
            del self._latest[key]

    def _make_room(self) -> None:
        size = len(self.user)
        if size < self.capacity:
            numbers = np.arange(self.first, self.next)
            bigger = min(2 * size, self.capacity)
            for name, empty in _COLUMNS.items():
                old = getattr(self, name)
                column = np.full((bigger, *old.shape[1:]), empty, old.dtype)
                column[numbers % bigger] = old[numbers % size]
                setattr(self, name, column)
            self._marks = np.full(bigger, CHANGED, np.uint8)  # they stand elsewhere now
        else:
            dropped = max(1, size // 100)
            self.expired_early += dropped
            self._drop_until(self.first + dropped)

    def live_state(self) -> LiveState:
        """The slots, those that are free too: an impression stays where it is."""
        return {
            **{name: Table(getattr(self, name), self._marks, empty) for name, empty in _COLUMNS.items()},
            "closed": np.array(sorted(self.closed.items()), np.int64).reshape(-1, 2),
            "scalars": np.array([self.first, self.next, self.expired_early, self.watermark_ms], np.int64),
        }

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    @staticmethod
    def task_axes(shown: Axis) -> TaskAxes:
        """Where the tasks are in it, given where they are in what is noted.

        A task that begins does not wait for impressions from before: whether they were answered, nobody knows.
        """
        return {
            "resolved": Bits(fill=True),
            "positive": Bits(fill=False),
            "negative": Bits(fill=False),
            "shown": {1: shown},
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; where this capacity is smaller, the newest impressions stay."""
        self.first, self.next, self.expired_early, self.watermark_ms = (
            int(value) for value in arrays["scalars"]
        )
        saved_size = len(arrays["user"])
        first = self.first
        self.first = max(first, self.next - self.capacity)
        self.expired_early += self.first - first
        size = saved_size if 0 < saved_size <= self.capacity else max(min(self.capacity, 256), len(self))
        numbers = np.arange(self.first, self.next)
        for name, empty in _COLUMNS.items():
            saved = arrays[name]
            if size == saved_size:
                column = saved.copy()
            else:
                column = np.full((size, *saved.shape[1:]), empty, saved.dtype)
                column[numbers % size] = saved[numbers % max(saved_size, 1)]
            setattr(self, name, column)
        self._marks = np.zeros(size, np.uint8)
        self.closed = {int(window): int(number) for window, number in arrays["closed"]}
        self._latest = {}
        for number in numbers.tolist():
            slot = number % size
            if self.user[slot] != ABSENT:
                self._latest[int(self.user[slot]) << _USER_BITS | int(self.item[slot])] = number
