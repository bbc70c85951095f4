"""Streams of labels for the comparison of task weightings: made ones whose truth is known, and event logs.

A stream is made once and learned many times: what the heads take in is kept as it was when the item was shown,
so what became known later (an answer to another task, say) is not in it.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from connectors.event import Event
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.world import World
from learners.event_batch import FloatArray, Outcomes
from learners.features import PAIR_FEATURES
from learners.label_rates import LabelRates, rates_width
from learners.learner_config import LearnerConfig
from learners.multitask import TaskLabels
from learners.online_learner import OnlineLearner
from learners.row_index import RowIndex
from learners.task import Task
from stream.attribution import Attribution, LabelRows, LabelSource, nothing_settled
from stream.batching import Arrivals, Batcher
from stream.settings import TaskSettings
from stream.user_states import UserStates

SCENARIOS = ("control", "label_noise", "base_rate_shift", "taste_rotation", "task_arrival", "item_churn")
_EVENTS_A_STEP = 64


@dataclass(frozen=True, slots=True)
class Stream:
    """Steps of labelled rows.

    Attributes:
        name: Of the stream.
        tasks: Axis K.
        rows: For each step (L, I) inputs.
        labels: For each step their labels, as they became known: a late one is a row of its own.
        answers: For each step (L, K) what the labels turned out to be in the end.
        counts: How many of a row's last numbers are counts, the label rates last; 0 where there are none.
        missing: Numbers of the steps of the whole stream that are not there, since they had no label.
    """

    name: str
    tasks: tuple[Task, ...]
    rows: list[torch.Tensor]
    labels: list[TaskLabels]
    answers: list[FloatArray]
    counts: int = 0
    missing: tuple[int, ...] = ()

    def after(self, share: float) -> int:
        """The first of its steps after a share of the whole stream."""
        begin = int(share * (len(self.rows) + len(self.missing)))
        return begin - sum(number < begin for number in self.missing)

    def only(self, task: int) -> Stream:
        """The stream of one task alone: its labels, and among the label rates its own."""
        rows, labels, answers, missing = [], [], [], []
        K, width = len(self.tasks), self.rows[0].shape[1]
        first = width - rates_width(K)
        own_rates = [first + task, first + K + task]
        seen = [*range(first), *own_rates, *own_rates, width - 2, width - 1]
        for number, (some, given, answer) in enumerate(
            zip(self.rows, self.labels, self.answers, strict=True)
        ):
            kept = np.flatnonzero(given.mask[:, task])
            if not len(kept):
                missing.append(number)
            else:
                own = some[torch.from_numpy(kept)]
                rows.append(own[:, seen] if self.counts else own)
                answers.append(answer[kept, task : task + 1])
                labels.append(
                    TaskLabels(
                        labels=given.labels[kept, task : task + 1],
                        mask=given.mask[kept, task : task + 1],
                        late=given.late[kept, task : task + 1],
                        position=given.position[kept],
                        group=given.group[kept],
                    )
                )
        counts = self.counts and self.counts - rates_width(K) + rates_width(1)
        return Stream(
            self.name, (replace(self.tasks[task], after=None),), rows, labels, answers, counts, tuple(missing)
        )

    def first(self, share: float) -> Stream:
        """The first steps."""
        steps = max(1, int(share * len(self.rows)))
        return Stream(
            self.name, self.tasks, self.rows[:steps], self.labels[:steps], self.answers[:steps], self.counts
        )


# --- made streams

_MADE = (
    # name, rate as a logit, and what counts: taste, quality, the item's age
    ("click", -2.0, (2.5, 0.8)),
    ("cart", -3.5, (2.0, 1.0)),
    ("complaint", -3.0, (1.0, -1.5)),  # the same items that are clicked, for the opposite reason
    ("share", -4.5, (-1.5, 1.5)),  # in conflict with clicks in taste, at a rare rate
)


def made(scenario: str, seed: int, rows: int) -> Stream:
    """Four tasks on the simulator's world, two of which want the opposite of what clicks want.

    Inputs are noisy views of taste and item, their products, and a noisy quality. The scenarios change
    something in the
    middle: a third of one task's labels become coin flips, two tasks become four times as rare and as
        frequent, every
    taste turns, a task's labels begin, or a third of the items are replaced.
    """
    rng = np.random.default_rng(seed)
    world = World(SimulatorConfig(seed=seed, shoppers=400, items=300), 0, rng)
    K, half = len(_MADE), rows // 2
    tasks = tuple(Task(name=name) for name, _, _ in _MADE)
    mixing = rng.standard_normal((world.config.dimension, world.config.dimension)) / 4.0
    stream = Stream(scenario, tasks, [], [], [])
    for start in range(0, rows, _EVENTS_A_STEP):
        after = start >= half
        if after and start - _EVENTS_A_STEP < half:
            if scenario == "taste_rotation":
                world.rotate()
            if scenario == "item_churn":
                for slot in rng.choice(300, 100, replace=False).tolist():
                    world.place_item(slot)
        B = _EVENTS_A_STEP
        taste, slot = world.tastes[rng.integers(400, size=B)], rng.integers(300, size=B)
        item, quality = world.item_vectors[slot], world.quality[slot]
        affinity = (taste * item).sum(axis=1)
        labels = np.zeros((B, K), np.float32)
        mask = np.ones((B, K), np.bool_)
        for k, (_, bias, (by_taste, by_quality)) in enumerate(_MADE):
            shift = {1: -1.4, 2: 1.4}.get(k, 0.0) if after and scenario == "base_rate_shift" else 0.0
            logit = bias + shift + 1.5 * by_taste * affinity + by_quality * quality
            labels[:, k] = rng.random(B) < 1.0 / (1.0 + np.exp(-logit))
        if after and scenario == "label_noise":
            noisy = rng.random(B) < 0.33
            labels[noisy, 2] = rng.random(int(noisy.sum())) < 0.5
        if not after and scenario == "task_arrival":
            mask[:, 3] = False
        seen_taste = taste + 0.1 * rng.standard_normal(taste.shape)
        inputs = np.concatenate(
            [
                seen_taste @ mixing * 4.0,
                item @ mixing * 4.0,
                seen_taste * item * 4.0,
                (quality + 0.5 * rng.standard_normal(B))[:, None],
            ],
            axis=1,
        )
        stream.rows.append(torch.from_numpy(inputs.astype(np.float32)))
        stream.answers.append(labels)
        stream.labels.append(
            TaskLabels(
                labels=labels,
                mask=mask,
                late=np.zeros_like(mask),
                position=np.full(B, -1),
                group=np.arange(B),
            )
        )
    return stream


# --- event logs


@dataclass(frozen=True, slots=True)
class _Log:
    """What of a log is learned: which event is a choice and opens a row, and which tasks it may be followed by."""

    chosen: str
    tasks: tuple[TaskSettings, ...]
    at_once: bool = False  # labels come with the choice itself, from its value


def _log(types: set[str]) -> _Log:
    if "view" in types:
        answers = tuple(
            TaskSettings(name=name, window_s=3_600, event_types=(name,))
            for name in ("like", "bookmark", "comment", "follow", "purchase", "add_to_cart")
            if name in types
        )
        return _Log("view", answers)
    return _Log(
        "rating",
        (
            TaskSettings(name="stars", kind="regression", event_types=("rating",), scale=5.0),
            TaskSettings(name="liked", event_types=("rating",)),
            TaskSettings(name="loved", event_types=("rating",)),
        ),
        at_once=True,
    )


_THRESHOLDS = (0.0, 4.0, 5.0)
"""Of the tasks on ratings: the value itself, 4 stars and more, 5 stars."""


def read_events(folder: Path) -> list[Event]:
    """The events of a log in their order."""
    with gzip.open(folder / "events.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [
            Event(
                event_id=str(number),
                event_type=row["event_type"],
                occurred_at_ms=int(row["timestamp"]) * 1_000,
                user_id=row["user_id"],
                item_id=row["item_id"],
                value=float(row["value"]) if row["event_type"] == "rating" else None,
            )
            for number, row in enumerate(csv.DictReader(file))
        ]


def logged(folder: Path, seed: int = 0, share: float = 1.0) -> Stream:
    """A log's labels with what was known of user and item when the item was chosen.

    Vectors and counts come from a learner that learns the choices and none of the labels, so that no task has
    shaped them.

    Args:
        folder: Holds `events.csv.gz` with timestamp, user_id, item_id, event_type and value.
        seed: Of the learner.
        share: How much of the log, from its beginning.
    """
    events = read_events(folder)
    events = events[: int(share * len(events))]
    log = _log({event.event_type for event in events})
    tasks = tuple(replace(task.task, value=1.0) for task in log.tasks)
    return _Replay(folder.name, log, tasks, seed).play(events)


class _Replay:
    """Plays a log through the pieces of the pipeline and keeps what the heads would take in."""

    def __init__(self, name: str, log: _Log, tasks: tuple[Task, ...], seed: int) -> None:
        types = sorted({log.chosen, *(kind for task in log.tasks for kind in task.event_types), "impression"})
        self._log, self._tasks = log, tasks
        self._batcher = Batcher(types, frozenset({log.chosen}))
        sources = {
            task.name: LabelSource(
                event_types=frozenset(self._batcher.number(kind) for kind in task.event_types),
                scale=task.scale,
            )
            for task in log.tasks
        }
        noticing = frozenset({self._batcher.number(log.chosen)})
        self._attribution = Attribution(tasks, sources, self._batcher.impression, noticing)
        self._learner = OnlineLearner(tasks, LearnerConfig(seed=seed, ranker_share=0.0))
        self._rates = LabelRates(len(tasks))
        self._inputs: dict[tuple[int, int, int], FloatArray] = {}
        # By row and task: the step in which its first label came, and its place there.
        self._told: dict[tuple[tuple[int, int, int], int], tuple[int, int]] = {}
        self.stream = Stream(name, tasks, [], [], [], PAIR_FEATURES + rates_width(len(tasks)))

    def play(self, events: list[Event]) -> Stream:
        states = UserStates(history_length=50, max_users=10**6, slate_size=1, max_pending=10**6)
        items = RowIndex(10**6)
        known = {self._log.chosen, *(kind for task in self._log.tasks for kind in task.event_types)}
        kept = [event for event in events if event.event_type in known]
        for some in _chunks(kept):
            arrivals = self._batcher.arrivals(some, states, items)
            labels = self._labels(some, arrivals, states)
            self._remember(arrivals, states)
            self._take(labels)
            batch = self._batcher.batch(arrivals, labels, states, len(self._tasks))
            silent = replace(batch, label_mask=np.zeros_like(batch.label_mask))
            self._learner.learn_many(silent, self._learner.predict_many(silent))
            states.apply(arrivals.columns)
            now_s = labels.moments_ms / 1000.0
            self._rates.learn_many(labels.users, labels.items, labels.labels, labels.mask, labels.late, now_s)
        return self.stream

    def _labels(self, some: list[Event], arrivals: Arrivals, states: UserStates) -> LabelRows:
        if not self._log.at_once:
            return self._attribution.observe(arrivals.columns, arrivals.position, arrivals.values, states)
        columns, K = arrivals.columns, len(self._tasks)
        values = np.nan_to_num(arrivals.values)
        labels = np.stack([values / 5.0, *(values >= least for least in _THRESHOLDS[1:])], axis=1)
        mask = np.ones((len(some), K), np.bool_)
        return LabelRows(
            users=columns.users,
            items=columns.items,
            as_of=columns.as_of,
            moments_ms=columns.times_ms,
            position=np.full(len(some), -1),
            labels=labels.astype(np.float32),
            mask=mask,
            late=np.zeros_like(mask),
            delay_s=np.zeros(len(some), np.float32),
            shown=np.zeros((len(some), 0), np.float32),
            outcomes=Outcomes(labels=mask[:0], known=mask[:0]),
            settled=nothing_settled(K),
        )

    def _remember(self, arrivals: Arrivals, states: UserStates) -> None:
        """What the heads would take in for every row that may have been opened by these events."""
        columns = arrivals.columns
        histories, sequence = self._batcher.moments(columns, states)
        self._learner.describe(histories, sequence, columns.items, arrivals.position)  # makes room
        users = self._learner._neural.user_vectors(histories)[sequence]
        neural = self._learner._neural.scores(users, columns.items[:, None])[:, 0]
        known = self._learner._pairs.describe(histories, sequence, columns.items, neural)
        known[:, PAIR_FEATURES:] = self._rates.describe(
            columns.users, columns.items, columns.times_ms / 1000.0, np.arange(len(columns.users))
        )
        pairs = self._learner._neural.pairs(users, columns.items, self._learner._pairs.scaled(known)).numpy()
        self._learner._pairs.learn_scale(known)
        for n, key in enumerate(_keys(columns.users, columns.items, columns.times_ms)):
            self._inputs.setdefault(key, pairs[n])

    def _take(self, labels: LabelRows) -> None:
        if not len(labels):
            return
        keys = _keys(labels.users, labels.items, labels.moments_ms)
        answers = self.stream.answers
        answers.append(labels.labels.copy())
        for row, task in np.argwhere(labels.mask).tolist():
            if not labels.late[row, task]:
                self._told[keys[row], task] = len(answers) - 1, row
            elif (former := self._told.get((keys[row], task))) is not None:
                step, first = former
                answers[step][first, task] = labels.labels[row, task]
        self.stream.rows.append(torch.from_numpy(np.stack([self._inputs[key] for key in keys])))
        self.stream.labels.append(
            TaskLabels(
                labels=labels.labels,
                mask=labels.mask,
                late=labels.late,
                position=labels.position,
                group=labels.moments_ms,
            )
        )


def _chunks(events: list[Event]) -> Iterator[list[Event]]:
    for start in range(0, len(events), _EVENTS_A_STEP):
        yield events[start : start + _EVENTS_A_STEP]


def _keys(
    users: NDArray[np.int64], items: NDArray[np.int64], moments_ms: NDArray[np.int64]
) -> list[tuple[int, int, int]]:
    return list(zip(users.tolist(), items.tolist(), moments_ms.tolist(), strict=True))
