"""Rows become columns: events to what the states apply, and events with their labels to what a learner learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connectors.event import Event
from learners.context_fields import NO_CONTEXT, ContextFields
from learners.event_batch import BoolArray, EventBatch, FloatArray, Happenings, Histories, IntArray
from learners.row_index import RowIndex
from stream.arrangement import Placement
from stream.attribution import LabelRows
from stream.context_columns import context_columns
from stream.event_columns import EventColumns
from stream.user_states import UserStates

IMPRESSION = "impression"

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The events of one step.

    Attributes:
        columns: What the states apply.
        position: (B,) zero-based places, -1 where not known.
        values: (B,) values, NaN where there are none.
        target: (B,) whether the event is a choice: what the ranking learns to foresee.
        late: (B,) whether it came too late to enter the history and to be learned as a choice.
    """

    columns: EventColumns
    position: IntArray
    values: FloatArray
    target: BoolArray
    late: BoolArray


class Batcher:
    """Turns events into columns.

    Args:
        event_types: All declared types; their order is their number.
        target_types: Types by which a user chooses an item.
        silent_types: Types that enter no history; impressions and those below never do.
        owning_types: Types by which a user comes to own it.
        withdrawing_types: Types by which an item stops to be available; whose events these are does not matter,
            and they enter no history.
        restoring_types: Types by which it is available again.
        context: Which facts of an event's context enter the history with it; the states know the same.
    """

    def __init__(
        self,
        event_types: Sequence[str],
        target_types: frozenset[str],
        *,
        silent_types: frozenset[str] = frozenset(),
        owning_types: frozenset[str] = frozenset(),
        withdrawing_types: frozenset[str] = frozenset(),
        restoring_types: frozenset[str] = frozenset(),
        context: ContextFields = NO_CONTEXT,
    ) -> None:
        self._context = context
        self.event_types = tuple(event_types)
        self._numbers = {name: number for number, name in enumerate(self.event_types)}
        self._targets = np.array([name in target_types for name in self.event_types])
        self.impression = self._numbers[IMPRESSION]
        self._owning = np.array([name in owning_types for name in self.event_types])
        self._supply = np.array(
            [(name in restoring_types) - (name in withdrawing_types) for name in self.event_types], np.int8
        )
        self._silent = np.array([name == IMPRESSION or name in silent_types for name in self.event_types])
        self._silent |= self._supply != 0
        self.catalogue = frozenset(np.flatnonzero(self._supply).tolist())
        """Numbers of the types that speak of items, not of anybody's behaviour."""

    def number(self, event_type: str) -> int:
        """The number of a declared event type."""
        return self._numbers[event_type]

    def arrivals(
        self,
        events: Sequence[Event],
        states: UserStates,
        items: RowIndex,
        *,
        partitions: Sequence[int] | None = None,
        simultaneous: bool = False,
    ) -> Arrivals:
        """Columns of events in their order; users and items that are new get their rows here.

        Args:
            events: Of one step.
            states: The users.
            items: The items.
            partitions: Where each event comes from; None where nobody asks.
            simultaneous: The events happened at one moment, later than all before: no event has another one of
                the step in its history.
        """
        users = states.admit([event.user_id for event in events], partitions)
        item_rows = items.admit([event.item_id for event in events])
        types = np.array([self._numbers[event.event_type] for event in events], np.int64)
        times_ms = np.array([event.occurred_at_ms for event in events], np.int64)
        remembered = ~self._silent[types]
        if simultaneous:
            placement = Placement(as_of=states.remembered(users), late=np.zeros(len(users), np.bool_))
        else:
            placement = states.place(users, times_ms, remembered)
        columns = EventColumns(
            users=users,
            items=item_rows,
            types=types,
            times_ms=times_ms,
            remembered=remembered & ~placement.late,
            as_of=placement.as_of,
            context=context_columns(events, self._context),
            rearranged=placement.rearranged,
        )
        position = [-1 if event.position is None else event.position for event in events]
        values = [np.nan if event.value is None else event.value for event in events]
        return Arrivals(
            columns=columns,
            position=np.clip(np.array(position, np.int64), -1, 1_000_000),
            values=np.clip(np.array(values, np.float64), -_LARGEST, _LARGEST).astype(np.float32),
            target=self._targets[types] & (self._supply[types] == 0) & ~placement.late,
            late=placement.late,
        )

    def moments(
        self, columns: EventColumns, states: UserStates, events: IntArray | None = None
    ) -> tuple[Histories, IntArray]:
        """Histories (S,) before each of B events, all or some of them, and (B,) which of them each event has."""
        keys = np.stack([columns.users, columns.as_of, columns.times_ms])
        if events is not None:
            keys = keys[:, events]
        (users, as_of, moments_ms), sequence = np.unique(keys, axis=1, return_inverse=True)
        return states.histories(users, as_of, moments_ms, columns), sequence.ravel()

    def batch(
        self,
        arrivals: Arrivals,
        labels: LabelRows,
        states: UserStates,
        tasks: int,
        own: BoolArray | None = None,
    ) -> EventBatch:
        """What there is to predict and learn: the step's choices, then its labels.

        Events that are neither a choice nor a label are in the histories and nowhere else.

        Args:
            arrivals: The events.
            labels: What became known with them.
            states: The users.
            tasks: K.
            own: (B,) which of the events are this worker's to learn from, all where it is None. Labels are where
                their impression was described.
        """
        columns = arrivals.columns
        choices = np.flatnonzero(arrivals.target)
        users = np.concatenate([columns.users[choices], labels.users])
        as_of = np.concatenate([columns.as_of[choices], labels.as_of])
        moments_ms = np.concatenate([columns.times_ms[choices], labels.moments_ms])
        keys = np.stack([users, as_of, moments_ms])
        _, first, sequence = np.unique(keys, axis=1, return_index=True, return_inverse=True)
        sequence = sequence.ravel()
        histories = states.histories(users[first], as_of[first], moments_ms[first], columns)

        B, T = len(users), len(choices)
        learned = np.concatenate([np.ones(T, np.bool_) if own is None else own[choices], labels.own])
        item_rows = np.concatenate([columns.items[choices], labels.items])
        target = np.zeros(B, np.bool_)
        target[:T] = True
        values = np.zeros((B, tasks), np.float32)
        mask, late = np.zeros((2, B, tasks), np.bool_)
        values[T:], mask[T:], late[T:] = labels.labels, labels.mask, labels.late
        shown = np.zeros((B, labels.shown.shape[1]), np.float32)
        shown[T:] = labels.shown
        return EventBatch(
            histories=histories,
            sequence=sequence,
            item_rows=item_rows,
            position=np.concatenate([arrivals.position[choices], labels.position]),
            target=target,
            labels=values,
            label_mask=mask,
            late=late,
            shown=shown,
            outcomes=labels.outcomes,
            settled=labels.settled,
            happenings=self.happenings(columns),
            followed=None if learned.all() else ~learned,
        )

    def happenings(self, columns: EventColumns) -> Happenings:
        """What the events say of items, whether or not there is anything to learn from them."""
        return Happenings(
            users=columns.users,
            items=columns.items,
            now_s=columns.times_ms / 1000.0,
            shown=columns.types == self.impression,
            acquired=self._owning[columns.types],
            supply=self._supply[columns.types],
        )

    def is_behaviour(self, columns: EventColumns) -> BoolArray:
        """(B,) whether an event is somebody's behaviour, and not news of an item."""
        behaviour: BoolArray = self._supply[columns.types] == 0
        return behaviour

    def is_trigger(self, event: Event) -> bool:
        """The same of one event: whether a slate may answer it."""
        return bool(self._supply[self._numbers[event.event_type]] == 0)
