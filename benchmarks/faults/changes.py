"""Workers join a group, leave it and are killed, with two or three of them at any time."""

from __future__ import annotations

import asyncio
import time

from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import NAMES, Team, stale, unanswered

_EVENTS = 1_500


async def changes(shop: Shop, times: int, tally: Tally) -> None:
    """Each trial: one change amid the stream, measured until every partition has an owner again."""
    done = dict.fromkeys(("joins", "leaves", "killed"), 0)
    async with Team(shop.client, shop.topics, shop.folder) as team:
        await team.join("one")
        await team.join("two")
        await team.until_shared()
        for _ in range(times):
            publishing = asyncio.create_task(shop.publish(_EVENTS))
            await asyncio.sleep(shop.rng.random())
            began = time.monotonic()
            if len(team.workers) == len(NAMES):
                name = shop.rng.choice(sorted(team.workers))
                what = "killed" if done["killed"] <= done["leaves"] else "leaves"
                if what == "killed":
                    team.kill(name)
                else:
                    await team.leave(name)
            else:
                [name] = set(NAMES) - team.workers.keys()
                what = "joins"
                await team.join(name)
            await team.until_shared()
            seconds = time.monotonic() - began
            done[what] += 1
            await publishing
            await team.until_saved()
            tally.trial(await team.differences(), seconds, f"{name} {what}")
        await team.until_read()
        for name in sorted(team.workers):
            await team.leave(name)
        tally.notes.append(", ".join(f"{what} {count}" for what, count in done.items()))
        tally.notes.append(f"{len(shop.events)} events")
        slates = await team.slates()
        wrong = [*await team.differences(), *stale(slates, shop.events), *unanswered(slates, shop.events)]
        tally.end(wrong)
