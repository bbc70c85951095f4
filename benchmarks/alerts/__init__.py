"""Each alert on a real fault: a real worker on a real broker, watched by a real Prometheus with the shipped rules.

For the faults the times of the rules are shortened, see `hurried`. The healthy worker is watched by the rules as they
are shipped, and no alert may fire.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.alerts.faults import FAULTS
from benchmarks.alerts.stage import firing, shopping, tried
from benchmarks.faults.shop import Broker, Shop, opened
from benchmarks.prometheus import Prometheus

_SEED = 1
_HEALTHY = "healthy"
_MINUTES, _QUICK_MINUTES = 20.0, 2.0
_RATE = 200.0
_MOST = 0.9  # of the events that were meant to come
_MARGIN_S = 60.0


def measure(quick: bool, only: tuple[str, ...] = (), minutes: float | None = None) -> list[dict[str, Any]]:
    """One row an alert, and one for the worker in good health; `went_wrong` is empty where all is as required.

    Args:
        quick: The healthy worker is watched for two minutes instead of twenty.
        only: Names of `FAULTS`, or `healthy`; all where there are none.
        minutes: How long the healthy worker is watched.
    """
    names = (*FAULTS, _HEALTHY)
    if unknown := set(only) - set(names):
        raise click.UsageError(f"No fault {', '.join(sorted(unknown))}; there are {', '.join(names)}.")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the shoppers' own, whose broker is killed
    folder = Path(tempfile.mkdtemp(prefix="freshet-alerts-"))
    try:
        broker = Broker(folder / "broker")
        try:
            watched_s = 60.0 * (minutes or (_QUICK_MINUTES if quick else _MINUTES))
            return asyncio.run(_measured(broker, folder, only or names, watched_s))
        finally:
            broker.stop()
    finally:
        shutil.rmtree(folder)


async def _measured(
    broker: Broker, folder: Path, names: tuple[str, ...], watched_s: float
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        async with opened(broker, name, folder, _SEED) as shop:
            shop.folder.mkdir()
            made = [await _healthy(shop, watched_s)] if name == _HEALTHY else await tried(FAULTS[name], shop)
        for row in made:
            click.echo(
                f"{name}: {row['alert']}, {row['went_wrong'] or 'well'}, {row['fired_after_s']:.0f} s",
                err=True,
            )
        rows += made
    return rows


async def _healthy(shop: Shop, watched_s: float) -> dict[str, Any]:
    place = shop.place()
    fired: set[str] = set()
    async with place.worker() as worker:
        await worker.wait_until_ready()
        assert worker.http is not None
        (shop.folder / "prometheus").mkdir()
        with Prometheus(shop.folder / "prometheus", [worker.http]) as prometheus:
            async with shopping(place, _RATE, watched_s + _MARGIN_S):
                until = time.monotonic() + watched_s
                while time.monotonic() < until:
                    await asyncio.sleep(1.0)
                    fired |= await firing(prometheus.url)
            learned = (await place.until(worker, lambda status: status["lag"] == 0))["events_learned"]
    wrong = [f"{alert} fired" for alert in sorted(fired)]
    if learned < _MOST * _RATE * watched_s:
        wrong.append(f"only {learned} events were there to be learned")
    return {
        "alert": "any",
        "fault": f"none, for {watched_s / 60.0:g} min",
        "rules_faster": 1.0,
        "fired_after_s": float("nan"),
        "went_wrong": ", ".join(wrong),
    }
