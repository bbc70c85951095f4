"""A hundred simulated shops on one topic: 100,000 items, 200,000 shoppers, and what a worker knows of them beforehand.

One simulated shop of this size takes half a millisecond an event, which is the simulation's business and nobody
else's. Many small ones take 20 us, and a worker that serves all of them has the same catalogue, the same users and the
same mixture of impressions, views, clicks, dwells, carts and purchases, joined by sessions and slates.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from connectors.decode import Refusal
from connectors.event import Event, encode_event
from connectors.record_batches import partition_of
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from stream.assembly import build_decoder, build_processor
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor
from stream.settings import Settings, load

SHOPS, ITEMS_EACH, SHOPPERS_EACH = 100, 1_000, 2_000
ITEMS, SHOPPERS = SHOPS * ITEMS_EACH, SHOPS * SHOPPERS_EACH
START_MS = 1_700_000_000_000

_FOLDER = Path("build/benchmarks")
_TICK_MS = 1_000
_EACH = 4  # events of a shop in a tick: 300 a second of all, so that windows of labels close within a log
_EARLIER_MS = 30 * 86_400_000
_BETWEEN_VIEWS_MS = 100
_BATCH = 2_048
_RANKED = 0.02


def log_of(count: int) -> list[bytes]:
    """The first `count` events as they stand on the topic; made once and kept in `build/`."""
    return _kept(f"log-{count}", lambda: (encode_event(event) for event in islice(_events(), count)))


def catalogue() -> list[bytes]:
    """A month before the log begins, each item is viewed once, by another shopper each."""
    return _kept("catalogue", lambda: (encode_event(event) for event in _catalogue()))


def shopper_ids() -> list[str]:
    """Of all shops."""
    ids = _kept(
        "shoppers", lambda: (name.encode() for n in range(SHOPS) for name in _shop(n).world.shopper_ids)
    )
    return [name.decode() for name in ids]


def read(values: Sequence[bytes]) -> list[Event]:
    """The events again.

    Raises:
        ValueError: Something is no event.
    """
    decoder = build_decoder(load())
    events: list[Event] = []
    for value in values:
        found = decoder.read(value, START_MS, "none")
        if isinstance(found, Refusal):
            raise ValueError(f"{value!r} is no event: {found}")
        events += found
    return events


def checkpoint(settings: Settings, events: int) -> Path:
    """A folder with the checkpoint of a worker that has learned the catalogue and the first events of the log.

    It learned by steps without slates: counts, histories, labels and vectors from all of it, the ranker from one choice
    in fifty. This is what there is before anything is measured, and it should not take many minutes. It is kept in
    `build/` for as long as neither the code nor the settings change.
    """
    folder = _FOLDER / f"taught-{_fingerprint(settings, events)}"
    if not folder.is_dir():
        for former in _FOLDER.glob("taught-*"):
            shutil.rmtree(former)
        learner = settings.learner.model_copy(update={"ranker_share": _RANKED})
        processor = build_processor(settings.model_copy(update={"learner": learner}))
        for values in (catalogue(), log_of(events)):
            for start in range(0, len(values), _BATCH):
                some = read(values[start : start + _BATCH])
                users = [event.user_id for event in some]
                processor.states.admit(
                    users, [partition_of(user, settings.topics.partitions) for user in users]
                )
                processor.pipeline.step(some, processor.states, START_MS, slates=False)
        _save(processor, folder.with_suffix(".part"), settings.topics.events)
        folder.with_suffix(".part").rename(folder)
    return folder


def begin_with(checkpoint: Path, state_dir: Path) -> None:
    """Let a worker with this state folder begin with what `checkpoint` gave."""
    # Files of a checkpoint are never changed, only replaced, so links will do.
    shutil.copytree(checkpoint / "checkpoints", state_dir / "checkpoints", copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


def _save(processor: Processor, folder: Path, topic: str) -> None:
    snapshot = processor.snapshot(whole=True)
    assert snapshot is not None
    CheckpointStore(folder / "checkpoints").write(
        snapshot.pieces,
        topic=topic,
        applied={},
        totals=processor.totals_dict(),
        summary=processor.sizes(),
        now_ms=START_MS,
    )


def _fingerprint(settings: Settings, events: int) -> str:
    """Of everything that the checkpoint depends on."""
    digest = hashlib.blake2b(digest_size=8)
    for package in ("connectors", "learners", "stream", "benchmarks/mall.py"):
        path = Path(__file__).parents[1] / package
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    digest.update(settings.model_dump_json(exclude={"state_dir", "cache_dir", "broker"}).encode())
    digest.update(str(events).encode())
    return digest.hexdigest()


def _kept(name: str, make: Callable[[], Iterator[bytes]]) -> list[bytes]:
    """Lines of a file in `build/`, made where it is missing."""
    file = _FOLDER / f"mall-{SHOPS}-{ITEMS_EACH}-{SHOPPERS_EACH}-{name}.txt"
    if not file.is_file():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        unfinished.write_bytes(b"\n".join(make()))
        unfinished.rename(file)
    return file.read_bytes().split(b"\n")


def _catalogue() -> Iterator[Event]:
    for shop in range(SHOPS):
        world = _shop(shop).world
        for n, (item, shopper) in enumerate(zip(world.item_ids, world.shopper_ids, strict=False)):
            number = shop * ITEMS_EACH + n
            yield Event(
                event_id=f"first-{number}",
                event_type="view",
                occurred_at_ms=START_MS - _EARLIER_MS + number * _BETWEEN_VIEWS_MS,
                user_id=shopper,
                item_id=item,
            )


def _shop(number: int) -> Simulation:
    config = SimulatorConfig(
        seed=number, shoppers=SHOPPERS_EACH, items=ITEMS_EACH, new_items=0.0, oracle_every=1_000_000_000
    )
    return Simulation(config, START_MS)


def _events() -> Iterator[Event]:
    """Of all shops, each one's in its order."""
    shops = [_shop(number) for number in range(SHOPS)]
    now_ms = START_MS
    while True:
        now_ms += _TICK_MS
        tick = [event for shop in shops for event in shop.advance(now_ms, _EACH)]
        yield from sorted(tick, key=lambda event: event.occurred_at_ms)
