"""Each alert on a real fault: a real worker on a real broker, watched by a real Prometheus with the shipped rules.

For the faults the times of the rules are shortened, see `hurried`. The healthy worker is watched by the rules as they
are shipped, and no alert may fire.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from benchmarks.alerts.faults import FAULTS
from benchmarks.alerts.stage import left_alone, tried
from benchmarks.faults.shop import Broker, opened, own_broker
from benchmarks.parts import wanted

_SEED = 1
_HEALTHY = "healthy"
_MINUTES, _QUICK_MINUTES = 20.0, 2.0


def measure(quick: bool, only: tuple[str, ...] = (), minutes: float | None = None) -> list[dict[str, Any]]:
    """One row an alert, and one for the worker in good health; `went_wrong` is empty where all is as required.

    Args:
        quick: The healthy worker is watched for two minutes instead of twenty.
        only: Names of `FAULTS`, or `healthy`; all where there are none.
        minutes: How long the healthy worker is watched.
    """
    names = wanted("fault", only, (*FAULTS, _HEALTHY))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the shoppers' own, whose broker is killed
    watched_s = 60.0 * (minutes or (_QUICK_MINUTES if quick else _MINUTES))
    with own_broker("alerts") as (broker, folder):
        return asyncio.run(_measured(broker, folder, names, watched_s))


async def _measured(
    broker: Broker, folder: Path, names: tuple[str, ...], watched_s: float
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        async with opened(broker, name, folder, _SEED) as shop:
            shop.folder.mkdir()
            if name == _HEALTHY:
                made = [await left_alone(shop, watched_s)]
            else:
                made = await tried(FAULTS[name], shop)
        for row in made:
            click.echo(
                f"{name}: {row['alert']}, {row['went_wrong'] or 'well'}, {row['fired_after_s']:.0f} s",
                err=True,
            )
        rows += made
    return rows
