"""aiokafka alone: records are polled and thrown away."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer

from benchmarks.rungs.course import Course, OwnStopwatch

_MOST_RECORDS = 2_048


async def _read(course: Course) -> None:
    watch = OwnStopwatch(course)
    consumer = AIOKafkaConsumer(
        course.topics["events"],
        **course.client.options(),
        group_id=course.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    read = 0
    while True:
        polled = await consumer.getmany(timeout_ms=1_000, max_records=_MOST_RECORDS)
        read += sum(map(len, polled.values()))
        watch.reach(read)


if __name__ == "__main__":
    asyncio.run(_read(Course.of(sys.argv)))
