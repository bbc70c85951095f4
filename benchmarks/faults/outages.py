"""The broker is killed under a worker that is in mid-stream, and comes back some seconds later."""

from __future__ import annotations

import asyncio
import time

from benchmarks.faults.kills import AHEAD
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import all_slates, stale, unanswered

_LONGEST_S = 20.0
_EVENTS = 1_000


async def outages(shop: Shop, times: int, tally: Tally) -> None:
    """Each trial: kill, start again, publish more; measured from the broker's answer until all is learned."""
    place = shop.place()
    async with place.worker() as worker:
        await worker.wait_until_ready()
        for _ in range(times):
            learned = len(shop.events)
            await shop.publish(AHEAD)
            await place.until(worker, lambda status: status["events_learned"] > learned)  # noqa: B023
            await asyncio.sleep(shop.rng.random())
            shop.broker.kill()
            away_s = _LONGEST_S * shop.rng.random()
            await asyncio.sleep(away_s)
            worker.check()
            await shop.broker.come_back()
            began = time.monotonic()
            await shop.publish(_EVENTS)
            status = await place.until(worker, lambda status: status["lag"] == 0)
            seconds = time.monotonic() - began
            wrong = []
            if status["events_learned"] != len(shop.events):
                wrong.append(f"{status['events_learned']} events learned, {len(shop.events)} published")
            if status["worker"]["pid"] != worker.pid:
                wrong.append("another process works there")
            wrong += await place.differences()
            tally.trial(wrong, seconds, f"{away_s:.0f} s without a broker")
    tally.notes.append(f"{len(shop.events)} events, one worker process")
    slates = await all_slates(shop.client, shop.topics)
    wrong = await place.differences()
    tally.end([*wrong, *stale(slates, shop.events), *unanswered(slates, shop.events)])
