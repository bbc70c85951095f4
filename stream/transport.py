"""A Faust transport that delivers one Faust event for each poll and partition: the list of its raw records.

Faust spends 90-150 us of machinery on every event; a list costs that once. Assignment, rebalance, flow control
and commits stay Faust's own. Registered as `kafka+batch://`; held to the pinned Faust by a contract test.

Rules for an agent on a batched topic: concurrency 1, `noack()`, acknowledge by hand (an acknowledged list
acknowledges everything before it), and `mode.CrashingSupervisor`, since by default an exception would
acknowledge the list and lose it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.exceptions import ImproperlyConfigured
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from stream.follower import Lull

_logger = logging.getLogger("faust.transport")

FETCH_MAX_WAIT_MS = 100
"""Faust fixes 1.5 s: a fetch that covers only idle partitions then holds the connection while busy ones wait."""

OnLoss = Callable[[int], None]
"""Told how many records were deleted before they were read."""

TakeOver = Callable[[Mapping[int, int | None], Mapping[int, int]], Awaitable[Mapping[int, int]]]
"""From what the group has committed of each assigned partition (None: nothing) and where each one ends to where each is
to be read from."""


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


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The driver's consumer thread with a shorter fetch wait."""

    logger = _logger

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer


class Consumer(driver.Consumer):
    """The driver's consumer; partitions of batched topics go another way at seven seams."""

    logger = _logger

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _is_batched(self, topic: str) -> bool:
        """Whether all subscribers of `topic` take lists.

        Raises:
            ImproperlyConfigured: Some do and some do not.
        """
        known: dict[str, bool] = self.__dict__.setdefault("_batched_topics", {})
        if topic not in known:
            kinds = {
                isinstance(subscriber.schema, BatchSchema)
                for subscriber in self.app.topics
                if topic in subscriber.topics
            }
            if len(kinds) > 1:
                raise ImproperlyConfigured(
                    f"{topic} has subscribers to lists and to single events; choose one"
                )
            known[topic] = kinds == {True}
        return known[topic]

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        lull: Lull | None = getattr(self.app, "lull", None)
        if lull is not None:
            await lull()
        records = await super()._getmany(active_partitions, timeout)
        for tp, found in records.items():
            if found and self._is_batched(tp.topic):
                await self._look_for_loss(tp, found[0].offset, found[-1].offset + 1)
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

    def _positions(self) -> dict[TP, int]:
        positions: dict[TP, int] = self.__dict__.setdefault("_expected_offsets", {})
        return positions

    async def _look_for_loss(self, tp: TP, first: int, after: int) -> None:
        expected = self._positions().get(tp, first)
        self._positions()[tp] = after
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
            on_loss: OnLoss | None = getattr(self.app, "on_loss", None)
            if on_loss is not None:
                on_loss(kept - first)

    # The checkpoint is the authority on what was applied; the committed offset only tells others how far it is.

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every partition: batched ones to the first offset that was not applied."""
        positions = dict(await super().seek_to_committed())
        take_over: TakeOver | None = getattr(self.app, "take_over", None)
        if take_over is None:
            return positions
        batched = [tp for tp in self.assignment() if self._is_batched(tp.topic)]
        if not batched:
            return positions
        earliest, ends = await self.earliest_offsets(*batched), await self.highwaters(*batched)
        committed = {
            tp.partition: offset if offset is not None and offset >= 0 else None
            for tp, offset in ((tp, positions.get(tp)) for tp in batched)
        }
        starts = await take_over(committed, {tp.partition: int(ends[tp]) for tp in batched})
        wanted = {}
        for tp in batched:
            first, kept = starts[tp.partition], int(earliest.get(tp, 0))
            if first > 0:
                self._tell_loss(tp, first, kept)
            wanted[tp] = self._positions()[tp] = max(first, kept)
        await self.seek_wait(wanted)
        return {**positions, **wanted}


class Transport(driver.Transport):
    """The driver with this module's consumer."""

    Consumer = Consumer
