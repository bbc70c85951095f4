"""One size of `scale`: a process of its own that knows so many users and items, and what it takes there."""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoint import copied, work, write
from benchmarks.filled import HISTORY, START_MS, Stream, fill
from stream.allocator import keep_temporaries, leave_alone
from stream.assembly import build_processor
from stream.checkpoints.store import CheckpointStore
from stream.engine import PORTION_BYTES
from stream.processor import Processor
from stream.settings import Settings, load

_WARM_UP = 20_000
_BATCH = 512
_PLACES = 20
_AT_ONCE = 64
_CHANGED = 5_000
_LATER_MS = START_MS + 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What to measure.

    Attributes:
        users: How many are known.
        items: How many are known.
        steps: Steps of 512 events that are measured.
        slates: Slates that are measured, one by one and again 64 at a time.
        topic: Of the checkpoint.
        folder: State folder, where a checkpoint is left.
    """

    users: int
    items: int
    steps: int
    slates: int
    topic: str
    folder: str

    def arguments(self) -> list[str]:
        """For the command line."""
        return [json.dumps(asdict(self))]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Size:
        """The inverse of `arguments`."""
        return cls(**json.loads(arguments[-1]))


def settings_of(size: Size) -> Settings:
    """Of the process and of the worker that begins with its checkpoint."""
    return load(overrides={"state": {"history_length": HISTORY}, "topics": {"events": size.topic}})


def _measure(size: Size) -> dict[str, Any]:
    keep_temporaries()
    processor = build_processor(settings_of(size))
    stream = Stream(size.users, size.items, evenly=False)
    work(processor, stream, _WARM_UP)
    fill(processor, stream, size.users, size.items)
    leave_alone()
    _slates(processor, _AT_ONCE, _AT_ONCE)  # what grows with the first one
    work(processor, stream, 2 * _BATCH)
    single, together = _slates(processor, 1, size.slates), _slates(processor, _AT_ONCE, size.slates)
    events = [seconds / _BATCH * 1e6 for seconds in _learned(processor, stream, size.steps * _BATCH)]
    return {
        "slate_us_of_1": statistics.median(single),
        "slate_us_of_1_p99": float(np.percentile(single, 99, method="higher")),
        f"slate_us_of_{_AT_ONCE}": statistics.median(together),
        "event_us": statistics.median(events),
        **_checkpoint(processor, stream, Path(size.folder), size.topic),
    }


def _learned(processor: Processor, stream: Stream, events: int) -> list[float]:
    """Seconds of each step, without slates."""
    pipeline = processor.pipeline
    whole = pipeline.step
    pipeline.step = functools.partial(whole, slates=False)  # type: ignore[method-assign]
    try:
        return work(processor, stream, events)
    finally:
        pipeline.step = whole  # type: ignore[method-assign]


def _slates(processor: Processor, users: int, slates: int) -> list[float]:
    """Microseconds a slate of each call for so many users, who are drawn evenly."""
    rng, states = np.random.default_rng(0), processor.states
    times = []
    for _ in range(max(slates // users, 1)):
        some = np.sort(rng.choice(len(states), users, replace=False))
        began = time.perf_counter()
        histories = states.histories(some, states.remembered(some), np.full(users, _LATER_MS))
        processor.pipeline.learner.recommend(histories, _PLACES)
        times.append((time.perf_counter() - began) / users * 1e6)
    return times


def _checkpoint(processor: Processor, stream: Stream, folder: Path, topic: str) -> dict[str, float]:
    """Of one that holds everything, and of the next one, which holds what 5,000 events have changed."""
    store = CheckpointStore(folder / "checkpoints")
    snapshot, whole_stall_ms = copied(processor, stream, True, PORTION_BYTES)
    _, whole_bytes, whole_s, taken = write(store, processor, snapshot, topic)
    taken.saved()
    del snapshot
    work(processor, stream, _CHANGED)
    snapshot, stall_ms = copied(processor, stream, False, PORTION_BYTES)
    _, changed_bytes, changed_s, _ = write(store, processor, snapshot, topic)
    return {
        "stall_ms": stall_ms,
        "changed_mb": changed_bytes / 1e6,
        "changed_s": changed_s,
        "whole_stall_ms": whole_stall_ms,
        "whole_mb": whole_bytes / 1e6,
        "whole_s": whole_s,
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Size.of(sys.argv))))
