"""A worker is killed again and again while it reads as fast as it can, every other time during a checkpoint."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.faults.place import PATIENCE_S, Place, until
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from benchmarks.faults.team import all_slates, stale, unanswered
from stream.assembly import checkpoint_store
from stream.checkpoints import manifest as manifests
from stream.checkpoints.folder import Entry
from stream.worker_process import WorkerProcess

AHEAD = 8_000
"""Events that wait for the worker at any time."""

_LOOK_EVERY_S = 0.05
_LONGEST_LIFE_S = 3.0


async def kills(shop: Shop, times: int, tally: Tally) -> None:
    """Each trial: kill, restart at once, and count again what the checkpoints hold then."""
    place = shop.place()
    during = 0
    async with AsyncExitStack() as stack:
        worker = await restarted(stack, shop, place)
        await learning_again(worker, time.monotonic(), 0)
        for trial in range(times):
            in_checkpoint = trial % 2 == 1
            if in_checkpoint:
                await asyncio.to_thread(_until_checkpoint_begins, place)
            else:
                await asyncio.sleep(_LONGEST_LIFE_S * shop.rng.random())
            os.kill(worker.pid, signal.SIGKILL)
            began = time.monotonic()
            cut = _unfinished(place)
            during += bool(cut)
            before = learned_until(place)
            worker = await restarted(stack, shop, place, before)
            again_s = await learning_again(worker, began, before)
            await until_checkpoints(place, 1)
            cut_short = "during a checkpoint" if cut else "between checkpoints"
            tally.trial(await place.differences(), again_s, f"killed {cut_short} at {before} events")
        tally.notes.append(f"{during} during a checkpoint")
        status = await place.until(worker, lambda status: status["lag"] == 0)
    wrong = await place.differences()
    if status["events_learned"] != len(shop.events):
        wrong.append(f"{status['events_learned']} events learned, {len(shop.events)} published")
    slates = await all_slates(shop.client, shop.topics)
    again = len(stale(slates, shop.events))
    tally.notes.append(f"{len(shop.events)} events, {again} slates that follow a newer one")
    tally.end([*wrong, *unanswered(slates, shop.events)])


async def restarted(stack: AsyncExitStack, shop: Shop, place: Place, learned: int = 0) -> WorkerProcess:
    """A new worker, which has enough to do; the stack stops it."""
    worker = await stack.enter_async_context(place.worker())
    await shop.keep_ahead(learned, AHEAD)
    return worker


def learned_until(place: Place) -> int:
    """Events that the newest checkpoint holds."""
    manifest = checkpoint_store(place.settings).latest_manifest()
    return manifest.totals["events_learned"] if manifest is not None else 0


async def learning_again(worker: WorkerProcess, began: float, before: int) -> float:
    """Seconds from `began` until more is learned than before."""
    await worker.wait_until_ready()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            worker.check()
            status = await worker.ask("/status")
            if status is not None and status["events_learned"] > before:
                return time.monotonic() - began
            await asyncio.sleep(_LOOK_EVERY_S)


async def until_checkpoints(place: Place, count: int) -> None:
    """Wait until so many more stand there than now."""
    store = checkpoint_store(place.settings)

    def newest() -> int:
        manifest = store.latest_manifest()
        return manifest.number if manifest is not None else 0

    wanted = await asyncio.to_thread(newest) + count

    async def more() -> bool:
        return await asyncio.to_thread(newest) >= wanted

    await until(more)


def _until_checkpoint_begins(place: Place) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not _unfinished(place):
        if time.monotonic() > deadline:
            raise TimeoutError("No checkpoint was begun.")


def _unfinished(place: Place) -> list[Path]:
    """Folders of checkpoints that are being written, or never were to their end."""
    return [
        folder
        for folder in (place.settings.state_dir / "checkpoints").glob("*")
        if Entry.of(folder.name) is not None and not (folder / manifests.NAME).exists()
    ]
