"""The broker is killed under one worker or several that are in mid-stream, and comes back some seconds later."""

from __future__ import annotations

import asyncio
import time

from benchmarks.faults.kills import AHEAD
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import NAMES, Team, stale, unanswered

_LONGEST_S = 20.0
_EVENTS = 1_000


async def outages(shop: Shop, times: int, tally: Tally, workers: int = 1) -> None:
    """Each trial: kill, start again, publish more; measured from the broker's answer until all of it is learned.

    A worker that did not live through it fails the trial: nobody starts one again.
    """
    async with Team(shop.client, shop.topics, shop.folder) as team:
        for name in NAMES[:workers]:
            await team.join(name)
        await team.until_shared()
        for _ in range(times):
            await shop.publish(AHEAD)
            await asyncio.sleep(1.0 + shop.rng.random())
            shop.broker.kill()
            away_s = _LONGEST_S * shop.rng.random()
            await asyncio.sleep(away_s)
            await shop.broker.come_back()
            began = time.monotonic()
            await shop.publish(_EVENTS)
            await team.until_told()
            seconds = time.monotonic() - began
            await team.until_shared()
            wrong = await team.differences()
            for name in team.workers:  # each counts its own and those that it followed
                if (counted := (await team.status(name))["events_learned"]) != len(shop.events):
                    wrong.append(f"{name} has {counted} events, {len(shop.events)} were published")
            tally.trial(wrong, seconds, f"{away_s:.0f} s without a broker")
        await team.until_answered(shop.events)
        tally.notes.append(f"{len(shop.events)} events, no worker started again")
        slates = await team.slates()
        wrong = [*await team.differences(), *stale(slates, shop.events), *unanswered(slates, shop.events)]
    tally.end(wrong)
