"""A worker that is watched: simulated shoppers on a real broker, and a real Prometheus that scrapes it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.faults.events import GARBAGE
from benchmarks.faults.place import Place, publish
from benchmarks.prometheus import Prometheus
from benchmarks.shoppers import shoppers

_SCRAPED_ONCE_MORE_S = 3.0


@asynccontextmanager
async def observed(
    place: Place, folder: Path, *, duration_s: float, rate: float, every_s: int = 1
) -> AsyncIterator[str]:
    """Play the demonstration's shop to a worker and have it watched; what is yielded is Prometheus's address.

    A third into it come some records that are no events, so that there is something to be refused.

    Args:
        place: The worker's.
        folder: An empty one, for Prometheus.
        duration_s: How long the shoppers shop before there is something to look at.
        rate: Their events a second.
        every_s: Between two scrapes.
    """
    async with place.worker() as worker:
        await worker.wait_until_ready()
        assert worker.http is not None
        with Prometheus(folder, [worker.http], every_s=every_s) as prometheus:
            refused = asyncio.create_task(_send_garbage(place, duration_s / 3.0))
            _, shopping = shoppers(place, rate=rate, duration_s=duration_s)
            await shopping
            await refused
            await place.until(worker, lambda status: status["lag"] == 0)
            await asyncio.sleep(every_s * _SCRAPED_ONCE_MORE_S)
            yield prometheus.url


async def _send_garbage(place: Place, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await publish(place.client, place.topics.events, [(None, value) for value in GARBAGE])
