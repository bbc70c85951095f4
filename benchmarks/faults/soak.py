"""Simulated shoppers for a long time, at a steady share of full speed, while users and items come and go.

Bounds are so tight that they are reached within the first third, the warm-up. From then on nothing may grow: not the
memory, not the time from event to slate, not the number of series that Prometheus would keep.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request
from dataclasses import dataclass

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.faults.place import Place
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from connectors.simulator.clock import SimulatedClock
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.loop import run
from connectors.simulator.simulation import Simulation
from stream.worker_process import WorkerProcess

_SHARE = 0.6  # of full speed
_FULL_SPEED_EVENTS = 10_000
_SCALE = 600.0  # ten hours of shopping a minute
_CONFIG = SimulatorConfig(cold_users=0.1, new_items=4.0)
_BOUNDS = {
    "MAX_USERS": "1500",
    "MAX_ITEMS": "1500",
    "MAX_PAIRS": "20000",
    "MAX_PENDING": "10000",
    "MAX_OWNED": "5000",
}
_REACHED = 0.8  # of the rate that is aimed at, since shoppers begin slowly
_LOOK_EVERY_S = 5.0
_MOST_LAG_S = 10.0
_MOST_GROWTH = 1.05  # of memory, and of the number of series
_MOST_SLOWER = 1.5  # times; freshness follows whatever else the machine does


@dataclass(frozen=True, slots=True)
class _Look:
    """The worker at one moment.

    Attributes:
        memory_mb: Resident.
        series: That Prometheus would keep.
        answered: Events whose slates were acknowledged.
        waited_s: How long all of them together took.
    """

    memory_mb: float
    series: int
    answered: float
    waited_s: float


async def soak(shop: Shop, _: int, tally: Tally, duration_s: float = 1_800.0) -> None:
    """One trial, a long one."""
    place = shop.place()
    place.environment |= {f"FRESHET_STATE__{name}": value for name, value in _BOUNDS.items()}
    async with place.worker() as worker:
        await worker.wait_until_ready()
        rate = _SHARE * await _full_speed(shop, place, worker)
        tally.say(f"{rate:.0f} events a second for {duration_s:.0f} s")
        clock = SimulatedClock.ending_now(_wall_ms, scale=_SCALE, duration_s=duration_s)
        playing = asyncio.create_task(
            run(
                Simulation(_CONFIG, clock.start_ms),
                clock,
                shop.client,
                events_topic=shop.topics.events,
                recommendations_topic=shop.topics.recommendations,
                rate=rate,
                stop=asyncio.Event(),
                duration_s=duration_s,
            )
        )
        lags, looks = [0], [await _look(worker)]
        while not playing.done():
            worker.check()
            lags.append((await place.status())["lag"])
            looks.append(await _look(worker))
            await asyncio.wait({playing}, timeout=_LOOK_EVERY_S)
        played = await playing
        status = await place.until(worker, lambda status: status["lag"] == 0)
    second, last = _thirds(looks)
    wrong = []
    worst_s = max(lags) / rate
    if worst_s > _MOST_LAG_S:
        wrong.append(f"{max(lags)} events waited at once")
    if played.events_per_s < _REACHED * rate:
        wrong.append(f"the shoppers reached {played.events_per_s:.0f} events a second, not {rate:.0f}")
    for what, unit, most in (
        ("memory", "MB", _MOST_GROWTH),
        ("series", "", _MOST_GROWTH),
        ("freshness", "ms", _MOST_SLOWER),
    ):
        if last[what] > most * second[what]:
            wrong.append(f"{what} grew from {second[what]:.0f} to {last[what]:.0f} {unit}")
    if status["events_learned"] != (sent := len(shop.events) + played.published):
        wrong.append(f"{status['events_learned']} events learned, {sent} published")
    tally.notes.append(
        f"{played.published} events at {played.events_per_s:.0f} of {rate / _SHARE:.0f}/s, "
        f"{status['users']} users, {status['items']} items, at most {max(lags)} waiting; from the second third to the "
        + ", ".join(f"last {what} {second[what]:.0f} to {last[what]:.0f}" for what in second)
    )
    tally.trial(wrong, worst_s, f"{played.elapsed_s:.0f} s")


def _thirds(looks: list[_Look]) -> tuple[dict[str, float], dict[str, float]]:
    """What the second and the last third of the time were like: medians, and the mean freshness in milliseconds."""
    third = len(looks) // 3

    def like(some: list[_Look]) -> dict[str, float]:
        answered = some[-1].answered - some[0].answered
        return {
            "memory": statistics.median(one.memory_mb for one in some),
            "series": statistics.median(one.series for one in some),
            "freshness": 1e3 * (some[-1].waited_s - some[0].waited_s) / max(answered, 1.0),
        }

    return like(looks[third : 2 * third + 1]), like(looks[2 * third :])


async def _look(worker: WorkerProcess) -> _Look:
    series, answered, waited = 0, 0.0, 0.0
    for family in text_string_to_metric_families(
        await asyncio.to_thread(_metrics, f"http://{worker.http}/metrics")
    ):
        series += len(family.samples)
        for sample in family.samples:
            if sample.name == "freshet_freshness_seconds_count":
                answered = sample.value
            elif sample.name == "freshet_freshness_seconds_sum":
                waited = sample.value
    return _Look(float(psutil.Process(worker.pid).memory_info().rss) / 1e6, series, answered, waited)


def _metrics(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60.0) as answer:
        return str(answer.read().decode())


async def _full_speed(shop: Shop, place: Place, worker: WorkerProcess) -> float:
    """Events a second that the worker learns while it never has to wait."""
    await shop.publish(_FULL_SPEED_EVENTS)
    first = await place.until(worker, lambda status: status["events_learned"] > 0)
    began = time.monotonic()
    last = await place.until(worker, lambda status: status["lag"] == 0)
    return float(last["events_learned"] - first["events_learned"]) / (time.monotonic() - began)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
