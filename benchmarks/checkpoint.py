"""What a checkpoint costs with a million users: how long the stream waits, what is written, merged and restored."""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from connectors.event import Event, encode_event
from learners.state_arrays import Arrays, nest, pack_strings
from learners.state_changes import Taken
from stream.allocator import keep_temporaries
from stream.assembly import build_processor
from stream.checkpoints.store import CheckpointStore
from stream.engine import PORTION_BYTES, PORTION_GROWTH
from stream.processor import Processor, Snapshot
from stream.settings import Settings, load

_USERS, _USERS_QUICK = 1_000_000, 50_000
_ITEMS, _ITEMS_QUICK = 100_000, 10_000
_HISTORY = 20
_PAIRS_EACH = 3
_INTERVALS, _INTERVALS_QUICK = 9, 5
_DELTAS = 4  # fewer than by default, so that merges are among the intervals
_EVENTS = 5_000
_BATCH = 512
_WARM_UP = 3_000
_START_MS = 1_700_000_000_000
_TYPES = ("view", "impression", "add_to_cart", "purchase")
_MIX = (0.5, 0.3, 0.1, 0.1)


class _Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int


class _Stream:
    """Events of users drawn evenly; items are drawn evenly too, or the n-th as often as 1 / n."""

    def __init__(self, users: int, items: int, *, evenly: bool) -> None:
        self._rng = np.random.default_rng(0)
        self._users, self._offset = users, 0
        weights = np.ones(items) if evenly else 1.0 / np.arange(1, items + 1)
        self._ends = np.cumsum(weights / weights.sum())

    def items(self, count: int) -> np.ndarray[Any, Any]:
        """(count,) item numbers."""
        return np.minimum(np.searchsorted(self._ends, self._rng.random(count)), len(self._ends) - 1)

    def records(self, count: int) -> list[_Record]:
        """The next ones, ten milliseconds apart."""
        users = self._rng.integers(0, self._users, count).tolist()
        kinds = self._rng.choice(len(_TYPES), count, p=_MIX).tolist()
        found = []
        for user, item, kind in zip(users, self.items(count).tolist(), kinds, strict=True):
            at_ms = _START_MS + 10 * self._offset
            event = Event(
                event_id=f"e{self._offset}",
                event_type=_TYPES[kind],
                occurred_at_ms=at_ms,
                user_id=f"user-{user}",
                item_id=f"item-{item}",
            )
            found.append(_Record("events", 0, self._offset, None, encode_event(event), at_ms))
            self._offset += 1
        return found


def measure(quick: bool) -> list[dict[str, Any]]:
    """One row a way of writing: what the step's thread waits for, and what goes on beside it."""
    keep_temporaries()
    settings = load(overrides={"state": {"history_length": _HISTORY}})
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
    processor, stream = build_processor(settings), _Stream(users, items, evenly=evenly)
    _work(processor, stream, _WARM_UP)
    _fill(processor, stream, users, items)
    folder = Path(tempfile.mkdtemp(prefix="freshet-checkpoints-"))
    stalls, steps, writes, merges = [], [], [], []
    sizes: dict[str, list[int]] = {"full": [], "delta": []}
    counted = "delta" if deltas else "full"  # the first one is whole in any case
    try:
        store = CheckpointStore(folder, keep=2, longest_chain=deltas)
        with ThreadPoolExecutor(2) as beside:
            for _ in range((_INTERVALS_QUICK if quick else _INTERVALS) if deltas else 3):
                snapshot, stalled_ms = _copied(processor, stream, store.needs_whole, portion_bytes)
                writing = beside.submit(_write, store, processor, snapshot)
                del snapshot
                steps += _work(processor, stream, _EVENTS)  # while it is written, and merged
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


def _copied(
    processor: Processor, stream: _Stream, whole: bool, portion_bytes: float
) -> tuple[Snapshot, float]:
    """A snapshot, taken as the engine takes it, and the milliseconds of its longest portion."""
    longest_ms, portion = 0.0, portion_bytes
    while True:
        began = time.perf_counter()
        snapshot = processor.snapshot(whole=whole, most_bytes=portion)
        longest_ms = max(longest_ms, (time.perf_counter() - began) * 1e3)
        if snapshot is not None:
            return snapshot, longest_ms
        _work(processor, stream, _BATCH)
        portion *= PORTION_GROWTH


def _write(store: CheckpointStore, processor: Processor, snapshot: Snapshot) -> tuple[str, int, float, Taken]:
    """What kind it was, its bytes, the seconds it took, and what to tell the state of it."""
    began = time.perf_counter()
    manifest = store.write(
        snapshot.pieces,
        whole=snapshot.whole,
        topic="events",
        applied=dict(processor.states.applied),
        totals={},
        summary={},
        now_ms=_START_MS,
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


def _work(processor: Processor, stream: _Stream, events: int) -> list[float]:
    """Seconds of each step."""
    times = []
    for start in range(0, events, _BATCH):
        records = stream.records(min(_BATCH, events - start))
        times.append(_timed(lambda: processor.process(records, _START_MS)))  # noqa: B023
    return times


def _fill(processor: Processor, stream: _Stream, users: int, items: int) -> None:
    """Let the processor know so many users and items: what it has learned of a few, repeated."""
    pieces = processor.state_dicts()
    known_users, known_items = len(processor.states), len(processor.pipeline.items)
    columns = (
        "items",
        "types",
        "times_ms",
        "remembered",
        "events",
        "partition",
        "slate",
        "slate_id",
        "slate_at_ms",
    )
    of_users = pieces["users"]
    for name in columns:
        of_users[name] = _repeated(of_users[name], known_users, users)
    of_users["items"] = stream.items(users * _HISTORY).reshape(users, _HISTORY).astype(np.int32)
    of_users["times_ms"][:] = _START_MS
    of_users["remembered"][:] = _HISTORY
    of_users |= nest("index", _ids("user", users))
    learned = pieces["learner"]
    by_user = ("counts.companions.users.", "counts.habits", "pairs.users.")
    by_item = (
        *(f"counts.popularity.{name}" for name in ("weights", "first_s", "last_s", "first_n", "last_n")),
        *(f"counts.{name}." for name in ("transitions", "together", "expectations")),
        *(f"counts.companions.{name}" for name in ("choosers", "chosen")),
        *(f"neural.{name}." for name in ("inputs", "outputs")),
        *("pairs.items.", "filters.withdrawn", "filters.said_s", "neural.sampler.counts"),
        *(f"newcomers.{name}" for name in ("first_s", "shown")),
    )
    for name in learned:
        if name == "counts.expectations.ranked":
            continue
        if name.startswith(by_user):
            learned[name] = _repeated(learned[name], known_users, users)
        elif name.startswith(by_item):
            learned[name] = _repeated(learned[name], known_items, items)
    learned["counts.popularity.known_rows"] = learned["neural.sampler.known"] = np.arange(items)
    pairs = users * _PAIRS_EACH
    keys = (np.arange(pairs) // _PAIRS_EACH << 32) | (np.arange(pairs) % _PAIRS_EACH)
    learned |= {
        "counts.own.pairs.keys": keys,
        "counts.own.pairs.counts": np.ones(pairs, np.float32),
        "counts.own.pairs.last_s": np.full(pairs, _START_MS / 1e3),
    }
    processor.load(
        {"users": of_users, "items": _ids("item", items), "learner": learned}, processor.totals_dict()
    )


def _ids(name: str, count: int) -> Arrays:
    return {
        **nest("ids", pack_strings([f"{name}-{n}" for n in range(count)])),
        "free": np.zeros(0, np.int64),
        "touched": np.zeros(count, np.int64),
        "scalars": np.array([1, 0]),
    }


def _repeated(rows: np.ndarray[Any, Any], known: int, count: int) -> np.ndarray[Any, Any]:
    """(count, ...) the first `known` rows again and again."""
    filled = rows[: max(min(known, len(rows)), 1)]
    return np.resize(filled, (count, *rows.shape[1:]))
