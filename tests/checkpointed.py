"""A small shop on a real processor, and its checkpoints: what they hold, written and read again. Imports torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from builders import NOW_MS, event, records
from numpy.typing import NDArray

from connectors.event import Event
from stream.assembly import build_processor
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor
from stream.settings import load

Pieces = dict[str, dict[str, NDArray[Any]]]

SETTINGS: dict[str, Any] = {
    "events": {"context": ["device", "country"]},
    "state": {"history_length": 4, "max_users": 30, "max_items": 40, "max_pending": 60, "max_owned": 20},
    "learner": {"dimension": 8, "negatives": 8, "ranker_memory": 16, "neighbours": 4, "encoder_length": 4},
    "recommend": {"slate_size": 4, "candidates": 20, "owned_types": ["purchase"]},
}
KINDS = ("view", "impression", "purchase", "rating", "item_unavailable", "item_available", "like")


def built(**sections: Any) -> Processor:
    return build_processor(load(overrides={**SETTINGS, **sections}))


class Shop:
    """Events of more users and items than are remembered, of two partitions."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.offsets = [0, 0]

    def step(self, processor: Processor) -> None:
        rng, partition = self.rng, int(self.rng.integers(0, 2))
        count = int(rng.integers(1, 9))
        events = [self._event(partition, self.offsets[partition] + n) for n in range(count)]
        some = records(events, partition=partition, first=self.offsets[partition])
        self.offsets[partition] += count
        processor.process(some, NOW_MS + 10**9)

    def _event(self, partition: int, number: int) -> Event:
        rng = self.rng
        return event(
            f"user {2 * rng.integers(0, 40) + partition}",
            f"item {rng.integers(0, 60)}",
            KINDS[int(rng.choice(len(KINDS), p=(0.35, 0.25, 0.2, 0.05, 0.05, 0.05, 0.05)))],
            event_id=f"{partition}-{number}",
            occurred_at_ms=NOW_MS + 20_000 * number,
            value=float(rng.integers(1, 6)),
            position=int(rng.integers(0, 4)) if rng.random() < 0.3 else None,
            context={"device": f"d{rng.integers(0, 5)}", "country": int(rng.integers(0, 9))},
        )


def write(processor: Processor, store: CheckpointStore, shop: Shop | None = None) -> None:
    """Write a checkpoint; with a shop in portions, between which the shop goes on."""
    most_bytes = 20_000.0 if shop is not None else math.inf
    whole = store.needs_whole
    while (snapshot := processor.snapshot(whole=whole, most_bytes=most_bytes)) is None:
        assert shop is not None
        shop.step(processor)
        most_bytes *= 1.5
    store.write(
        snapshot.pieces,
        whole=snapshot.whole,
        topic="events",
        applied=processor.states.applied,
        totals=processor.totals_dict(),
        summary={},
        now_ms=NOW_MS,
    )
    snapshot.taken.saved()


def deltas_are_right(folder: Path, store: CheckpointStore, shop: Shop, processor: Processor) -> None:
    """What is written after each of three more steps is a delta, and a new store reads the live state from it."""
    for _ in range(3):
        shop.step(processor)
        write(processor, store)
        again = CheckpointStore(folder).latest()
        assert again is not None
        assert again.manifest.kind == "delta"
        assert different(again.pieces, processor.state_dicts()) == []


def different(one: Pieces, other: Pieces) -> list[str]:
    """What is not the same, bit for bit."""
    first, second = (
        {f"{piece}: {name}": array for piece, arrays in pieces.items() for name, array in arrays.items()}
        for pieces in (one, other)
    )
    return sorted(
        name
        for name in first.keys() | second.keys()
        if name not in first
        or name not in second
        or first[name].dtype != second[name].dtype
        or first[name].shape != second[name].shape
        or first[name].tobytes() != second[name].tobytes()
    )


def restored(store: CheckpointStore, **sections: Any) -> Processor:
    found = store.latest()
    assert found is not None
    processor = built(**sections)
    processor.load(found.pieces, found.manifest.totals)
    store.resume(found)
    return processor
