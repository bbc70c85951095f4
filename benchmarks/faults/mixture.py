"""Duplicates, events out of order and garbage, a twentieth each, in one stream."""

from __future__ import annotations

import time
from collections import Counter

from benchmarks.faults.events import GARBAGE, records
from benchmarks.faults.place import everything, publish
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import all_slates
from connectors.dead_letter import decode_dead_letter

_SHARE = 0.05
_LATEST = 50
"""A duplicate or a late record comes at most so many records after its place."""

_CHUNK = 20_000


async def mixture(shop: Shop, _: int, tally: Tally, events: int = 100_000) -> None:
    """One trial, a long one: everything is counted."""
    place, rng = shop.place(), shop.rng
    sent: list[tuple[float, tuple[bytes | None, bytes]]] = []
    expected: Counter[str] = Counter()
    garbage: Counter[tuple[bytes, str]] = Counter()
    for at, record in enumerate(records(shop.take(events))):
        late = rng.random() < _SHARE
        expected["out of order"] += late
        own = at + _LATEST * rng.random() * late
        sent.append((own, record))
        if rng.random() < _SHARE:
            expected["duplicates"] += 1
            sent.append((own + _LATEST * rng.random(), record))
        if rng.random() < _SHARE:
            value = rng.choice(list(GARBAGE))
            garbage[value, GARBAGE[value]] += 1
            sent.append((at, (None, value)))
    sent.sort(key=lambda one: one[0])
    began = time.monotonic()
    async with place.worker() as worker:
        await worker.wait_until_ready()
        for start in range(0, len(sent), _CHUNK):
            some = sent[start : start + _CHUNK]
            await publish(shop.client, shop.topics.events, [record for _, record in some])
            await place.until(worker, lambda status: status["lag"] == 0)
        status = await place.status()
    seconds = time.monotonic() - began
    found = {
        "events_learned": events,
        "duplicates": expected["duplicates"],
        "dead_letters": garbage.total(),
        "late_events": 0,
    }
    wrong = [f"{status[name]} {name}, not {count}" for name, count in found.items() if status[name] != count]
    letters = [decode_dead_letter(value) for value in await everything(shop.client, shop.topics.dead_letters)]
    if Counter((letter.original, letter.reason.value) for letter in letters) != garbage:
        wrong.append("the dead letters are not the garbage that was sent")
    slates = await all_slates(shop.client, shop.topics)
    if {slate.user_id for slate in slates} != {event.user_id for event in shop.events}:
        wrong.append("not every user has a slate")
    wrong += await place.differences()
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())
    tally.notes.append(f"{said}, {expected['out of order']} out of order")
    tally.trial(wrong, seconds, f"{len(sent)} records")
