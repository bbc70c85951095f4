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
from benchmarks.prometheus import SHIPPED, Prometheus, ask
from benchmarks.shoppers import shoppers
from connectors.simulator.simulation import Simulation
from stream.worker_process import WorkerProcess

_HEALTHY_S = 20.0
_PATIENCE_S = 300.0
_MARGIN_S = 60.0
_MOST = 0.9  # of the events that were meant to come

RATE = 200.0
"""Events a second."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Who there is.

    Attributes:
        shop: Topics, and events beside those of the shoppers.
        place: The worker's.
        worker: It.
        simulation: The shoppers.
        url: Where Prometheus answers.
    """

    shop: Shop
    place: Place
    worker: WorkerProcess
    simulation: Simulation
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, and which alerts it fires.

    Attributes:
        what: In words.
        alerts: Their names.
        act: Does it; what still goes on when all have fired is cancelled.
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
    rate: float = RATE


@asynccontextmanager
async def staged(
    shop: Shop,
    *,
    longest_s: float,
    rate: float = RATE,
    environment: Mapping[str, str] | None = None,
    rules: Path = SHIPPED,
) -> AsyncIterator[Stage]:
    """All of them at work, whatever becomes of the broker meanwhile.

    Args:
        shop: Whose topics and folder are theirs.
        longest_s: The block is left before so many seconds have passed.
        rate: The shoppers' events a second.
        environment: Settings of the worker.
        rules: Where those of Prometheus lie.
    """
    place = shop.place()
    place.environment |= environment or {}
    async with place.worker() as worker:
        await worker.wait_until_ready()
        assert worker.http is not None
        folder = shop.folder / "prometheus"
        folder.mkdir()
        with Prometheus(folder, [worker.http], rules=rules) as prometheus:
            simulation, shopping = shoppers(place, rate=rate, duration_s=longest_s)
            task = asyncio.create_task(shopping)
            try:
                yield Stage(shop, place, worker, simulation, prometheus.url)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def tried(fault: Fault, shop: Shop) -> list[dict[str, Any]]:
    """One row an alert: whether it was silent before, and how long after the fault it fired."""
    environment = dict(fault.environment)
    if fault.patch:
        environment["PYTHONPATH"] = patched_by(fault.patch, shop.folder / "patch")
    async with staged(
        shop,
        longest_s=_HEALTHY_S + _PATIENCE_S + _MARGIN_S,
        rate=fault.rate,
        environment=environment,
        rules=hurry(shop.folder / "hurried", fault.faster),
    ) as stage:
        await asyncio.sleep(_HEALTHY_S)
        too_early = await firing(stage.url)
        began = time.monotonic()
        acting = asyncio.create_task(fault.act(stage))
        try:
            fired = await _until_fired(stage.url, fault.alerts, began, acting)
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


async def left_alone(shop: Shop, watched_s: float) -> dict[str, Any]:
    """The row of a worker to which nothing is done, by the rules as they are shipped."""
    fired: dict[str, str] = {}
    async with staged(shop, longest_s=watched_s + _MARGIN_S) as stage:
        until = time.monotonic() + watched_s
        while time.monotonic() < until:
            await asyncio.sleep(1.0)
            fired = {**await _firing_about(stage.url), **fired}
        learned = (await stage.place.until(stage.worker, lambda status: status["lag"] == 0))["events_learned"]
    wrong = [f"{alert} fired ({about})" for alert, about in sorted(fired.items())]
    if learned < _MOST * RATE * watched_s:
        wrong.append(f"only {learned} events were there to be learned")
    return {
        "alert": "any",
        "fault": f"none, for {watched_s / 60.0:g} min",
        "rules_faster": 1.0,
        "fired_after_s": float("nan"),
        "went_wrong": ", ".join(wrong),
    }


def _wrong(before: bool, after: bool) -> str:
    if before:
        return "it fired before anything was wrong"
    return "" if after else "it did not fire"


def patched_by(code: str, folder: Path) -> str:
    """The `PYTHONPATH` of an interpreter that runs this as it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code), encoding="utf-8")
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


async def firing(url: str) -> set[str]:
    """Names of the alerts that fire now."""
    return set(await _firing_about(url))


async def _firing_about(url: str) -> dict[str, str]:
    """The same, with what one of each says."""
    alerts = (await asyncio.to_thread(ask, url, "alerts"))["alerts"]
    return {
        alert["labels"]["alertname"]: alert["annotations"]["description"]
        for alert in alerts
        if alert["state"] == "firing"
    }


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
