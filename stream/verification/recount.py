"""Events counted again from the beginning: the worker's decoder, order and labels, but no learner and no bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

import numpy as np

from connectors.dead_letter import DeadLetter
from connectors.decode import RawRecord
from connectors.event import Event
from learners.event_batch import IntArray
from learners.row_index import RowIndex
from stream.assembly import build_attribution, build_batcher, build_decoder, context_fields, lateness_ms
from stream.attribution import LabelRows
from stream.duplicates import RecentIds
from stream.ledger import LABELS
from stream.settings import Settings
from stream.user_states import UserStates
from stream.verification.account import Account, user_accounts

_NO_BOUND = 1 << 60


class Recount:
    """What records have come to.

    Nothing depends on how they are cut into steps, nor on the order of partitions among each other. Users, items and
    impressions are never forgotten, so memory grows with their number.

    Args:
        settings: Those of the worker.
        refused: Partition and offset of records that the worker's learner could not take.
    """

    def __init__(self, settings: Settings, refused: Collection[tuple[int, int]] = ()) -> None:
        self._refused = refused
        self._tasks = [task.name for task in settings.tasks]
        self._decoder = build_decoder(settings)
        self._recent = RecentIds(settings.events.duplicates_window)
        self._batcher = build_batcher(settings)
        self._attribution = build_attribution(settings, self._batcher)
        self._items = RowIndex(_NO_BOUND)
        self._states = UserStates(
            history_length=settings.state.history_length,
            max_users=_NO_BOUND,
            slate_size=1,
            max_pending=_NO_BOUND,
            lateness_ms=lateness_ms(settings),
            context=context_fields(settings),
        )
        self._item_events: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._labels: IntArray = np.zeros((len(self._tasks), len(LABELS)), np.int64)
        self._homes: dict[str, int] = {}
        self.first: dict[int, int] = {}
        """The first offset of each partition that was counted."""
        self.scattered: set[str] = set()
        """Users whose events came from several partitions: between these there is no order."""

    def add(self, records: Iterable[RawRecord], now_ms: int) -> None:
        """Count records, each partition's in offset order.

        Args:
            records: Of any partitions.
            now_ms: The clock, for records of which the broker does not say when they arrived.
        """
        events: list[Event] = []
        partitions: list[int] = []
        for record in records:
            self.first.setdefault(record.partition, record.offset)
            refused = (record.partition, record.offset) in self._refused
            outcome = [] if refused else self._decoder.decode(record, now_ms)
            if refused or isinstance(outcome, DeadLetter):
                self._totals["dead_letters"] += 1
                continue
            new = self._recent.new_of(record, outcome)
            events += new
            partitions += [record.partition] * len(new)
            self._totals["duplicates"] += len(outcome) - len(new)
        if events:
            self._apply(events, partitions)

    def account(self) -> Account:
        """What it has come to."""
        return Account(
            users=user_accounts(self._states, self._items),
            items=dict(self._item_events),
            labels={
                name: tuple(counts) for name, counts in zip(self._tasks, self._labels.tolist(), strict=True)
            },
            totals=self._totals,
        )

    def _apply(self, events: list[Event], partitions: list[int]) -> None:
        states = self._states
        for event, partition in zip(events, partitions, strict=True):
            self._item_events[event.item_id] += 1
            if self._homes.setdefault(event.user_id, partition) != partition:
                self.scattered.add(event.user_id)
        arrivals = self._batcher.arrivals(events, states, self._items, partitions=partitions)
        columns = arrivals.columns
        states.make_room(columns)
        self._count(self._attribution.observe(columns, arrivals.position, arrivals.values, states))
        states.apply(columns)
        self._totals["events_learned"] += len(events)
        self._totals["late_events"] += int(arrivals.late.sum())

    def _count(self, labels: LabelRows) -> None:
        for row, task in zip(*np.nonzero(labels.mask), strict=True):
            kind = "no" if labels.labels[row, task] <= 0.0 else "late" if labels.late[row, task] else "yes"
            self._labels[task, LABELS.index(kind)] += 1
