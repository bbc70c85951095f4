"""Sends events when they are due, and notes when each was due and how late it was sent.

Times are of the system's monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import numpy as np

from benchmarks import mall
from benchmarks.load.errand import Errand
from benchmarks.load.schedule import due_times
from connectors.event import Event, encode_event
from connectors.kafka_producer import create_producer

_BEGINS_IN_S = 0.5


def events_of(errand: Errand, users: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[Event]:
    """One for each entry of `users`, which are numbers of shoppers; event time goes on where the last run ended."""
    with open(errand.values, "rb") as lines:
        pattern = mall.read(lines.read().splitlines())
    span_ms = pattern[-1].occurred_at_ms - pattern[0].occurred_at_ms
    shoppers = mall.shopper_ids()
    return [
        msgspec.structs.replace(
            event,
            event_id=f"{errand.name}-{n}",
            user_id=shoppers[user],
            occurred_at_ms=event.occurred_at_ms + (errand.first + n) // len(pattern) * span_ms,
        )
        for n, user in enumerate(users.tolist())
        for event in [pattern[(errand.first + n) % len(pattern)]]
    ]


async def _send(errand: Errand) -> None:
    rng = np.random.default_rng(errand.seed)
    due_s = due_times(errand.rate, errand.duration_s, rng)
    users = rng.integers(0, errand.users, len(due_s))
    events = events_of(errand, users)
    keyed = [(event.user_id.encode(), encode_event(event)) for event in events]
    sent_s = np.zeros(len(due_s))
    producer = create_producer(errand.client, linger_ms=0)
    await producer.start()
    try:
        due_s += time.monotonic() + _BEGINS_IN_S
        waiting: list[asyncio.Future[object]] = []
        for n, (key, value) in enumerate(keyed):
            now_s = time.monotonic()
            if due_s[n] > now_s:
                await asyncio.sleep(due_s[n] - now_s)
            sent_s[n] = time.monotonic()
            waiting.append(await producer.send(errand.topic, value, key))
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    np.savez(errand.out, users=users, due_s=due_s, sent_s=sent_s)
    print("{}")


if __name__ == "__main__":
    asyncio.run(_send(Errand.of(sys.argv)))
