"""Reads slates as any consumer would, and notes when each could be read; SIGTERM ends it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer

from benchmarks.load.errand import Errand

_FETCH_WAIT_MS = 100


class _Slate(msgspec.Struct):
    """What matters of one here."""

    trigger_event_id: str
    generated_at_ms: int


async def _read(errand: Errand) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    decode = msgspec.json.Decoder(_Slate).decode
    # From the system's clock, by which slates are stamped, to the one that is read here.
    offset_s = time.monotonic() - time.time()
    triggers: list[int] = []
    made_s: list[float] = []
    read_s: list[float] = []
    consumer = AIOKafkaConsumer(
        errand.topic,
        **errand.client.options(),
        group_id=None,
        auto_offset_reset="latest",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
    )
    await consumer.start()
    try:
        for partition in consumer.assignment():
            await consumer.position(partition)
        Path(errand.out).with_suffix(".ready").touch()
        while not stop.is_set():
            polled = await consumer.getmany(timeout_ms=_FETCH_WAIT_MS)
            now_s = time.monotonic()
            for records in polled.values():
                for record in records:
                    slate = decode(record.value)
                    name, _, number = slate.trigger_event_id.rpartition("-")
                    if name == errand.name:
                        triggers.append(int(number))
                        made_s.append(slate.generated_at_ms / 1e3 + offset_s)
                        read_s.append(now_s)
    finally:
        await consumer.stop()
    np.savez(errand.out, triggers=np.array(triggers, np.int64), made_s=made_s, read_s=read_s)


if __name__ == "__main__":
    asyncio.run(_read(Errand.of(sys.argv)))
