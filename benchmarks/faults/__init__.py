"""The drill: faults that a real broker and real workers have to survive, and a table of what came of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.faults.changes import changes
from benchmarks.faults.damage import damage
from benchmarks.faults.kills import kills
from benchmarks.faults.mixture import mixture
from benchmarks.faults.outages import outages
from benchmarks.faults.pauses import pauses
from benchmarks.faults.shop import Broker, Shop, opened, own_broker
from benchmarks.faults.soak import soak
from benchmarks.faults.tally import Tally
from benchmarks.parts import wanted

_SEED = 1
_AGAIN_WITHIN_S = 15.0
_QUICK_PAUSE_S, _QUICK_SESSION_S = 10.0, 6.0
_QUICK_EVENTS = 4_000
_QUICK_SOAK_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done, and what has to be so.

    Attributes:
        what: In words.
        required: In words.
        times: How often.
        times_quick: How often where it has to be quick.
        run: Does it.
        run_quick: Does it where it has to be quick; `run` where it is None.
        limit_s: Above so many seconds a trial has failed; None where time does not matter.
    """

    what: str
    required: str
    times: int
    times_quick: int
    run: Callable[[Shop, int, Tally], Awaitable[None]]
    run_quick: Callable[[Shop, int, Tally], Awaitable[None]] | None = None
    limit_s: float | None = None


FAULTS: dict[str, Fault] = {
    "kills": Fault(
        what="kill -9 of the worker during a full-speed replay",
        required=f"clean; learning again within {_AGAIN_WITHIN_S:.0f} s",
        times=50,
        times_quick=4,
        run=kills,
        limit_s=_AGAIN_WITHIN_S,
    ),
    "changes": Fault(
        what="a worker joins, leaves or is killed, with 2 to 3 of them",
        required="clean; no slate of older state than the one before",
        times=30,
        times_quick=3,
        run=changes,
    ),
    "pauses": Fault(
        what="SIGSTOP past the session, then SIGCONT",
        required="clean; the zombie writes nothing",
        times=5,
        times_quick=1,
        run=pauses,
        run_quick=partial(pauses, pause_s=_QUICK_PAUSE_S, session_s=_QUICK_SESSION_S),
    ),
    "outages": Fault(
        what="kill -9 of the broker, and its restart, in mid-stream",
        required="clean; the same worker goes on",
        times=10,
        times_quick=1,
        run=outages,
    ),
    "outages_team": Fault(
        what="the same with two workers",
        required="clean; the same workers go on",
        times=5,
        times_quick=1,
        run=partial(outages, workers=2),
    ),
    "damage": Fault(
        what="newest checkpoint truncated, a bit flipped, a file deleted",
        required="clean; the log names it, the one before is used",
        times=20,
        times_quick=3,
        run=damage,
    ),
    "mixture": Fault(
        what="5 % duplicates, 5 % out of order, 5 % garbage",
        required="exact counts",
        times=1,
        times_quick=1,
        run=mixture,
        run_quick=partial(mixture, events=_QUICK_EVENTS),
    ),
    "soak": Fault(
        what="simulated shoppers at 60 % of full speed, users and items come and go",
        required="clean; at most 10 s behind; memory does not grow",
        times=1,
        times_quick=1,
        run=soak,
        run_quick=partial(soak, duration_s=_QUICK_SOAK_S),
    ),
}


def measure(quick: bool, only: tuple[str, ...] = (), minutes: float | None = None) -> list[dict[str, Any]]:
    """One row a fault; `went_wrong` is empty where everything was as required.

    Args:
        quick: Each a few times, and a short soak.
        only: Names of `FAULTS`; all where there are none.
        minutes: How long the soak takes; as `quick` says where it is None.
    """
    names = wanted("fault", only, FAULTS)
    click.echo(f"The seed is {_SEED}.", err=True)
    # Whoever verifies beside a worker meets what it has not finished yet, and damage is the worker's to tell.
    logging.getLogger("stream.checkpoints").setLevel(logging.CRITICAL)
    with own_broker("faults") as (broker, folder):
        return asyncio.run(_measured(broker, folder, _faults(minutes), quick, names))


def _faults(minutes: float | None) -> dict[str, Fault]:
    if minutes is None:
        return FAULTS
    as_long = partial(soak, duration_s=60.0 * minutes)
    return FAULTS | {"soak": replace(FAULTS["soak"], run=as_long, run_quick=as_long)}


async def _measured(
    broker: Broker, folder: Path, faults: dict[str, Fault], quick: bool, only: tuple[str, ...]
) -> list[dict[str, Any]]:
    rows = []
    for name in only:
        fault = faults[name]
        times = fault.times_quick if quick else fault.times
        tally = Tally(fault.what, fault.required, times, fault.limit_s)
        run = fault.run_quick if quick and fault.run_quick is not None else fault.run
        try:
            async with opened(broker, name, folder, _SEED) as shop:
                await run(shop, times, tally)
        except Exception as error:  # the other faults are tried all the same
            tally.end([f"broken off by {type(error).__name__}: {error}"])
        rows.append(tally.row())
    return rows
