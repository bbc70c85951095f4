"""A worker with shoppers and a Prometheus that watches it, and whoever does something to them."""

from __future__ import annotations

import asyncio
import os
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.alerts.hurried import hurry
from benchmarks.faults.place import Place
from benchmarks.faults.shop import Shop
from benchmarks.prometheus import Prometheus, ask
from connectors.simulator.loop import run
from connectors.simulator.simulation import Simulation
from stream.demo.scenario import shop as small_shop
from stream.worker_process import WorkerProcess

_HEALTHY_S = 20.0
_PATIENCE_S = 300.0
_RATE = 200.0  # events a second


@dataclass(frozen=True, slots=True)
class Stage:
    """Who there is.

    Attributes:
        shop: Topics, and events beside those of the shoppers.
        place: The worker's.
        worker: It.
        simulation: The shoppers.
    """

    shop: Shop
    place: Place
    worker: WorkerProcess
    simulation: Simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, and which alerts it fires.

    Attributes:
        what: In words.
        alerts: Their names.
        act: Does it; it is cancelled when all have fired.
        faster: How many times as fast as they are shipped the rules are.
        environment: Settings of the worker.
        patch: Python that is run as the worker's interpreter starts, for what nobody can do to it from outside.
        rate: The shoppers' events a second.
    """

    what: str
    alerts: tuple[str, ...]
    act: Callable[[Stage], Coroutine[Any, Any, None]]
    faster: float = 20.0
    environment: Mapping[str, str] = field(default_factory=dict)
    patch: str = ""
    rate: float = _RATE


async def tried(fault: Fault, shop: Shop) -> list[dict[str, Any]]:
    """One row an alert: whether it was silent before, and how long after the fault it fired."""
    place = shop.place()
    place.environment |= fault.environment
    if fault.patch:
        place.environment |= {"PYTHONPATH": patched_by(fault.patch, shop.folder / "patch")}
    rules = hurry(shop.folder / "hurried", fault.faster)
    async with place.worker() as worker:
        await worker.wait_until_ready()
        assert worker.http is not None
        (shop.folder / "prometheus").mkdir()
        with Prometheus(shop.folder / "prometheus", [worker.http], rules=rules) as prometheus:
            async with shopping(place, fault.rate, _HEALTHY_S + _PATIENCE_S) as simulation:
                await asyncio.sleep(_HEALTHY_S)
                too_early = await firing(prometheus.url)
                began = time.monotonic()
                acting = asyncio.create_task(fault.act(Stage(shop, place, worker, simulation)))
                try:
                    fired = await _until_fired(prometheus.url, fault.alerts, began, acting)
                finally:
                    acting.cancel()
                    await asyncio.gather(acting, return_exceptions=True)
    return [
        {
            "alert": alert,
            "fault": fault.what,
            "rules_faster": fault.faster,
            "fired_after_s": fired.get(alert, float("nan")),
            "went_wrong": _wrong(alert in too_early, alert in fired),
        }
        for alert in fault.alerts
    ]


def _wrong(before: bool, after: bool) -> str:
    if before:
        return "it fired before anything was wrong"
    return "" if after else "it did not fire"


@asynccontextmanager
async def shopping(place: Place, rate: float, longest_s: float) -> AsyncIterator[Simulation]:
    """Shoppers who shop as long as the block lasts, whatever becomes of the broker meanwhile.

    Args:
        place: Whose topics are theirs.
        rate: Events a second.
        longest_s: The block is left before their time, which is faster than ours, has come to the present.
    """
    scenario = small_shop(0, longest_s)
    assert scenario.simulation is not None
    assert scenario.clock is not None
    running = asyncio.create_task(
        run(
            scenario.simulation,
            scenario.clock,
            place.client,
            events_topic=place.topics.events,
            recommendations_topic=place.topics.recommendations,
            rate=rate,
            stop=asyncio.Event(),
        )
    )
    try:
        yield scenario.simulation
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def patched_by(code: str, folder: Path) -> str:
    """The `PYTHONPATH` of an interpreter that runs this as it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code), encoding="utf-8")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


async def firing(url: str) -> set[str]:
    """Names of the alerts that fire now."""
    alerts = (await asyncio.to_thread(ask, url, "alerts"))["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


async def _until_fired(
    url: str, alerts: tuple[str, ...], began: float, acting: asyncio.Task[None]
) -> dict[str, float]:
    fired: dict[str, float] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            while len(fired) < len(alerts):
                if acting.done():
                    acting.result()  # what it could not do is no alert's fault
                for alert in await firing(url):
                    if alert in alerts:
                        fired.setdefault(alert, time.monotonic() - began)
                await asyncio.sleep(0.5)
    return fired
