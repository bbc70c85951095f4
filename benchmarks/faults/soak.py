"""Simulated shoppers for a long time, at a steady share of full speed, while users and items come and go."""

from __future__ import annotations

import asyncio
import time

import psutil

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
_REACHED = 0.8  # of the rate that is aimed at, since shoppers begin slowly
_LOOK_EVERY_S = 5.0
_MOST_LAG_S = 10.0
_MOST_GROWTH = 1.25  # of memory, from a third of the time on


async def soak(shop: Shop, _: int, tally: Tally, duration_s: float = 1_800.0) -> None:
    """One trial, a long one: the lag stays small, in seconds of the stream, and memory what it is."""
    place = shop.place()
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
        lags, sizes = [0], [_memory(worker)]
        while not playing.done():
            worker.check()
            lags.append((await place.status())["lag"])
            sizes.append(_memory(worker))
            await asyncio.wait({playing}, timeout=_LOOK_EVERY_S)
        played = await playing
        status = await place.until(worker, lambda status: status["lag"] == 0)
    wrong = await place.differences()
    worst_s = max(lags) / rate
    if worst_s > _MOST_LAG_S:
        wrong.append(f"{max(lags)} events waited at once")
    if played.events_per_s < _REACHED * rate:
        wrong.append(f"the shoppers reached {played.events_per_s:.0f} events a second, not {rate:.0f}")
    first, last = sizes[len(sizes) // 3], sizes[-1]
    if last > _MOST_GROWTH * first:
        wrong.append(f"memory grew from {first:.0f} to {last:.0f} MB")
    if status["events_learned"] != (sent := len(shop.events) + played.published):
        wrong.append(f"{status['events_learned']} events learned, {sent} published")
    tally.notes.append(
        f"{played.published} events at {played.events_per_s:.0f} of {rate / _SHARE:.0f}/s, "
        f"{status['users']} users, {status['items']} items, at most {max(lags)} waiting, "
        f"{first:.0f} MB after a third and {last:.0f} MB at the end"
    )
    tally.trial(wrong, worst_s, f"{played.elapsed_s:.0f} s")


async def _full_speed(shop: Shop, place: Place, worker: WorkerProcess) -> float:
    """Events a second that the worker learns while it never has to wait."""
    await shop.publish(_FULL_SPEED_EVENTS)
    first = await place.until(worker, lambda status: status["events_learned"] > 0)
    began = time.monotonic()
    last = await place.until(worker, lambda status: status["lag"] == 0)
    return float(last["events_learned"] - first["events_learned"]) / (time.monotonic() - began)


def _memory(worker: WorkerProcess) -> float:
    return float(psutil.Process(worker.pid).memory_info().rss) / 1e6


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
