"""Keyed records of one topic as whole batches: to hand them to the producer one by one costs a multiple."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2


def record_batches(
    producer: AIOKafkaProducer, partitions: Sequence[int], records: Iterable[tuple[str, bytes]]
) -> Iterator[tuple[int, Any]]:
    """Partitions and what to send to them, in this order; a partition's records stay in theirs.

    Args:
        producer: Who sends them, by `send_batch`.
        partitions: All of the topic's, ascending.
        records: Keys, which say where a record belongs, and values.
    """
    batches: dict[int, Any] = {}
    for key, value in records:
        partition = partitions[partition_of(key, len(partitions))]
        name = key.encode("utf-8", "surrogatepass")
        batch = batches.get(partition)
        if batch is None:
            batch = batches[partition] = producer.create_batch()
        if batch.append(key=name, value=value, timestamp=None) is None:
            yield partition, batch
            batch = batches[partition] = producer.create_batch()
            batch.append(key=name, value=value, timestamp=None)
    yield from batches.items()


def partition_of(key: str, partitions: int) -> int:
    """Where Kafka's own producers put the records of a key, of so many partitions."""
    return _hash(key) % partitions


@lru_cache(maxsize=1 << 17)
def _hash(key: str) -> int:
    """Kafka's hash of a key; it is slow in Python, so that of the latest ones is remembered."""
    return int(murmur2(key.encode("utf-8", "surrogatepass"))) & 0x7FFFFFFF
