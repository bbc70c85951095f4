"""What is remembered of every user: a bounded history, the latest slate, pending impressions, applied offsets.

Kept in columns, one row a user, so that a batch of users is one gather; `UserState` is one user, to look at.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.context_fields import NO_CONTEXT, ContextArray, ContextFields
from learners.event_batch import BoolArray, Histories, IntArray
from learners.row_index import ABSENT, RowIndex
from learners.state_arrays import Arrays, grown, nest, unnest
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole
from stream.arrangement import Kept, Placement, Rearranged, grouped, ordinals, place
from stream.history_length import carried_over
from stream.pending import PendingImpressions

logger = logging.getLogger(__name__)

NOWHERE = -1
"""Partition of users who came without one (tests, evaluation)."""

_COLUMNS = (
    "items",
    "types",
    "times_ms",
    "remembered",
    "events",
    "partition",
    "slate",
    "slate_id",
    "slate_at_ms",
    "newest_ms",
    "context",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserState:
    """One user. Item rows, not ids: the pipeline knows which is which.

    Attributes:
        user_id: Whose state.
        partition: The partition its events come from.
        events: How many of its events were applied.
        item_rows: History, oldest first.
        types: Event types' numbers of the history.
        times_ms: Event times of the history.
        pending: Impressions that wait for labels: their item rows and when they were made, oldest first.
        slate_rows: Item rows of the latest slate, best first.
        slate_id: Its id, 0 where there is none.
        slate_at_ms: When it was made.
    """

    user_id: str
    partition: int
    events: int
    item_rows: list[int]
    types: list[int]
    times_ms: list[int]
    pending: tuple[list[int], list[int]]
    slate_rows: list[int]
    slate_id: int
    slate_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """The events of one step as columns, before they are applied.

    Attributes:
        users: (B,) user rows.
        items: (B,) item rows.
        types: (B,) event types' numbers.
        times_ms: (B,) event times.
        remembered: (B,) whether the event enters the history (impressions do not).
        as_of: (B,) how many history events the user had had before this one.
        context: (B, F) buckets of what the event says of the declared fields.
        rearranged: Histories of the users, by row, whose events came out of order.
    """

    users: IntArray
    items: IntArray
    types: IntArray
    times_ms: IntArray
    remembered: BoolArray
    as_of: IntArray
    context: ContextArray
    rearranged: Mapping[int, Rearranged] = field(default_factory=dict)


class UserStates:
    """All users of this worker.

    Args:
        history_length: R, events remembered of a user.
        max_users: Bound; beyond, the users that were silent for longest are forgotten.
        slate_size: Items remembered of the latest slate.
        max_pending: Bound of pending impressions, for each partition.
        lateness_ms: How far behind its user's newest event one may lie and enter the history.
        context: What a history remembers of its events' contexts.
    """

    def __init__(
        self,
        *,
        history_length: int,
        max_users: int,
        slate_size: int,
        max_pending: int,
        lateness_ms: int = 3_600_000,
        context: ContextFields = NO_CONTEXT,
    ) -> None:
        self.history_length = history_length
        self._lateness_ms = lateness_ms
        self.index = RowIndex(max_users)
        self.applied: dict[int, int] = {}
        """Last applied offset of each partition: what makes a replay harmless."""
        self._max_pending = max_pending
        self._forgotten: list[IntArray] = []
        self._pending: dict[int, PendingImpressions] = {}
        self._items: NDArray[np.int32] = np.full((16, history_length), ABSENT, np.int32)
        self._types: NDArray[np.uint8] = np.zeros((16, history_length), np.uint8)
        self._times_ms: IntArray = np.zeros((16, history_length), np.int64)
        self._remembered: IntArray = np.zeros(16, np.int64)
        self._events: IntArray = np.zeros(16, np.int64)
        self._partition: NDArray[np.int32] = np.full(16, NOWHERE, np.int32)
        self._slate: NDArray[np.int32] = np.full((16, slate_size), ABSENT, np.int32)
        self._slate_id: NDArray[np.uint64] = np.zeros(16, np.uint64)
        self._slate_at_ms: IntArray = np.zeros(16, np.int64)
        self._newest_ms: IntArray = np.zeros(16, np.int64)
        self._fields = context
        self._context = context.empty(16, history_length)
        self._marks: Marks = np.zeros(16, np.uint8)

    def __len__(self) -> int:
        return len(self.index)

    # --- users

    def admit(self, user_ids: Sequence[str], partitions: Sequence[int] | None = None) -> IntArray:
        """Rows of the users, new ones made; `partitions` says where their events come from."""
        rows = self.index.admit(user_ids)
        evicted = self.index.take_evicted()
        if len(evicted):
            self._forget_users(evicted)
        self._grow(self.index.size)
        if partitions is not None:
            self._partition[rows] = np.asarray(partitions, np.int32)
            self._marks[rows] = CHANGED
        return rows

    def partition_of(self, users: IntArray) -> NDArray[np.int32]:
        """(N,) the partitions of user rows."""
        return self._partition[users]

    def pending_of(self, partition: int) -> PendingImpressions:
        """The partition's pending impressions."""
        if partition not in self._pending:
            self._pending[partition] = PendingImpressions(self._max_pending)
        return self._pending[partition]

    @property
    def pending(self) -> int:
        """Impressions that wait for labels, over all partitions."""
        return sum(len(pending) for pending in self._pending.values())

    @property
    def expired(self) -> int:
        """Impressions that left without their labels because there were too many, over all partitions."""
        return sum(pending.expired_early for pending in self._pending.values())

    def user(self, user_id: str) -> UserState | None:
        """One user's state, None where nothing is known of it."""
        row = self.index.row(user_id)
        if row == ABSENT:
            return None
        item_rows, types, times_ms = self.history(row)
        slate = self._slate[row]
        partition = int(self._partition[row])
        return UserState(
            user_id=user_id,
            partition=partition,
            events=self.events(row),
            item_rows=item_rows,
            types=types,
            times_ms=times_ms,
            pending=self.pending_of(partition).of_user(row),
            slate_rows=slate[slate != ABSENT].tolist(),
            slate_id=int(self._slate_id[row]),
            slate_at_ms=int(self._slate_at_ms[row]),
        )

    def events(self, row: int) -> int:
        """How many events of a user row were applied."""
        return int(self._events[row])

    # --- histories

    def history(self, row: int) -> tuple[list[int], list[int], list[int]]:
        """Item rows, types and times of what is kept of a user row's history, oldest first."""
        slots = self._kept_slots(row)
        kept = slots[self._items[row, slots] != ABSENT]
        return (
            self._items[row, kept].tolist(),
            self._types[row, kept].tolist(),
            self._times_ms[row, kept].tolist(),
        )

    def as_of(self, users: IntArray, remembered: BoolArray) -> IntArray:
        """(B,) history length of each event's user just before the event, earlier events of the batch counted."""
        return self._remembered[users] + ordinals(users, remembered, *grouped(users))

    def place(self, users: IntArray, times_ms: IntArray, remembered: BoolArray) -> Placement:
        """Where events that may have come out of order belong.

        Args:
            users: (B,) user rows.
            times_ms: (B,) event times.
            remembered: (B,) whether the event is of a kind that enters the history.
        """
        return place(
            users,
            times_ms,
            remembered,
            lengths=self._remembered[users],
            newest_ms=self._newest_ms[users],
            kept=self._kept,
            lateness_ms=self._lateness_ms,
        )

    def make_room(self, batch: EventColumns) -> None:
        """Waiting impressions learn of history events before them that have come only now: before labels are found."""
        by_partition: dict[int, list[int]] = {}
        for user in batch.rearranged:
            by_partition.setdefault(int(self._partition[user]), []).append(user)
        for partition, users in by_partition.items():
            self.pending_of(partition).make_room({user: batch.rearranged[user].entering_ms for user in users})

    def histories(
        self, users: IntArray, as_of: IntArray, moments_ms: IntArray, batch: EventColumns | None = None
    ) -> Histories:
        """What users had done at moments: gathered from the rings and, beyond them, from the batch at hand.

        Args:
            users: (S,) user rows.
            as_of: (S,) how many history events had come before the moment.
            moments_ms: (S,) event times of the moments.
            batch: Events that are not applied yet but may lie before a moment.
        """
        R = self.history_length
        place = as_of[:, None] - R + np.arange(R)  # (S, R) numbers in the user's whole history
        base = self._remembered[users][:, None]
        kept = (place >= 0) & (place >= base - R) & (place < base)
        row, slot = np.broadcast_to(users[:, None], place.shape), place % R
        items = np.where(kept, self._items[row, slot], ABSENT).astype(np.int64)
        types = np.where(kept, self._types[row, slot], 0).astype(np.int64)
        times_ms = np.where(kept, self._times_ms[row, slot], 0)
        context = self._fields.empty(*place.shape)
        if len(self._fields):
            context[kept] = self._context[row[kept], slot[kept]]
        if batch is not None:
            ahead = place >= base
            if ahead.any():
                events = np.flatnonzero(batch.remembered)
                events = events[np.argsort(batch.users[events], kind="stable")]
                first = np.searchsorted(batch.users[events], users)
                index = events[np.where(ahead, first[:, None] + place - base, 0)]
                items = np.where(ahead, batch.items[index], items)
                types = np.where(ahead, batch.types[index], types)
                times_ms = np.where(ahead, batch.times_ms[index], times_ms)
                context[ahead] = batch.context[index[ahead]]
            for n in np.flatnonzero(np.isin(users, list(batch.rearranged))).tolist():
                items[n], types[n], times_ms[n], context[n] = self._rearranged(int(users[n]), place[n], batch)
        filled = items != ABSENT
        age_s = np.where(filled, np.maximum(moments_ms[:, None] - times_ms, 0) / 1000.0, 0.0)
        return _pushed_right(
            Histories(
                users=users,
                item_rows=items,
                types=types,
                age_s=age_s.astype(np.float32),
                context=context,
                now_s=moments_ms / 1000.0,
                lengths=as_of,
            )
        )

    def apply(self, batch: EventColumns) -> None:
        """Count the batch's events and remember those that enter the history."""
        np.add.at(self._events, batch.users, 1)
        self._marks[batch.users] = CHANGED
        np.maximum.at(self._newest_ms, batch.users, batch.times_ms)
        for user, rearranged in batch.rearranged.items():
            numbers = rearranged.first + np.arange(len(rearranged.sources))[-self.history_length :]
            slots = numbers % self.history_length
            (
                self._items[user, slots],
                self._types[user, slots],
                self._times_ms[user, slots],
                self._context[user, slots],
            ) = self._rearranged(user, numbers, batch)
            self._remembered[user] += len(rearranged.entering_ms)
        appended = batch.remembered
        if batch.rearranged:
            appended = appended & ~np.isin(batch.users, list(batch.rearranged))
        events = np.flatnonzero(appended)
        users = batch.users[events]
        _, group, arrivals = np.unique(users, return_inverse=True, return_counts=True)
        ordinal = ordinals(users, np.ones(len(users), np.bool_), *grouped(users))
        lasting = (
            ordinal >= arrivals[group] - self.history_length
        )  # earlier ones would be overwritten at once
        slot = (self._remembered[users] + ordinal) % self.history_length
        where = (users[lasting], slot[lasting])
        self._items[where] = batch.items[events[lasting]]
        self._types[where] = batch.types[events[lasting]]
        self._times_ms[where] = batch.times_ms[events[lasting]]
        self._context[where] = batch.context[events[lasting]]
        np.add.at(self._remembered, users, 1)

    def remembered(self, users: IntArray) -> IntArray:
        """(N,) length of the users' whole histories."""
        return self._remembered[users]

    def newest_ms(self, users: IntArray) -> IntArray:
        """(N,) event times of the users' newest history events, 0 where there are none."""
        newest = self._times_ms[users, (self._remembered[users] - 1) % self.history_length]
        return np.where(self._remembered[users] > 0, newest, 0)

    def _kept_slots(self, user: int) -> IntArray:
        """(P,) the slots of the ring that hold a user's history, oldest first."""
        count = int(self._remembered[user])
        return np.arange(max(0, count - self.history_length), count) % self.history_length

    def _kept(self, user: int) -> Kept:
        slots = self._kept_slots(user)
        first = int(self._remembered[user]) - len(slots)
        return Kept(first, slots, self._times_ms[user, slots])

    def _rearranged(
        self, user: int, numbers: IntArray, batch: EventColumns
    ) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Items, types, times (N,) and contexts (N, F) of entries of a rearranged history.

        `ABSENT` and zeros where nothing is kept.
        """
        entries = batch.rearranged[user].entries
        return (
            entries(numbers, batch.items, self._items[user], ABSENT),
            entries(numbers, batch.types, self._types[user], 0),
            entries(numbers, batch.times_ms, self._times_ms[user], 0),
            entries(numbers, batch.context, self._context[user], 0),
        )

    def remember_slates(
        self, users: IntArray, item_rows: IntArray, ids: NDArray[np.uint64], now_ms: int
    ) -> None:
        """Keep the latest slates: (N,) users, (N, places) item rows, (N,) ids."""
        width = min(item_rows.shape[1], self._slate.shape[1])
        self._slate[users] = ABSENT
        self._slate[users, :width] = item_rows[:, :width]
        self._slate_id[users] = ids
        self._slate_at_ms[users] = now_ms
        self._marks[users] = CHANGED

    # --- forgetting

    def forget_items(self, rows: IntArray) -> None:
        """Empty the slots of items that are gone, so that a reused row is not mistaken for them."""
        for column in (self._items, self._slate):
            gone = np.isin(column, rows)
            column[gone] = ABSENT
            self._marks[gone.any(axis=1)] = CHANGED
        for pending in self._pending.values():
            pending.forget(items=rows)

    def take_forgotten(self) -> IntArray:
        """Rows of the users that were forgotten since the last call; they may be others' by now."""
        forgotten, self._forgotten = self._forgotten, []
        return np.concatenate(forgotten) if forgotten else np.zeros(0, np.int64)

    def _forget_users(self, rows: IntArray) -> None:
        self._forgotten.append(rows)
        rows = rows[rows < len(self._items)]
        for column, empty in self._columns():
            column[rows] = empty
        self._marks[rows] = CHANGED
        for pending in self._pending.values():
            pending.forget(users=rows)

    def _columns(self) -> list[tuple[NDArray[Any], int]]:
        return [
            (self._items, ABSENT),
            (self._types, 0),
            (self._times_ms, 0),
            (self._remembered, 0),
            (self._events, 0),
            (self._partition, NOWHERE),
            (self._slate, ABSENT),
            (self._slate_id, 0),
            (self._slate_at_ms, 0),
            (self._newest_ms, 0),
            (self._context, 0),
        ]

    def _grow(self, rows: int) -> None:
        if rows <= len(self._items):
            return
        self._marks = grown(self._marks, rows)
        (
            self._items,
            self._types,
            self._times_ms,
            self._remembered,
            self._events,
            self._partition,
            self._slate,
            self._slate_id,
            self._slate_at_ms,
            self._newest_ms,
            self._context,
        ) = (grown(column, rows, fill=empty) for column, empty in self._columns())

    # --- state

    def live_state(self) -> LiveState:
        """All users, their pending impressions and the applied offsets."""
        size = self.index.size
        state: LiveState = {
            name: Table(column[:size], self._marks, empty)
            for name, (column, empty) in zip(_COLUMNS, self._columns(), strict=True)
            if column[:1].nbytes  # a context of no fields holds nothing
        }
        state |= nest("context_fields", self._fields.state_dict())
        state |= nest("index", self.index.live_state())
        state["applied"] = np.array(sorted(self.applied.items()), np.int64).reshape(-1, 2)
        state["pending_partitions"] = np.array(sorted(self._pending), np.int64)
        for partition, pending in self._pending.items():
            state |= nest(f"pending.{partition}", pending.live_state())
        return state

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; of histories that were kept at another length, the newest events that fit."""
        if arrays["items"].shape[1] != self.history_length:
            arrays = dict(arrays)
            for name, empty in (("items", ABSENT), ("types", 0), ("times_ms", 0), ("context", 0)):
                if name not in arrays:  # nothing was declared
                    continue
                arrays[name] = carried_over(arrays[name], arrays["remembered"], self.history_length, empty)
        self.index.load_state_dict(unnest("index", arrays))
        self._grow(self.index.size)
        size = self.index.size
        self._items[:size] = arrays["items"]
        self._types[:size] = arrays["types"]
        self._times_ms[:size] = arrays["times_ms"]
        self._remembered[:size] = arrays["remembered"]
        self._events[:size] = arrays["events"]
        self._partition[:size] = arrays["partition"]
        width = min(self._slate.shape[1], arrays["slate"].shape[1])
        self._slate[:size, :width] = arrays["slate"][:, :width]
        self._slate_id[:size] = arrays["slate_id"]
        self._slate_at_ms[:size] = arrays["slate_at_ms"]
        self._newest_ms[:size] = arrays["newest_ms"]
        self._marks[:] = 0
        self._load_context(arrays)
        self.applied = {int(partition): int(offset) for partition, offset in arrays["applied"]}
        self._pending = {}
        for partition in arrays["pending_partitions"].tolist():
            self.pending_of(partition).load_state_dict(unnest(f"pending.{partition}", arrays))

    def _load_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What histories know of the declared fields; all rows count as changed where that is not what was saved."""
        saved = unnest("context_fields", arrays)
        self._context[: self.index.size] = self._fields.taken_over(
            arrays.get("context"), saved, *arrays["items"].shape
        )
        if not self._fields.made(saved):
            self._marks[:] = CHANGED
            logger.warning(
                "Saved with another events.context or learner.context_buckets: what histories know of a field is kept "
                "where name and number of buckets are the same. The rest begins empty."
            )


def _pushed_right(histories: Histories) -> Histories:
    """Filled slots at the right end, in order; gaps arise where items were forgotten."""
    filled = histories.item_rows != ABSENT
    if not (filled[:, :-1] & ~filled[:, 1:]).any():
        return histories
    order = np.argsort(filled, axis=1, kind="stable")
    return Histories(
        users=histories.users,
        item_rows=np.take_along_axis(histories.item_rows, order, axis=1),
        types=np.take_along_axis(histories.types, order, axis=1),
        age_s=np.take_along_axis(histories.age_s, order, axis=1),
        context=np.take_along_axis(histories.context, order[:, :, None], axis=1),
        now_s=histories.now_s,
        lengths=histories.lengths,
    )
