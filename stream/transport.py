"""A Faust transport that delivers one Faust event for each poll and partition: the list of its raw records.

Faust spends 90-150 us of machinery on every event; a list costs that once. Assignment, rebalance, flow control
and commits stay Faust's own. Registered as `kafka+batch://`; held to the pinned Faust by a contract test.

Rules for an agent on a batched topic: concurrency 1, `noack()`, acknowledge by hand (an acknowledged list
acknowledges everything before it), and `mode.CrashingSupervisor`, since by default an exception would
acknowledge the list and lose it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import IllegalStateError, KafkaError
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from connectors.kafka_client import READ
from stream.follower import Lull

_logger = logging.getLogger("faust.transport")

FETCH_MAX_WAIT_MS = 100
"""Faust fixes 1.5 s: a fetch that covers only idle partitions then holds the connection while busy ones wait."""

_LOOK_EVERY_S = 1.0

OnLoss = Callable[[int], None]
"""Told how many records were deleted before they were read."""

TakeOver = Callable[[Mapping[int, int | None], Mapping[int, int]], Awaitable[Mapping[int, int]]]
"""From what the group has committed of each assigned partition (None: nothing) and where each one ends to where each is
to be read from."""

ReachedEnd = Callable[[int, int], Awaitable[None]]
"""Told a partition that was read to where it ended when it was assigned, and the offset behind its last record."""


class BatchedApp(faust.App):
    """An application that is told by its consumer, and asked, what concerns whole lists."""

    before_poll: Lull
    take_over: TakeOver
    reached_end: ReachedEnd
    on_loss: OnLoss


class RecordBatch(list[Any]):
    """Broker records of one partition, in offset order."""


class BatchSchema(faust.Schema[Any, Any]):
    """Marks a topic as batched: an event's value is its `RecordBatch`."""

    def loads_key(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """A list of records has no key."""
        return None

    def loads_value(self, app: Any, message: Any, **kwargs: Any) -> Any:
        """The list itself; decoding is the agent's."""
        return message.value


@dataclass(slots=True)
class _Reading:
    """How far a partition is read.

    Attributes:
        after: The offset behind the last record that was handed over, or the first one to read.
        position: How far the client had got when it was last asked.
        awaited: Where the partition ended when it was assigned; None once that is reached.
    """

    after: int
    position: int
    awaited: int | None = None


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's consumer thread with a shorter fetch wait, which hands over no event of an aborted transaction."""

    logger = _logger

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        consumer._isolation_level = READ["isolation_level"]
        return consumer


class Consumer(driver.Consumer):
    """The driver's consumer; partitions of batched topics go another way at seven seams."""

    logger = _logger
    app: BatchedApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batched: dict[str, bool] = {}
        self._readings: dict[TP, _Reading] = {}
        self._look_due = 0.0

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _is_batched(self, topic: str) -> bool:
        """Whether all subscribers of `topic` take lists.

        Raises:
            ImproperlyConfigured: Some do and some do not.
        """
        if topic not in self._batched:
            kinds = {
                isinstance(subscriber.schema, BatchSchema)
                for subscriber in self.app.topics
                if topic in subscriber.topics
            }
            if len(kinds) > 1:
                raise ImproperlyConfigured(
                    f"{topic} has subscribers to lists and to single events; choose one"
                )
            self._batched[topic] = kinds == {True}
        return self._batched[topic]

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        await self.app.before_poll()
        records = await super()._getmany(active_partitions, timeout)
        for tp, found in records.items():
            if found and self._is_batched(tp.topic):
                await self._look_for_loss(tp, found[0].offset, found[-1].offset + 1)
        await self._look_at_positions()
        return {
            tp: [RecordBatch(found)] if found and self._is_batched(tp.topic) else found
            for tp, found in records.items()
        }

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, RecordBatch):
            return super()._to_message(tp, record)
        last = record[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            record,  # type: ignore[arg-type]
            None,
            0,
            sum(item.serialized_value_size for item in record),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    # Lists are acknowledged in order, so the newest acknowledgement is the position and there are no gaps.

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._is_batched(tp.topic):
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        if not self._is_batched(tp.topic):
            return super()._new_offset(tp)
        acked = self._acked[tp]
        if not acked:
            return None
        last = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1

    # Faust commits once at a time, and who comes meanwhile waits for that commit and goes without one of its own: the
    # last acknowledgements would stay uncommitted where the timer's commit is under way when the worker stops.

    async def on_stop(self) -> None:
        """Commit for the last time, and after any commit that is under way."""
        await self.maybe_wait_for_commit_to_finish()
        await super().on_stop()

    # Back-pressure is the bounded queue: a full one blocks the fetcher. To pause partitions instead makes the
    # fetcher sleep a whole second when all are paused.

    def on_buffer_full(self, tp: TP) -> None:
        """Pause nothing for a batched topic."""
        if not self._is_batched(tp.topic):
            super().on_buffer_full(tp)

    # Retention may overtake a reader that is slow or away; the client then goes on where the topic begins, and says
    # nothing. A gap alone is no loss: transactions and compaction leave gaps too.

    async def _look_for_loss(self, tp: TP, first: int, after: int) -> None:
        reading = self._readings.setdefault(tp, _Reading(first, first))
        expected, reading.after = reading.after, after
        if first > expected:
            try:
                kept = (await self.earliest_offsets(tp)).get(tp, 0)
            except (KafkaError, TimeoutError) as error:
                self.log.warning("%s: offsets %d to %d did not come, and %r", tp, expected, first - 1, error)
                return
            self._tell_loss(tp, expected, min(int(kept), first))

    def _tell_loss(self, tp: TP, first: int, kept: int) -> None:
        """Offsets from `first` up to `kept` are gone."""
        if first < kept:
            self.log.error(
                "%s/%d: offsets %d to %d were deleted before they were read: %d events are lost to this worker",
                *(tp.topic, tp.partition, first, kept - 1, kept - first),
            )
            self.app.on_loss(kept - first)

    # A transaction ends with a marker that takes an offset and is handed to nobody: no record says that such an end
    # is reached, only the client's position does.

    async def _look_at_positions(self) -> None:
        """Once a second; what this poll brought is noted already, so nothing before a position is still to come."""
        now = time.monotonic()
        if now < self._look_due:
            return
        self._look_due = now + _LOOK_EVERY_S
        for tp in self._readings.keys() & self.assignment():
            reading = self._readings[tp]
            try:
                position = await self.position(tp)
            except IllegalStateError:  # another worker's by now, or again ours and not sought yet
                continue
            if self._readings[tp] is not reading:  # sought meanwhile: the position is of before
                continue
            reading.position = max(position or 0, reading.after)
            if reading.awaited is not None and reading.position >= reading.awaited:
                reading.awaited = None
                await self.app.reached_end(tp.partition, reading.after)

    async def record_ends(self, *partitions: TP) -> dict[TP, int]:
        """The offset behind each partition's last record, as far as it was read, or else behind whatever is there."""
        ends = await self.highwaters(*partitions)
        return {
            tp: reading.after
            if (reading := self._readings.get(tp)) is not None and reading.position >= ends[tp]
            else int(ends[tp])
            for tp in partitions
        }

    # The checkpoint is the authority on what was applied; the committed offset only tells others how far it is.

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every partition: batched ones to the first offset that was not applied."""
        positions = dict(await super().seek_to_committed())
        batched = [tp for tp in self.assignment() if self._is_batched(tp.topic)]
        if not batched:
            return positions
        earliest, ends = await self.earliest_offsets(*batched), await self.highwaters(*batched)
        committed = {
            tp.partition: offset if offset is not None and offset >= 0 else None
            for tp, offset in ((tp, positions.get(tp)) for tp in batched)
        }
        starts = await self.app.take_over(committed, {tp.partition: int(ends[tp]) for tp in batched})
        wanted = {}
        for tp in batched:
            first, kept = starts[tp.partition], int(earliest.get(tp, 0))
            if first > 0:
                self._tell_loss(tp, first, kept)
            wanted[tp] = max(first, kept)
        await self.seek_wait(wanted)
        for tp, start in wanted.items():
            self._readings[tp] = _Reading(start, start, awaited=int(ends[tp]))
        return {**positions, **wanted}


class Transport(driver.Transport):
    """The driver with this module's consumer."""

    Consumer = Consumer
