"""What is remembered of every user: a bounded history, the latest slate, pending impressions, applied offsets.

Kept in columns, one row a user, so that a batch of users is one gather; `UserState` is one user, to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.context_fields import NO_CONTEXT, ContextFields
from learners.event_batch import BoolArray, Histories, IntArray
from learners.row_index import ABSENT, RowIndex
from learners.row_table import RowTable
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import CHANGED, LiveState, whole
from learners.task_axes import Axis, TaskAxes
from stream.arrangement import Placement, grouped, ordinals, place
from stream.event_columns import EventColumns
from stream.history_rings import HistoryRings
from stream.pending import PendingImpressions

NOWHERE = -1
"""Partition of users who came without one (tests, evaluation)."""


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
        self._lateness_ms = lateness_ms
        self.index = RowIndex(max_users)
        self.applied: dict[int, int] = {}
        """Last applied offset of each partition: what makes a replay harmless."""
        self._max_pending = max_pending
        self._forgotten: list[IntArray] = []
        self._pending: dict[int, PendingImpressions] = {}
        self._rings = HistoryRings(history_length, context)
        self._rows = RowTable(
            events=np.int64(0),
            partition=np.int32(NOWHERE),
            slate=np.full(slate_size, ABSENT, np.int32),
            slate_id=np.uint64(0),
            slate_at_ms=np.int64(0),
            newest_ms=np.int64(0),
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def history_length(self) -> int:
        """R, events remembered of a user."""
        return self._rings.length

    # --- users

    def admit(self, user_ids: Sequence[str], partitions: Sequence[int] | None = None) -> IntArray:
        """Rows of the users, new ones made; `partitions` says where their events come from."""
        rows = self.index.admit(user_ids)
        evicted = self.index.take_evicted()
        if len(evicted):
            self._forget_users(evicted)
        self._grow(self.index.size)
        if partitions is not None:
            self._rows["partition"][rows] = np.asarray(partitions, np.int32)
            self._rows.mark(rows)
        return rows

    def partition_of(self, users: IntArray) -> NDArray[np.int32]:
        """(N,) the partitions of user rows."""
        partitions: NDArray[np.int32] = self._rows["partition"][users]
        return partitions

    def pending_of(self, partition: int) -> PendingImpressions:
        """The partition's pending impressions."""
        if partition not in self._pending:
            self._pending[partition] = PendingImpressions(self._max_pending)
        return self._pending[partition]

    @property
    def pending(self) -> int:
        """Impressions that wait for labels, over all partitions; any thread may ask."""
        return sum(len(pending) for pending in list(self._pending.values()))

    @property
    def watermark_ms(self) -> int:
        """Newest event time seen, over all partitions; 0 where there was none."""
        return max((pending.watermark_ms for pending in self._pending.values()), default=0)

    @property
    def expired(self) -> int:
        """Impressions that left without labels since there were too many, over all partitions; any thread may ask."""
        return sum(pending.expired_early for pending in list(self._pending.values()))

    def user(self, user_id: str) -> UserState | None:
        """One user's state, None where nothing is known of it."""
        row = self.index.row(user_id)
        if row == ABSENT:
            return None
        item_rows, types, times_ms = self.history(row)
        slate = self._rows["slate"][row]
        partition = int(self._rows["partition"][row])
        return UserState(
            user_id=user_id,
            partition=partition,
            events=self.events(row),
            item_rows=item_rows,
            types=types,
            times_ms=times_ms,
            pending=self.pending_of(partition).of_user(row),
            slate_rows=slate[slate != ABSENT].tolist(),
            slate_id=int(self._rows["slate_id"][row]),
            slate_at_ms=int(self._rows["slate_at_ms"][row]),
        )

    def events(self, row: int) -> int:
        """How many events of a user row were applied."""
        return int(self._rows["events"][row])

    # --- histories

    def history(self, row: int) -> tuple[list[int], list[int], list[int]]:
        """Item rows, types and times of what is kept of a user row's history, oldest first."""
        return self._rings.history(row)

    def as_of(self, users: IntArray, remembered: BoolArray) -> IntArray:
        """(B,) history length of each event's user just before the event, earlier events of the batch counted."""
        return self._rings.remembered(users) + ordinals(users, remembered, *grouped(users))

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
            lengths=self._rings.remembered(users),
            newest_ms=self._rows["newest_ms"][users],
            kept=self._rings.kept,
            lateness_ms=self._lateness_ms,
        )

    def make_room(self, batch: EventColumns) -> None:
        """Waiting impressions learn of history events before them that have come only now: before labels are found."""
        by_partition: dict[int, list[int]] = {}
        for user in batch.rearranged:
            by_partition.setdefault(int(self._rows["partition"][user]), []).append(user)
        for partition, users in by_partition.items():
            self.pending_of(partition).make_room({user: batch.rearranged[user].entering_ms for user in users})

    def histories(
        self, users: IntArray, as_of: IntArray, moments_ms: IntArray, batch: EventColumns | None = None
    ) -> Histories:
        """What users had done at moments, see `HistoryRings.gather`."""
        return self._rings.gather(users, as_of, moments_ms, batch)

    def apply(self, batch: EventColumns) -> None:
        """Count the batch's events and remember those that enter the history."""
        np.add.at(self._rows["events"], batch.users, 1)
        np.maximum.at(self._rows["newest_ms"], batch.users, batch.times_ms)
        self._rings.apply(batch)
        self._rows.mark(batch.users)

    def remembered(self, users: IntArray) -> IntArray:
        """(N,) length of the users' whole histories."""
        return self._rings.remembered(users)

    def newest_ms(self, users: IntArray) -> IntArray:
        """(N,) event times of the users' newest history events, 0 where there are none."""
        return self._rings.newest_ms(users)

    def remember_slates(
        self, users: IntArray, item_rows: IntArray, ids: NDArray[np.uint64], now_ms: int
    ) -> None:
        """Keep the latest slates: (N,) users, (N, places) item rows, (N,) ids."""
        slate = self._rows["slate"]
        width = min(item_rows.shape[1], slate.shape[1])
        slate[users] = ABSENT
        slate[users, :width] = item_rows[:, :width]
        self._rows["slate_id"][users] = ids
        self._rows["slate_at_ms"][users] = now_ms
        self._rows.mark(users)

    def slates(self, users: IntArray) -> NDArray[np.int32]:
        """(N, places) item rows of the users' latest slates, `ABSENT` where there are fewer."""
        slates: NDArray[np.int32] = self._rows["slate"][users]
        return slates

    # --- forgetting

    def forget_items(self, rows: IntArray) -> None:
        """Empty the slots of items that are gone, so that a reused row is not mistaken for them."""
        slate = self._rows["slate"]
        in_slate = np.isin(slate, rows)
        slate[in_slate] = ABSENT
        self._rows.mark(np.flatnonzero(in_slate.any(axis=1) | self._rings.forget_items(rows)))
        for pending in self._pending.values():
            pending.forget(items=rows)

    def take_forgotten(self) -> IntArray:
        """Rows of the users that were forgotten since the last call; they may be others' by now."""
        forgotten, self._forgotten = self._forgotten, []
        return np.concatenate(forgotten) if forgotten else np.zeros(0, np.int64)

    def _forget_users(self, rows: IntArray) -> None:
        self._forgotten.append(rows)
        self._rings.forget_users(rows)
        self._rows.forget(rows)
        for pending in self._pending.values():
            pending.forget(users=rows)

    def _grow(self, rows: int) -> None:
        self._rows.ensure(rows)
        self._rings.ensure(rows)

    # --- state

    def live_state(self) -> LiveState:
        """All users, their pending impressions and the applied offsets."""
        size = self.index.size
        state = self._rows.live_state(size) | self._rings.live_state(size, self._rows.marks)
        state |= nest("index", self.index.live_state())
        state["applied"] = np.array(sorted(self.applied.items()), np.int64).reshape(-1, 2)
        state["pending_partitions"] = np.array(sorted(self._pending), np.int64)
        for partition, pending in self._pending.items():
            state |= nest(f"pending.{partition}", pending.live_state())
        return state

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    @staticmethod
    def task_axes(partitions: Sequence[int], shown: Axis) -> TaskAxes:
        """Where the tasks are in it.

        Args:
            partitions: That have pending impressions.
            shown: Where they are in what is noted with these.
        """
        axes = PendingImpressions.task_axes(shown)
        return {
            name: of for partition in partitions for name, of in nest(f"pending.{partition}", axes).items()
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; of histories that were kept at another length, the newest events that fit."""
        self.index.load_state_dict(unnest("index", arrays))
        size = self.index.size
        self._grow(size)
        same = self._rings.load_state_dict(arrays)
        for name in ("events", "partition", "slate_id", "slate_at_ms", "newest_ms"):
            self._rows[name][:size] = arrays[name]
        slate = self._rows["slate"]
        width = min(slate.shape[1], arrays["slate"].shape[1])
        slate[:size, :width] = arrays["slate"][:, :width]
        self._rows.marks[:] = 0 if same else CHANGED
        self.applied = {int(partition): int(offset) for partition, offset in arrays["applied"]}
        self._pending = {}
        for partition in arrays["pending_partitions"].tolist():
            self.pending_of(partition).load_state_dict(unnest(f"pending.{partition}", arrays))
