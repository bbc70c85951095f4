"""What a checkpoint costs with a million users: how long the stream waits, what is written, merged and restored."""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.filled import HISTORY, START_MS, Stream, fill
from learners.state_changes import Taken
from stream.allocator import keep_temporaries
from stream.assembly import build_processor
from stream.checkpoints.store import CheckpointStore
from stream.engine import PORTION_BYTES
from stream.processor import Processor, Snapshot
from stream.settings import Settings, load

_USERS, _USERS_QUICK = 1_000_000, 50_000
_ITEMS, _ITEMS_QUICK = 100_000, 10_000
_INTERVALS, _INTERVALS_QUICK = 9, 5
_DELTAS = 4  # fewer than by default, so that merges are among the intervals
_EVENTS = 5_000
_BATCH = 512
_WARM_UP = 3_000


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a way of writing: what the step's thread waits for, and what goes on beside it."""
    keep_temporaries()
    settings = load(overrides={"state": {"history_length": HISTORY}})
    users, items = (_USERS_QUICK, _ITEMS_QUICK) if quick else (_USERS, _ITEMS)
    ways = (
        ("whole copies, at once", 0, math.inf, False),
        ("whole copies, in portions", 0, PORTION_BYTES, False),
        ("what changed", _DELTAS, PORTION_BYTES, False),
        ("what changed, items drawn evenly", _DELTAS, PORTION_BYTES, True),
    )
    return [
        {
            "what": what,
            "users": users,
            "items": items,
            **_measured(settings, users, items, deltas, portion_bytes, evenly, quick),
        }
        for what, deltas, portion_bytes, evenly in ways
    ]


def _measured(
    settings: Settings,
    users: int,
    items: int,
    deltas: int,
    portion_bytes: float,
    evenly: bool,
    quick: bool,
) -> dict[str, Any]:
    processor, stream = build_processor(settings), Stream(users, items, evenly=evenly)
    work(processor, stream, _WARM_UP)
    fill(processor, stream, users, items)
    folder = Path(tempfile.mkdtemp(prefix="freshet-checkpoints-"))
    stalls, steps, writes = [], [], []
    merges: list[Future[float]] = []
    sizes: dict[str, list[int]] = {"full": [], "delta": []}
    counted = "delta" if deltas else "full"  # the first one is whole in any case
    try:
        store = CheckpointStore(folder, keep=2, longest_chain=deltas)
        with ThreadPoolExecutor(2) as beside:
            for _ in range((_INTERVALS_QUICK if quick else _INTERVALS) if deltas else 3):
                snapshot, stalled_ms = copied(processor, stream, store.needs_whole, portion_bytes)
                writing = beside.submit(write, store, processor, snapshot)
                del snapshot
                steps += work(processor, stream, _EVENTS)  # while it is written, and merged
                kind, size, wrote_s, taken = writing.result()
                taken.saved()
                sizes[kind].append(size)
                if kind == counted:
                    stalls.append(stalled_ms)
                    writes.append(wrote_s)
                if store.merge_due and all(merge.done() for merge in merges):
                    merges.append(beside.submit(_timed, store.merge))
        restored = build_processor(settings)
        restore_s = _timed(lambda: _restore(restored, folder))
    finally:
        shutil.rmtree(folder)
    return {
        "stall_ms": statistics.median(stalls),
        "worst_stall_ms": max(stalls),
        "mb": statistics.median(sizes[counted]) / 1e6,
        "whole_mb": max(sizes["full"]) / 1e6,
        "write_s": statistics.median(writes),
        "merge_s": max((merge.result() for merge in merges), default=0.0),
        "restore_s": restore_s,
        "step_ms": statistics.median(steps) * 1e3,
        "worst_step_ms": max(steps) * 1e3,
    }


def copied(processor: Processor, stream: Stream, whole: bool, portion_bytes: float) -> tuple[Snapshot, float]:
    """A snapshot, taken as the engine takes it, and the milliseconds of its longest portion."""
    longest_ms = 0.0
    while True:
        began = time.perf_counter()
        snapshot = processor.snapshot(whole=whole, most_bytes=portion_bytes)
        longest_ms = max(longest_ms, (time.perf_counter() - began) * 1e3)
        if snapshot is not None:
            return snapshot, longest_ms
        work(processor, stream, _BATCH)


def write(
    store: CheckpointStore, processor: Processor, snapshot: Snapshot, topic: str = "events"
) -> tuple[str, int, float, Taken]:
    """What kind it was, its bytes, the seconds it took, and what to tell the state of it."""
    began = time.perf_counter()
    manifest = store.write(
        snapshot.pieces,
        whole=snapshot.whole,
        topic=topic,
        applied=dict(processor.states.applied),
        totals={},
        summary={},
        now_ms=START_MS,
    )
    return manifest.kind, manifest.bytes, time.perf_counter() - began, snapshot.taken


def _restore(processor: Processor, folder: Path) -> None:
    found = CheckpointStore(folder).latest()
    assert found is not None
    processor.load(found.pieces, {})


def _timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def work(processor: Processor, stream: Stream, events: int) -> list[float]:
    """Seconds of each step."""
    times = []
    for start in range(0, events, _BATCH):
        records = stream.records(min(_BATCH, events - start))
        times.append(_timed(lambda: processor.process(records, START_MS)))  # noqa: B023
    return times
