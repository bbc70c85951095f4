"""Columns for tests of learners: by hand, or from a small shop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from builders import NOW_MS, event
from numpy.typing import NDArray

from connectors.event_types import STANDARD_TYPES
from learners.context_fields import NO_CONTEXT
from learners.counts.counts import Counts
from learners.event_batch import EventBatch, Histories
from learners.row_index import ABSENT, RowIndex
from learners.task import Task
from stream.attribution import Attribution, LabelSource
from stream.batching import Batcher
from stream.user_states import UserStates

START_S = NOW_MS / 1000.0
WALKED = 12
TASKS = (
    Task(name="click", window_s=60.0),
    Task(name="purchase", value=2.0, window_s=300.0),
    Task(name="rating", kind="regression", value=0.5, window_s=300.0),
)


def histories(
    items: Sequence[Sequence[int]],
    *,
    slots: int = 6,
    now_s: float = START_S,
    gap_s: float = 60.0,
    users: Sequence[int] | None = None,
) -> Histories:
    """Histories of item rows, oldest first, one every `gap_s` seconds until `gap_s` before the moment.

    Each is another user's unless `users` says whose they are.
    """
    rows = np.full((len(items), slots), ABSENT, np.int64)
    age_s = np.zeros((len(items), slots), np.float32)
    for n, given in enumerate(items):
        kept = list(given)[-slots:]
        for back, item in enumerate(reversed(kept)):
            rows[n, slots - 1 - back] = item
            age_s[n, slots - 1 - back] = gap_s * (back + 1)
    return Histories(
        users=np.arange(len(items)) if users is None else np.array(users, np.int64),
        item_rows=rows,
        types=np.where(rows == ABSENT, 0, 2),
        age_s=age_s,
        context=NO_CONTEXT.empty(*rows.shape),
        now_s=np.full(len(items), now_s),
        lengths=np.array([len(given) for given in items], np.int64),
    )


def counted(seed: int = 0, events: int = 60, leaders: int = 2) -> Counts:
    """Counts of four users' random walks over `WALKED` items in the hours before `START_S`, with room for 50."""
    rng = np.random.default_rng(seed)
    walk, users = rng.integers(0, WALKED, events), rng.integers(0, 4, events)
    at_s = START_S - 3_600.0 * 5 + np.sort(rng.uniform(0.0, 3_600.0 * 5, events))
    counts = Counts(max_pairs=1_000, leaders=leaders, neighbours=5)
    counts.ensure(50, 50)
    own: dict[int, list[int]] = defaultdict(list)
    for n in range(events):
        before = own[int(users[n])][-8:]
        history = np.full((1, 8), ABSENT, np.int64)
        history[0, 8 - len(before) :] = before
        counts.learn_many(users[n : n + 1], walk[n : n + 1], at_s[n : n + 1], history)
        own[int(users[n])].append(int(walk[n]))
    return counts


def choices(
    items: Sequence[Sequence[int]], chosen: Iterable[int], *, tasks: int = len(TASKS), **moments: Any
) -> EventBatch:
    """Rows that are choices: after these histories, these items. No labels."""
    chosen = np.array(list(chosen), np.int64)
    B = len(chosen)
    return EventBatch(
        histories=histories(items, **moments),
        sequence=np.arange(B),
        item_rows=chosen,
        position=np.full(B, -1),
        target=np.ones(B, np.bool_),
        labels=np.zeros((B, tasks), np.float32),
        label_mask=np.zeros((B, tasks), np.bool_),
    )


def take(batch: EventBatch, rows: NDArray[np.int64]) -> EventBatch:
    """Some of a batch's rows, in the order given, with histories of their own."""
    return EventBatch(
        histories=batch.histories.take(batch.sequence[rows]),
        sequence=np.arange(len(rows)),
        item_rows=batch.item_rows[rows],
        position=batch.position[rows],
        target=batch.target[rows],
        labels=batch.labels[rows],
        label_mask=batch.label_mask[rows],
    )


@cache
def shop(
    seed: int = 0, steps: int = 12, size: int = 24, items: int = 20
) -> list[tuple[EventBatch, Histories]]:
    """What a learner would be given by a small shop: batches, and the touched users' histories after each.

    Made by the real states, batcher and attribution, with impressions, clicks, purchases, ratings and dislikes.
    """
    rng = np.random.default_rng(seed)
    batcher = Batcher(STANDARD_TYPES, frozenset({"click", "purchase"}))
    sources = {
        task.name: LabelSource(event_types=frozenset({batcher.number(task.name)}), scale=5.0)
        for task in TASKS
    }
    attribution = Attribution(TASKS, sources, batcher.impression, frozenset({batcher.number("click")}))
    users, catalogue = (
        UserStates(history_length=8, max_users=100, slate_size=1, max_pending=500),
        RowIndex(100),
    )
    kinds = ["impression", "click", "purchase", "rating", "dislike"]
    at_ms, made = NOW_MS, []
    for _ in range(steps):
        events = []
        for _ in range(size):
            at_ms += int(rng.integers(1, 8_000))
            item = int(items * rng.random() ** 2)
            kind = str(rng.choice(kinds, p=[0.4, 0.35, 0.1, 0.1, 0.05]))
            events.append(
                event(
                    f"u{rng.integers(8)}",
                    f"i{item}",
                    kind,
                    occurred_at_ms=at_ms,
                    value=float(rng.integers(1, 6)) if kind == "rating" else None,
                    position=int(rng.integers(5)) if kind == "impression" else None,
                )
            )
        arrivals = batcher.arrivals(events, users, catalogue)
        labels = attribution.observe(arrivals.columns, arrivals.position, arrivals.values, users)
        batch = batcher.batch(arrivals, labels, users, len(TASKS))
        users.apply(arrivals.columns)
        touched = np.unique(arrivals.columns.users)
        moments = np.full(len(touched), at_ms)
        made.append((batch, users.histories(touched, users.remembered(touched), moments)))
    return made
