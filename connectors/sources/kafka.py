"""A Kafka topic as a source of raw records, from its beginning or from now on, without a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Literal, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.kafka_client import READ, KafkaClient
from connectors.topics import beginning_offsets, end_offsets

_POLL_S = 0.5
_MAX_RECORDS = 2_000


class Record(NamedTuple):
    """A record as it stands on the topic; `connectors.decode` and `connectors.recommendation` read its value."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    topic: str = ""
    timestamp_type: int = 0
    """1 where the broker stamped it on arrival, 0 where its producer did."""

    @property
    def timestamp(self) -> int:
        """The same as `timestamp_ms`, by the client's own name."""
        return self.timestamp_ms


async def is_before(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether any partition's next record is before its end."""
    return any([await consumer.position(place) < end for place, end in ends.items()])


class KafkaSource:
    """Follows a topic; use it inside `async with`, then `async for records in source`.

    Every record from the chosen start on is delivered once, in the order of its partition, as long as the
    source is open. Nothing is committed, so nobody else's reading is disturbed. Partitions that are added
    later are not followed.

    Args:
        client: The broker.
        topic: The topic; it is never created here.
        start: `latest`: records published after `async with` was entered; `earliest`: everything kept; or for each
            partition the offset of the first record, or of what is left behind it.
    """

    def __init__(
        self,
        client: KafkaClient,
        topic: str,
        *,
        start: Literal["earliest", "latest"] | Mapping[int, int] = "latest",
    ) -> None:
        self._client = client
        self._topic = topic
        self._start = start
        self._consumer: AIOKafkaConsumer | None = None

    async def __aenter__(self) -> Self:
        """Connect, and fix the offsets to start from.

        Raises:
            BrokerUnreachableError: No broker answers.
            TopicError: There is no such topic.
        """
        offsets = await asyncio.to_thread(self._offsets)
        consumer = AIOKafkaConsumer(
            **self._client.options(),
            **READ,
            group_id=None,
            enable_auto_commit=False,
            # where retention has deleted what we were about to read
            auto_offset_reset="latest" if self._start == "latest" else "earliest",
        )
        try:
            await consumer.start()
            await asyncio.sleep(
                0
            )  # aiokafka's own task must have begun, or stopping it raises CancelledError
            consumer.assign([TopicPartition(self._topic, partition) for partition in offsets])
            for partition, offset in offsets.items():
                consumer.seek(TopicPartition(self._topic, partition), offset)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        return self

    def _offsets(self) -> Mapping[int, int]:
        if not isinstance(self._start, str):
            return self._start
        offsets_of = end_offsets if self._start == "latest" else beginning_offsets
        return offsets_of(self._client, self._topic)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            await consumer.stop()
        except asyncio.CancelledError:
            # aiokafka lets the end of its own fetch task through when it stops while the broker is away.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise

    async def read(self, timeout_s: float = _POLL_S) -> list[Record]:
        """The next records; none when nothing has come within `timeout_s` seconds.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses; a lost connection is tried again instead.
        """
        polled = await self._opened().getmany(timeout_ms=round(1_000 * timeout_s), max_records=_MAX_RECORDS)
        return [
            Record(
                record.partition,
                record.offset,
                record.timestamp,
                record.key,
                record.value,
                record.topic,
                record.timestamp_type,
            )
            for records in polled.values()
            for record in records
        ]

    async def __aiter__(self) -> AsyncIterator[list[Record]]:
        """Lists of records, never empty, for as long as the source is open."""
        while True:
            if records := await self.read():
                yield records

    async def up_to(self, ends: Mapping[int, int]) -> AsyncIterator[list[Record]]:
        """Lists of those records that stand before an offset of each of the source's partitions; then it is over.

        What retention deletes meanwhile is passed over, and so is what is no record, such as the end of a transaction.
        """
        places = {TopicPartition(self._topic, partition): end for partition, end in ends.items()}
        while await is_before(self._opened(), places):
            records = await self.read()
            if wanted := [record for record in records if record.offset < ends.get(record.partition, 0)]:
                yield wanted

    def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("a KafkaSource is used inside `async with`")
        return self._consumer
