"""One of two workers stands still for longer than its session, and wakes up when its partitions are another's."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from benchmarks.faults.place import until
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import Team, stale, started_again, unanswered

_EVENTS = 3_000


async def pauses(
    shop: Shop, times: int, tally: Tally, pause_s: float = 60.0, session_s: float | None = None
) -> None:
    """Each trial: SIGSTOP amid the stream, SIGCONT when all is answered; measured until it has its share again."""
    async with Team(shop.client, shop.topics, shop.folder, session_s) as team:
        await team.join("one")
        await team.join("two")
        for _ in range(times):
            await team.until_shared()
            name = shop.rng.choice(sorted(team.workers))
            [other] = team.workers.keys() - {name}
            await shop.publish(_EVENTS)
            await asyncio.sleep(shop.rng.random())
            stopped = team.pause(name)
            began = time.monotonic()
            try:
                await until(lambda: team.owns_all(other))  # noqa: B023
                await team.until_answered(shop.events)
                await asyncio.sleep(max(0.0, began + pause_s - time.monotonic()))
                stood_s = time.monotonic() - began
                before = len(await team.slates())
                said = stopped.log.stat().st_size
            finally:
                os.kill(stopped.pid, signal.SIGCONT)
            woken = time.monotonic()
            await until(lambda: started_again(stopped.log, said))  # noqa: B023
            await stopped.wait_until_ready()
            team.workers[name] = stopped
            await team.until_shared()
            seconds = time.monotonic() - woken
            await team.until_read()
            wrong = await team.differences()
            if (more := len(await team.slates()) - before) != 0:
                wrong.append(f"{more} slates were written after it woke up, and nothing was left to answer")
            tally.trial(wrong, seconds, f"{name} stood still for {stood_s:.0f} s")
        for name in sorted(team.workers):
            await team.leave(name)
        slates = await team.slates()
        wrong = [*await team.differences(), *stale(slates, shop.events), *unanswered(slates, shop.events)]
        tally.end(wrong)
