"""A file of the newest checkpoint is cut short, changed by a bit or deleted while no worker runs."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.kills import AHEAD, learned_until, learning_again, until_checkpoints
from benchmarks.faults.place import Place
from benchmarks.faults.shop import Shop
from benchmarks.faults.tally import Tally
from stream.assembly import checkpoint_store
from stream.checkpoints.chains import Chains
from stream.checkpoints.place import Place as CheckpointPlace

_CHECKPOINTS = 3
"""So many more stand there before one of them is damaged."""


def _truncate(file: Path, rng: random.Random) -> None:
    os.truncate(file, rng.randrange(file.stat().st_size))


def _flip(file: Path, rng: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def _delete(file: Path, _: random.Random) -> None:
    file.unlink()


_WAYS: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated": _truncate,
    "a bit flipped": _flip,
    "deleted": _delete,
}


async def damage(shop: Shop, times: int, tally: Tally) -> None:
    """Each trial: kill, damage, restart; the log must name the checkpoint, and the one before must be gone on from."""
    place = shop.place()
    worker = place.worker()
    async with worker:
        await shop.keep_ahead(0, AHEAD)
        await learning_again(worker, time.monotonic(), 0)
        await until_checkpoints(place, _CHECKPOINTS)
        os.kill(worker.pid, signal.SIGKILL)
    for trial in range(times):
        way = list(_WAYS)[trial % len(_WAYS)]
        number, file = _damaged(place, _WAYS[way], shop.rng)
        worker = place.worker()
        began = time.monotonic()
        async with worker:
            before = learned_until(place)
            await shop.keep_ahead(before, AHEAD)
            seconds = await learning_again(worker, began, before)
            wrong = not_noticed(worker.log.read_text(), number)
            await until_checkpoints(place, _CHECKPOINTS)
            wrong += await place.differences()
            tally.trial(wrong, seconds, f"{file} {way}")
            if trial < times - 1:
                os.kill(worker.pid, signal.SIGKILL)
            else:
                await place.until(worker, lambda status: status["lag"] == 0)
    tally.end(await place.differences())


def _damaged(place: Place, how: Callable[[Path, random.Random], None], rng: random.Random) -> tuple[int, str]:
    """The newest checkpoint's number, and which file is damaged now; where it is stored twice, both are."""
    manifest = checkpoint_store(place.settings).latest_manifest()
    assert manifest is not None
    root = place.settings.state_dir / "checkpoints"
    names = []
    for folder in finished_folders(root, manifest.number):
        file = rng.choice(sorted(folder.iterdir()))
        how(file, rng)
        names.append(f"{folder.name}/{file.name}")
    return manifest.number, " and ".join(names)


def finished_folders(root: Path, number: int) -> list[Path]:
    """The folders of a checkpoint; not what a merge had begun to write when the worker was killed."""
    finished = sorted(Chains(CheckpointPlace(root)).finished())
    return [root / entry.folder for entry in finished if entry.number == number]


def not_noticed(log: str, number: int) -> list[str]:
    """What a worker's log lacks that has restored its state beside a damaged checkpoint."""
    wrong = []
    if not re.search(
        rf"checkpoint (folder )?0*{number}\b.* (cannot be used|is damaged|was never finished)", log
    ):
        wrong.append(f"the log does not name checkpoint {number}")
    restored = re.search(r"restored checkpoint=(\d+)", log)
    if restored is None or int(restored[1]) >= number:
        wrong.append(f"not gone on from one before: {restored and restored[0]}, {number} was damaged")
    return wrong
