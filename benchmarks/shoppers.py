"""The demonstration's shoppers on a broker that somebody else watches."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from benchmarks.faults.place import Place
from connectors.simulator.loop import LoopProgress, run
from connectors.simulator.simulation import Simulation
from stream.demo.scenario import shop


def shoppers(
    place: Place, *, rate: float, duration_s: float, stop: asyncio.Event | None = None
) -> tuple[Simulation, Coroutine[Any, Any, LoopProgress]]:
    """The shoppers of a worker's topics, and what has to be awaited for them to shop.

    Args:
        place: The worker's.
        rate: Events a second.
        duration_s: How long they shop; their time, which is faster than ours, comes to the present then.
        stop: Set it to let them go earlier.
    """
    scenario = shop(0, duration_s)
    assert scenario.simulation is not None
    assert scenario.clock is not None
    return scenario.simulation, run(
        scenario.simulation,
        scenario.clock,
        place.client,
        events_topic=place.topics.events,
        recommendations_topic=place.topics.recommendations,
        rate=rate,
        stop=stop or asyncio.Event(),
        duration_s=duration_s,
    )
