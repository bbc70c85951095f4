"""Reads what other workers own or tell, from where this worker has got, without a consumer group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from connectors.decode import RawRecord
from connectors.kafka_client import READ, KafkaClient

logger = logging.getLogger(__name__)

_WAIT_MS = 100
_PAUSE_S = 1.0

Offer = Callable[[Sequence[RawRecord]], Awaitable[None]]
"""Takes records of one partition, in order; waits while too many are waiting."""

Lull = Callable[[], Awaitable[None]]
"""Waits for a moment in which to poll disturbs nobody."""


class Follower:
    """Hands over what is published to some partitions; which ones may change at any time.

    Each partition's records come in order and without gaps, from the offset on that it is followed from. Where
    retention has deleted them, it goes on at the oldest that is kept.

    Args:
        client: The broker.
        topic: Which.
        offer: Where records go.
        on_loss: Told how many records were deleted before they were read.
        most_records: Of one poll.
        lull: Waited for before each poll.
    """

    def __init__(
        self,
        client: KafkaClient,
        topic: str,
        offer: Offer,
        *,
        on_loss: Callable[[int], None] = lambda _: None,
        most_records: int = 2_000,
        lull: Lull | None = None,
    ) -> None:
        self._client, self._topic, self._offer, self._on_loss = client, topic, offer, on_loss
        self._most_records, self._lull = most_records, lull
        self._next: dict[int, int] = {}
        self._assigned = asyncio.Event()
        self._changed = True
        self._ends: dict[TopicPartition, int] | None = None
        self._caught_up = asyncio.Event()

    def follow(self, partitions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets on, and no others."""
        self._next = dict(partitions)
        self._changed = True
        if partitions:
            self._assigned.set()
        else:
            self._assigned.clear()

    async def catch_up(self, patience_s: float) -> bool:
        """Wait until everything that is published by now was handed over; returns whether it is by then."""
        self._ends = None
        self._caught_up.clear()
        try:
            await asyncio.wait_for(self._caught_up.wait(), patience_s)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Read until cancelled; connects when there is something to follow."""
        await self._assigned.wait()
        consumer = AIOKafkaConsumer(
            **self._client.options(),
            **READ,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_WAIT_MS,
        )
        try:
            await self._start(consumer)
            while True:
                await self._assigned.wait()
                self._position(consumer)
                await self._look_for_end(consumer)
                if self._lull is not None:
                    await self._lull()
                polled = await consumer.getmany(timeout_ms=2 * _WAIT_MS, max_records=self._most_records)
                for tp, records in polled.items():
                    await self._hand_over(consumer, tp, records)
        finally:
            await consumer.stop()

    async def _start(self, consumer: AIOKafkaConsumer) -> None:
        """Connect; the broker may be away for a while."""
        while True:
            try:
                await consumer.start()
                return
            except KafkaError as error:
                logger.warning("the partitions of other workers cannot be read yet: %r", error)
                await asyncio.sleep(_PAUSE_S)

    def _position(self, consumer: AIOKafkaConsumer) -> None:
        if self._changed:
            self._changed = False
            consumer.assign([TopicPartition(self._topic, partition) for partition in self._next])
            for partition, offset in self._next.items():
                consumer.seek(TopicPartition(self._topic, partition), offset)

    async def _hand_over(self, consumer: AIOKafkaConsumer, tp: TopicPartition, records: list[Any]) -> None:
        if self._changed or tp.partition not in self._next:
            return  # of an assignment that has ended meanwhile
        expected, after = self._next[tp.partition], records[-1].offset + 1
        if records[0].offset > expected > 0:  # who begins has lost nothing
            await self._look_for_loss(consumer, tp, expected, records[0].offset)
        if not self._changed:
            self._next[tp.partition] = after
            await self._offer(records)

    async def _look_for_end(self, consumer: AIOKafkaConsumer) -> None:
        """Where somebody waits for it: whether the records of now are handed over."""
        if self._caught_up.is_set():
            return
        if self._ends is None:
            try:
                self._ends = await consumer.end_offsets(consumer.assignment())
            except (KafkaError, TimeoutError) as error:
                logger.warning("the end of %s is not known: %r", self._topic, error)
                return
        for tp, end in self._ends.items():
            # the end of what was deleted, or of a transaction, is reached without a record
            if self._next.get(tp.partition, end) < end and await consumer.position(tp) < end:
                return
        self._caught_up.set()

    async def _look_for_loss(
        self, consumer: AIOKafkaConsumer, tp: TopicPartition, expected: int, came: int
    ) -> None:
        """A gap is a loss where retention made it; transactions and compaction leave gaps too."""
        try:
            kept = min((await consumer.beginning_offsets([tp]))[tp], came)
        except (KafkaError, TimeoutError) as error:
            logger.warning(
                "records did not come, and it is not known why: %r", error, extra=_gap(tp, expected, came - 1)
            )
            return
        if kept > expected:
            logger.error("records were deleted before they were read", extra=_gap(tp, expected, kept - 1))
            self._on_loss(kept - expected)


def _gap(tp: TopicPartition, first: int, last: int) -> dict[str, Any]:
    return {"topic": tp.topic, "partition": tp.partition, "first_offset": first, "last_offset": last}
