"""Each user's latest history events, in rings of equal length: columns of one row a user.

History event number n of a user stands in slot n mod R.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.context_fields import ContextFields
from learners.event_batch import BoolArray, Histories, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import grown, nest, unnest
from learners.state_changes import LiveState, Marks, Table
from stream.arrangement import Kept, grouped, ordinals
from stream.event_columns import EventColumns
from stream.history_length import carried_over

logger = logging.getLogger(__name__)

_EMPTY = {"items": ABSENT, "types": 0, "times_ms": 0, "context": 0}
"""The columns of an event, and what an empty slot holds."""


class HistoryRings:
    """What is remembered of every user's events. Whose rows these are, and which of them changed, its owner knows.

    Args:
        length: R, events remembered of a user.
        fields: What is remembered of an event's context.
    """

    def __init__(self, length: int, fields: ContextFields) -> None:
        self.length = length
        self._fields = fields
        self._remembered: IntArray = np.zeros(16, np.int64)
        self._columns: dict[str, NDArray[Any]] = {
            "items": np.full((16, length), ABSENT, np.int32),
            "types": np.zeros((16, length), np.uint8),
            "times_ms": np.zeros((16, length), np.int64),
            "context": fields.empty(16, length),
        }

    def remembered(self, users: IntArray) -> IntArray:
        """(N,) length of the users' whole histories."""
        return self._remembered[users]

    def newest_ms(self, users: IntArray) -> IntArray:
        """(N,) event times of the users' newest history events, 0 where there are none."""
        newest = self._columns["times_ms"][users, (self._remembered[users] - 1) % self.length]
        return np.where(self._remembered[users] > 0, newest, 0)

    def kept(self, user: int) -> Kept:
        """What is kept of one user's history, forgotten items too."""
        count = int(self._remembered[user])
        slots = np.arange(max(0, count - self.length), count) % self.length
        return Kept(count - len(slots), slots, self._columns["times_ms"][user, slots])

    def history(self, user: int) -> tuple[list[int], list[int], list[int]]:
        """Item rows, types and times of what is kept of a user's history, oldest first."""
        slots = self.kept(user).slots
        slots = slots[self._columns["items"][user, slots] != ABSENT]
        items, types, times_ms = (
            self._columns[name][user, slots].tolist() for name in ("items", "types", "times_ms")
        )
        return items, types, times_ms

    def gather(
        self, users: IntArray, as_of: IntArray, moments_ms: IntArray, batch: EventColumns | None = None
    ) -> Histories:
        """What users had done at moments: from the rings and, beyond them, from the batch at hand.

        Args:
            users: (S,) user rows.
            as_of: (S,) how many history events had come before the moment.
            moments_ms: (S,) event times of the moments.
            batch: Events that are not applied yet but may lie before a moment.
        """
        R = self.length
        place = as_of[:, None] - R + np.arange(R)  # (S, R) numbers in the user's whole history
        base = self._remembered[users][:, None]
        kept = (place >= 0) & (place >= base - R) & (place < base)
        row, slot = np.broadcast_to(users[:, None], place.shape), place % R
        ring = self._columns
        items = np.where(kept, ring["items"][row, slot], ABSENT).astype(np.int64)
        types = np.where(kept, ring["types"][row, slot], 0).astype(np.int64)
        times_ms = np.where(kept, ring["times_ms"][row, slot], 0)
        context = self._fields.empty(*place.shape)
        if len(self._fields):
            context[kept] = ring["context"][row[kept], slot[kept]]
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
        """Remember the batch's events that enter the history."""
        for user, rearranged in batch.rearranged.items():
            numbers = rearranged.first + np.arange(len(rearranged.sources))[-self.length :]
            entries = self._rearranged(user, numbers, batch)
            for column, values in zip(self._columns.values(), entries, strict=True):
                column[user, numbers % self.length] = values
            self._remembered[user] += len(rearranged.entering_ms)
        appended = batch.remembered
        if batch.rearranged:
            appended = appended & ~np.isin(batch.users, list(batch.rearranged))
        self._append(batch, appended)

    def _append(self, batch: EventColumns, appended: BoolArray) -> None:
        events = np.flatnonzero(appended)
        users = batch.users[events]
        _, group, arrivals = np.unique(users, return_inverse=True, return_counts=True)
        ordinal = ordinals(users, np.ones(len(users), np.bool_), *grouped(users))
        lasting = ordinal >= arrivals[group] - self.length  # earlier ones would be overwritten at once
        slot = (self._remembered[users] + ordinal) % self.length
        for name, column in self._columns.items():
            column[users[lasting], slot[lasting]] = getattr(batch, name)[events[lasting]]
        np.add.at(self._remembered, users, 1)

    def _rearranged(self, user: int, numbers: IntArray, batch: EventColumns) -> list[IntArray]:
        """Each column (N,), contexts (N, F), of entries of a rearranged history; empty where nothing is kept."""
        entries = batch.rearranged[user].entries
        return [
            entries(numbers, getattr(batch, name), column[user], _EMPTY[name])
            for name, column in self._columns.items()
        ]

    def forget_items(self, rows: IntArray) -> BoolArray:
        """Empty the slots of items that are gone; returns (U,) whose ring has changed."""
        gone = np.isin(self._columns["items"], rows)
        self._columns["items"][gone] = ABSENT
        changed: BoolArray = np.asarray(gone.any(axis=1))
        return changed

    def forget_users(self, rows: IntArray) -> None:
        """Empty the rings of users who are gone."""
        rows = rows[rows < len(self._remembered)]
        self._remembered[rows] = 0
        for name, column in self._columns.items():
            column[rows] = _EMPTY[name]

    def ensure(self, users: int) -> None:
        """Make room for user rows below this."""
        self._remembered = grown(self._remembered, users)
        for name, column in self._columns.items():
            self._columns[name] = grown(column, users, fill=_EMPTY[name])

    # --- state

    def live_state(self, users: int, marks: Marks) -> LiveState:
        """Rings of the first `users` rows; `marks` are theirs."""
        state: LiveState = {
            name: Table(column[:users], marks, _EMPTY[name])
            for name, column in self._columns.items()
            if column[:1].nbytes  # a context of no fields holds nothing
        }
        state["remembered"] = Table(self._remembered[:users], marks)
        return state | nest("context_fields", self._fields.state_dict())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """The inverse; of histories that were kept at another length the newest events that fit.

        Returns:
            Whether what is declared of contexts is what was saved; the rows are others where not.
        """
        size, remembered = len(arrays["remembered"]), arrays["remembered"]
        self.ensure(size)
        self._remembered[:size] = remembered
        saved = unnest("context_fields", arrays)
        rings = {name: arrays[name] for name in _EMPTY if name in arrays}
        if arrays["items"].shape[1] != self.length:
            rings = {
                name: carried_over(ring, remembered, self.length, _EMPTY[name])
                for name, ring in rings.items()
            }
        rings["context"] = self._fields.taken_over(rings.get("context"), saved, size, self.length)
        for name, ring in rings.items():
            self._columns[name][:size] = ring
        if self._fields.made(saved):
            return True
        logger.warning(
            "Saved with another events.context or learner.context_buckets: what histories know of a field is kept "
            "where name and number of buckets are the same. The rest begins empty."
        )
        return False


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
