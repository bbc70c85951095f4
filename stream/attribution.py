"""Labels from events: what was done with an impression within its window, and what was not.

A positive is a label when it arrives. A negative is one when its task's `wait_s` have passed without it: until then
the label is not known, which is not the same as negative. A positive that comes after that is a label too, marked as
late, until the window and its task's `late_s` are over. What came of an impression is settled when the window closes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray, IntArray, Outcomes, Settled, is_described
from learners.task import Task
from stream.event_columns import EventColumns
from stream.pending import PendingImpressions
from stream.user_states import UserStates

_NEVER_MS = -(1 << 62)
_CLOCKS_DIFFER_MS = 60_000  # those of who shows and of whom it is shown to


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
        late: (L, K) which of them are positives whose negative was a label before.
        delay_s: (L,) event time from the impression to the label.
        shown: (L, R) what was known of user and item when the impression was made.
        outcomes: What came of the impressions that nothing more can come of.
        settled: What came of the impressions for which a window has closed.
    """

    users: IntArray
    items: IntArray
    as_of: IntArray
    moments_ms: IntArray
    position: IntArray
    labels: FloatArray
    mask: BoolArray
    late: BoolArray
    delay_s: FloatArray
    shown: FloatArray
    outcomes: Outcomes
    settled: Settled

    def __len__(self) -> int:
        return len(self.users)

    @property
    def own(self) -> BoolArray:
        """(L,) which rows this worker described when their impression was made; the others are followed only."""
        return is_described(self.shown)

    def only(self, tasks: BoolArray) -> LabelRows:
        """The labels of some of the tasks (K,), without the rows that have none of them."""
        mask = self.mask & tasks
        kept = np.flatnonzero(mask.any(axis=1))
        if len(kept) == len(self) and tasks.all():
            return self
        return LabelRows(
            users=self.users[kept],
            items=self.items[kept],
            as_of=self.as_of[kept],
            moments_ms=self.moments_ms[kept],
            position=self.position[kept],
            labels=np.where(mask, self.labels, 0.0).astype(np.float32)[kept],
            mask=mask[kept],
            late=(self.late & tasks)[kept],
            delay_s=self.delay_s[kept],
            shown=self.shown[kept],
            outcomes=self.outcomes,
            settled=replace(self.settled, mask=self.settled.mask & tasks),
        )


@dataclass(slots=True)
class _OneByOne:
    """Labels that events bring one by one: kept as numbers, since there are many and arrays of one are dear."""

    columns: list[tuple[int, ...]] = field(default_factory=list)
    told: list[tuple[int, float, bool]] = field(default_factory=list)
    shown: list[NDArray[np.float16]] = field(default_factory=list)

    def add(
        self, pending: PendingImpressions, slot: int, task: int, value: float, at_ms: int, late: bool = False
    ) -> None:
        opened_ms = int(pending.opened_ms[slot])
        self.columns.append(
            (
                int(pending.user[slot]),
                int(pending.item[slot]),
                int(pending.as_of[slot]),
                opened_ms,
                int(pending.position[slot]),
                max(at_ms - opened_ms, 0),
            )
        )
        self.told.append((task, value, late))
        self.shown.append(pending.shown[slot].copy())

    def into(self, rows: _Rows) -> None:
        """As rows, in the order in which they came."""
        count = len(self.told)
        if not count:
            return
        labels = np.zeros((count, rows.tasks), np.float32)
        mask, late = np.zeros((2, count, rows.tasks), np.bool_)
        row, (task, value, is_late) = np.arange(count), zip(*self.told, strict=True)
        labels[row, task], mask[row, task], late[row, task] = value, True, is_late
        rows.columns.append(np.array(self.columns, np.int64).T)
        rows.labels.append(labels)
        rows.masks.append(mask)
        rows.late.append(late)
        rows.shown.append(np.stack(self.shown).astype(np.float32))


@dataclass(slots=True)
class _Rows:
    """Label rows while they are gathered."""

    tasks: int
    described: int
    columns: list[IntArray] = field(default_factory=list)
    labels: list[FloatArray] = field(default_factory=list)
    masks: list[BoolArray] = field(default_factory=list)
    late: list[BoolArray] = field(default_factory=list)
    shown: list[FloatArray] = field(default_factory=list)
    one_by_one: _OneByOne = field(default_factory=_OneByOne)
    ended: list[tuple[IntArray, IntArray]] = field(default_factory=list)
    settled: list[tuple[FloatArray, FloatArray, BoolArray]] = field(default_factory=list)

    def add(
        self,
        pending: PendingImpressions,
        slots: IntArray,
        labels: FloatArray,
        mask: BoolArray,
        known_ms: int,
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
        self.late.append(np.zeros_like(mask))
        self.shown.append(pending.shown[slots].astype(np.float32))

    def settle(
        self, pending: PendingImpressions, slots: IntArray, labels: FloatArray, mask: BoolArray
    ) -> None:
        """For these impressions' tasks in `mask` nothing that comes from now on counts."""
        self.settled.append((pending.shown[slots].astype(np.float32), labels, mask))

    def end(self, pending: PendingImpressions, slots: IntArray) -> None:
        """Nothing more can come of these impressions."""
        if len(slots):
            self.ended.append((pending.positive[slots], pending.negative[slots]))

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
            late=np.concatenate(self.late) if self.late else empty.astype(np.bool_),
            shown=np.concatenate(self.shown) if self.shown else np.zeros((0, self.described), np.float32),
            outcomes=self._outcomes(),
            settled=self._settled(),
        )

    def _settled(self) -> Settled:
        if not self.settled:
            return nothing_settled(self.tasks, self.described)
        shown, labels, mask = (np.concatenate(column) for column in zip(*self.settled, strict=True))
        return Settled(shown=shown, labels=labels, mask=mask)

    def _outcomes(self) -> Outcomes:
        positive, negative = (
            np.concatenate([bits[n] for bits in self.ended]) if self.ended else np.zeros(0, np.int64)
            for n in range(2)
        )
        number = np.arange(self.tasks)
        yes, no = ((bits[:, None] >> number & 1) == 1 for bits in (positive, negative))
        return Outcomes(labels=yes, known=yes | no)


def nothing_settled(tasks: int, described: int = 0) -> Settled:
    """What a step has in which no window closes."""
    labels = np.zeros((0, tasks), np.float32)
    return Settled(shown=np.zeros((0, described), np.float32), labels=labels, mask=labels.astype(np.bool_))


class Attribution:
    """Joins events to the impressions that they answer.

    An event on an item without a pending impression (a log without impressions, a direct visit) stands for one
    itself, so that later answers have something to belong to. What it answers itself is not a label, nor is what only
    a shown item can get: whoever acts on an item has noticed it. A task whose negatives come from impressions alone
    has no part in such a row: its positives without their negatives would say too much. An event that comes after an
    impression and happened before it answers an earlier one of the pair that still waits, or nothing.

    A `ranking` task's labels all come when the window closes, so that a list that was shown is learned as one.

    Args:
        tasks: Axis K.
        sources: For each task its positives.
        impression_type: Number of the event type that only shows.
        noticing_types: Numbers of the event types that answer being shown (click, view).
        catalogue_types: Numbers of the event types that speak of items, not of anybody's behaviour.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        sources: Mapping[str, LabelSource],
        impression_type: int,
        noticing_types: frozenset[int],
        catalogue_types: frozenset[int] = frozenset(),
    ) -> None:
        self._tasks = tuple(tasks)
        self._catalogue = catalogue_types
        self._impression = impression_type
        self._windows_ms = np.array([int(task.window_s * 1000) for task in tasks])
        self._waits_ms = np.array(
            [
                int((task.window_s if task.kind == "ranking" else min(task.wait_s, task.window_s)) * 1000)
                for task in tasks
            ]
        )
        self._value = [task.kind == "regression" for task in tasks]
        self._ranking = np.array([task.kind == "ranking" for task in tasks])
        self._closes = np.array([task.kind != "regression" and task.negative != "none" for task in tasks])
        self._latest_ms = [
            int((task.window_s + task.late_s) * 1000)
            if closes and task.kind == "binary" and (task.late_s > 0.0 or task.wait_s < task.window_s)
            else _NEVER_MS
            for task, closes in zip(tasks, self._closes, strict=True)
        ]
        self._scale = [sources[task.name].scale for task in tasks]
        self._answers: dict[int, tuple[int, ...]] = {}
        for number, task in enumerate(tasks):
            for event_type in sources[task.name].event_types:
                self._answers[event_type] = (*self._answers.get(event_type, ()), number)
        # A value that is waited for all day keeps nobody from coming again in the evening.
        self._visit_ms = int(self._windows_ms[self._closes].max(initial=0))
        self._kept_ms = max((*self._windows_ms.tolist(), *self._latest_ms), default=0)
        self._moments_ms = sorted({*self._waits_ms.tolist(), *self._windows_ms.tolist(), self._kept_ms})
        self._silent = sum(1 << number for number, value in enumerate(self._value) if value)
        self._standing = self._silent | sum(
            1 << number
            for number, task in enumerate(tasks)
            if sources[task.name].event_types & noticing_types or task.negative == "impression"
        )

    def observe(
        self,
        batch: EventColumns,
        position: IntArray,
        values: FloatArray,
        states: UserStates,
        described: FloatArray | None = None,
    ) -> LabelRows:
        """Open impressions, answer them, and close the windows that have run out.

        Args:
            batch: (B,) events, each partition's in order.
            position: (B,) places, -1 where not known.
            values: (B,) values, NaN where there are none.
            states: Holds the pending impressions.
            described: (B, R) what is known of each event's user and item now, before its answer can be part of
                it; NaN where the event is followed only.
        """
        known = np.zeros((len(batch.users), 0), np.float32) if described is None else described
        rows = _Rows(len(self._tasks), known.shape[1])
        partitions = states.partition_of(batch.users)
        for begin, end in self._runs(batch.types, partitions):
            pending, some = states.pending_of(int(partitions[begin])), slice(begin, end)
            if batch.types[begin] == self._impression:
                pending.open_many(
                    batch.users[some],
                    batch.items[some],
                    batch.as_of[some],
                    batch.times_ms[some],
                    position[some],
                    self._silent,
                    known[some],
                )
                continue
            self._observe_one(
                pending,
                rows,
                known[begin],
                int(batch.users[begin]),
                int(batch.items[begin]),
                int(batch.types[begin]),
                int(batch.times_ms[begin]),
                int(batch.as_of[begin]),
                int(position[begin]),
                float(values[begin]),
            )
        rows.one_by_one.into(rows)
        for partition in dict.fromkeys(partitions.tolist()):
            self._close(states.pending_of(partition), rows)
        return rows.finish()

    def _runs(self, types: IntArray, partitions: NDArray[np.int32]) -> Iterator[tuple[int, int]]:
        """From where to where impressions of one partition come in a row; every other event for itself."""
        if not len(types):
            return
        shown = types == self._impression
        together = shown[1:] & shown[:-1] & (partitions[1:] == partitions[:-1])
        begins = np.flatnonzero(np.concatenate([[True], ~together]))
        yield from zip(begins.tolist(), [*begins[1:].tolist(), len(types)], strict=True)

    def _observe_one(
        self,
        pending: PendingImpressions,
        rows: _Rows,
        described: FloatArray,
        user: int,
        item: int,
        event_type: int,
        at_ms: int,
        as_of: int,
        position: int,
        value: float,
    ) -> None:
        before_ms = pending.watermark_ms
        pending.watermark_ms = max(before_ms, at_ms)
        if event_type in self._catalogue:
            return
        answered = self._answers.get(event_type, ())
        # What the watermark before the event has closed is let go, although that is noticed only at the end of the
        # step: labels must not depend on how the stream is cut into steps.
        kept_ms = before_ms - self._kept_ms
        number = pending.latest(user, item)
        if number is not None and int(pending.order_ms[pending.slot(number)]) < kept_ms:
            number = None
        late = number is not None and at_ms < int(pending.opened_ms[pending.slot(number)]) - _CLOCKS_DIFFER_MS
        if late:  # what happened before something was shown is no answer to it, but may be one to what was shown before
            number = pending.latest_at(user, item, at_ms + _CLOCKS_DIFFER_MS, kept_ms)
        if number is None or not self._belongs(pending, pending.slot(number), answered, at_ms):
            if late:
                return
            own = sum(1 << task for task in answered)
            number = pending.open(user, item, as_of, at_ms, position, self._standing | own)
            pending.note(number, described)
        slot = pending.slot(number)
        for task in answered:
            if self._value[task]:
                if value == value and at_ms - int(pending.opened_ms[slot]) <= self._windows_ms[task]:
                    scaled = min(max(value / self._scale[task], 0.0), 1.0)
                    rows.one_by_one.add(pending, slot, task, scaled, at_ms)
                    self._settle(pending, rows, slot, task, scaled)
            else:
                self._answer(pending, rows, slot, task, at_ms, before_ms)

    def _belongs(self, pending: PendingImpressions, slot: int, answered: tuple[int, ...], at_ms: int) -> bool:
        """Whether an event is about this impression: while it waits for a yes or no, or an answer that still counts."""
        age_ms = at_ms - int(pending.opened_ms[slot])
        no = int(pending.negative[slot]) | ~int(
            pending.resolved[slot]
        )  # what waits still will be closed as no
        return age_ms <= self._visit_ms or any(
            age_ms <= self._windows_ms[task] or (age_ms <= self._latest_ms[task] and no >> task & 1)
            for task in answered
        )

    def _answer(
        self, pending: PendingImpressions, rows: _Rows, slot: int, task: int, at_ms: int, before_ms: int
    ) -> None:
        """A yes: in time, late, or too late."""
        bit = 1 << task
        age_ms = at_ms - int(pending.opened_ms[slot])
        waits = not int(pending.resolved[slot]) & bit
        over = self._closes[task] and int(pending.order_ms[slot]) < before_ms - self._waits_ms[task]
        if waits and not over and age_ms <= self._windows_ms[task]:
            pending.answer(slot, positive=bit)
            if not self._ranking[task]:
                pending.answer(slot, resolved=bit)
                rows.one_by_one.add(pending, slot, task, 1.0, at_ms)
            return
        if waits and self._closes[task] and self._latest_ms[task] >= 0:
            # It has waited long enough with this very event, or has in this very step.
            pending.answer(slot, resolved=bit, negative=bit)
            rows.one_by_one.add(pending, slot, task, 0.0, at_ms)
        if int(pending.negative[slot]) & bit and age_ms <= self._latest_ms[task]:
            pending.correct(slot, bit)
            rows.one_by_one.add(pending, slot, task, 1.0, at_ms, late=True)

    def _settle(self, pending: PendingImpressions, rows: _Rows, slot: int, task: int, value: float) -> None:
        """A value is all that will come of its task."""
        labels = np.zeros((1, len(self._tasks)), np.float32)
        mask = np.zeros((1, len(self._tasks)), np.bool_)
        labels[0, task], mask[0, task] = value, True
        rows.settle(pending, np.array([slot]), labels, mask)

    def _close(self, pending: PendingImpressions, rows: _Rows) -> None:
        """Who has waited long enough makes negatives of what is still open; windows that ran out settle it."""
        bits = 1 << np.arange(len(self._tasks))
        for age_ms in self._moments_ms:
            slots = pending.close(age_ms, pending.watermark_ms)
            waited = self._closes & (self._waits_ms == age_ms)
            if len(slots) and waited.any():
                mask = ((pending.resolved[slots, None] & bits) == 0) & waited
                yes = ((pending.positive[slots, None] & bits) != 0) & mask  # a list's answers waited for this
                some = mask.any(axis=1)
                rows.add(pending, slots[some], yes[some].astype(np.float32), mask[some], pending.watermark_ms)
                pending.answer(
                    slots, resolved=int(bits[waited].sum()), negative=((mask & ~yes) * bits).sum(axis=1)
                )
            closing = self._closes & (self._windows_ms == age_ms)
            if len(slots) and closing.any():
                answered = (pending.positive[slots, None] & bits != 0) & closing
                known = answered | ((pending.negative[slots, None] & bits != 0) & closing)
                some = known.any(axis=1)
                rows.settle(pending, slots[some], answered[some].astype(np.float32), known[some])
            if age_ms == self._kept_ms:
                rows.end(pending, slots)
        pending.release(self._moments_ms)
