"""Labels from events: what was done with an impression within its window, and what was not.

A positive is a label when it arrives. A negative is one only when the window has closed without it: until
then the label is not known, which is not the same as negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.task import Task
from stream.pending import PendingImpressions
from stream.user_states import EventColumns, UserStates


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Which events are a task's positives.

    Attributes:
        event_types: Numbers of the event types.
        scale: A regression's value that counts as 1; larger ones count as 1 too.
    """

    event_types: frozenset[int]
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRows:
    """Labels that became known in one step: L rows, K tasks.

    Attributes:
        users: (L,) user rows.
        items: (L,) item rows.
        as_of: (L,) length of the user's history when the impression was made.
        moments_ms: (L,) when that was.
        position: (L,) place of the item, -1 where not known.
        labels: (L, K) values.
        mask: (L, K) which of them are known.
        delay_s: (L,) event time from the impression to the label.
    """

    users: IntArray
    items: IntArray
    as_of: IntArray
    moments_ms: IntArray
    position: IntArray
    labels: FloatArray
    mask: BoolArray
    delay_s: FloatArray

    def __len__(self) -> int:
        return len(self.users)


@dataclass(slots=True)
class _Rows:
    """Label rows while they are gathered."""

    tasks: int
    columns: list[IntArray] = field(default_factory=list)
    labels: list[FloatArray] = field(default_factory=list)
    masks: list[BoolArray] = field(default_factory=list)

    def add(
        self, pending: PendingImpressions, slots: IntArray, labels: FloatArray, mask: BoolArray, known_ms: int
    ) -> None:
        opened = pending.opened_ms[slots]
        self.columns.append(
            np.stack(
                [
                    pending.user[slots],
                    pending.item[slots],
                    pending.as_of[slots],
                    opened,
                    pending.position[slots],
                    np.maximum(known_ms - opened, 0),
                ]
            )
        )
        self.labels.append(labels)
        self.masks.append(mask)

    def finish(self) -> LabelRows:
        columns = np.concatenate(self.columns, axis=1) if self.columns else np.zeros((6, 0), np.int64)
        empty = np.zeros((0, self.tasks), np.float32)
        return LabelRows(
            users=columns[0],
            items=columns[1],
            as_of=columns[2],
            moments_ms=columns[3],
            position=columns[4],
            delay_s=(columns[5] / 1000.0).astype(np.float32),
            labels=np.concatenate(self.labels) if self.labels else empty,
            mask=np.concatenate(self.masks) if self.masks else empty.astype(np.bool_),
        )


class Attribution:
    """Joins events to the impressions that they answer.

    An event on an item without a pending impression (a log without impressions, a direct visit) stands for
    one itself, so that later answers have something to belong to. What it answers itself is not a label, nor
    is what only a shown item can get: whoever acts on an item has noticed it.

    Args:
        tasks: Axis K.
        sources: For each task its positives.
        impression_type: Number of the event type that only shows.
        noticing_types: Numbers of the event types that answer being shown (click, view).
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        sources: Mapping[str, LabelSource],
        impression_type: int,
        noticing_types: frozenset[int],
    ) -> None:
        self._tasks = tuple(tasks)
        self._impression = impression_type
        self._windows_ms = np.array([int(task.window_s * 1000) for task in tasks])
        self._binary = np.array([task.kind == "binary" for task in tasks])
        self._scale = [sources[task.name].scale for task in tasks]
        self._answers: dict[int, tuple[int, ...]] = {}
        for number, task in enumerate(tasks):
            for event_type in sources[task.name].event_types:
                self._answers[event_type] = (*self._answers.get(event_type, ()), number)
        self._closings = tuple(sorted({int(window) for window in self._windows_ms}))
        self._regressions = sum(1 << number for number, binary in enumerate(self._binary) if not binary)
        self._noticed = self._regressions | sum(
            1 << number
            for number, task in enumerate(tasks)
            if sources[task.name].event_types & noticing_types
        )

    def observe(
        self, batch: EventColumns, position: IntArray, values: FloatArray, states: UserStates
    ) -> LabelRows:
        """Open impressions, answer them, and close the windows that have run out.

        Args:
            batch: (B,) events, each partition's in order.
            position: (B,) places, -1 where not known.
            values: (B,) values, NaN where there are none.
            states: Holds the pending impressions.
        """
        rows = _Rows(len(self._tasks))
        partitions = states.partition_of(batch.users).tolist()
        columns = (batch.users, batch.items, batch.types, batch.times_ms, batch.as_of, position, values)
        for partition, *event in zip(partitions, *(column.tolist() for column in columns), strict=True):
            self._observe_one(states.pending_of(partition), rows, *event)
        for partition in dict.fromkeys(partitions):
            self._close(states.pending_of(partition), rows)
        return rows.finish()

    def _observe_one(
        self,
        pending: PendingImpressions,
        rows: _Rows,
        user: int,
        item: int,
        event_type: int,
        at_ms: int,
        as_of: int,
        position: int,
        value: float,
    ) -> None:
        pending.watermark_ms = max(pending.watermark_ms, at_ms)
        if event_type == self._impression:
            pending.open(user, item, as_of, at_ms, position, self._regressions)
            return
        answered = self._answers.get(event_type, ())
        number = pending.latest(user, item)
        if number is None or at_ms - int(pending.opened_ms[pending.slot(number)]) > self._closings[-1]:
            own = sum(1 << task for task in answered)
            number = pending.open(user, item, as_of, at_ms, position, self._noticed | own)
        slot = pending.slot(number)
        for task in answered:
            if at_ms - int(pending.opened_ms[slot]) > self._windows_ms[task]:
                continue
            if self._binary[task]:
                if not int(pending.resolved[slot]) >> task & 1:
                    self._label(pending, rows, slot, task, 1.0, at_ms)
                    pending.resolved[slot] |= 1 << task
            elif value == value:  # a number
                scaled = min(max(value / self._scale[task], 0.0), 1.0)
                self._label(pending, rows, slot, task, scaled, at_ms)

    def _label(
        self, pending: PendingImpressions, rows: _Rows, slot: int, task: int, value: float, at_ms: int
    ) -> None:
        labels = np.zeros((1, len(self._tasks)), np.float32)
        mask = np.zeros((1, len(self._tasks)), np.bool_)
        labels[0, task], mask[0, task] = value, True
        rows.add(pending, np.array([slot]), labels, mask, at_ms)

    def _close(self, pending: PendingImpressions, rows: _Rows) -> None:
        """Windows that ran out make negatives of what is still open."""
        for window_ms in self._closings:
            slots = pending.close(window_ms, pending.watermark_ms)
            closing = self._binary & (self._windows_ms == window_ms)
            if not len(slots) or not closing.any():
                continue
            waits = (pending.resolved[slots, None] >> np.arange(len(self._tasks)) & 1) == 0
            mask = waits & closing
            some = mask.any(axis=1)
            labels = np.zeros((int(some.sum()), len(self._tasks)), np.float32)
            rows.add(pending, slots[some], labels, mask[some], pending.watermark_ms)
            pending.resolved[slots] |= sum(1 << int(task) for task in np.flatnonzero(closing))
        pending.release(self._closings)
