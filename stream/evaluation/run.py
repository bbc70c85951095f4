"""One run of the pipeline over the log: foresee the events of a moment, then learn them, moment by moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from connectors.event import Event
from learners.row_index import ABSENT
from learners.top_list import pessimistic_top
from stream.evaluation.protocol import Bools, Ints, Protocol
from stream.pipeline import Pipeline, Step
from stream.user_states import UserStates

LIST = 20
"""Places of the list that is examined."""

UNRANKED = -2
"""Rank of an event that the learner did not rank at all."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRows:
    """What the tasks foresaw and what came, in the order in which it was settled: L rows, K tasks.

    Attributes:
        scores: (L, K) foreseen at the impression.
        labels: (L, K) what came.
        mask: (L, K) which of them are settled.
        scored: (L,) whether it was settled after the warm-up.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.float32]
    mask: Bools
    scored: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run foresaw.

    Attributes:
        ranks: (M,) zero-based ranks of the protocol's scored events; -1 not retrieved, `UNRANKED`.
        was_candidate: (M,) whether the ranker compared the item: what was only retrieved stands behind.
        top: (M, 20) recommended item numbers, best first, -1 where a list was shorter.
        tasks: The tasks' rows.
        events: Events of the run.
        seconds: How long predicting and learning them took.
    """

    ranks: Ints
    was_candidate: Bools
    top: NDArray[np.int32]
    tasks: TaskRows
    events: int
    seconds: float

    @property
    def events_per_s(self) -> float:
        """Speed of predicting and learning, one moment after the other."""
        return self.events / max(self.seconds, 1e-9)


@dataclass(slots=True)
class _Gathered:
    """Task rows while they are gathered."""

    scores: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[NDArray[np.float32]] = field(default_factory=list)
    masks: list[Bools] = field(default_factory=list)
    scored: list[Bools] = field(default_factory=list)

    def add(self, step: Step, counts: bool) -> None:
        forecasts = step.forecasts
        if not np.isfinite(forecasts.foreseen).all():
            raise FloatingPointError("A task's forecast is not finite.")
        self.scores.append(forecasts.foreseen)
        self.labels.append(forecasts.came)
        self.masks.append(forecasts.mask)
        self.scored.append(np.full(len(forecasts), counts))

    def finish(self, tasks: int) -> TaskRows:
        empty = np.zeros((0, tasks), np.float32)
        return TaskRows(
            scores=np.concatenate([empty, *self.scores]),
            labels=np.concatenate([empty, *self.labels]),
            mask=np.concatenate([empty.astype(np.bool_), *self.masks]),
            scored=np.concatenate([np.zeros(0, np.bool_), *self.scored]),
        )


def run_pipeline(
    pipeline: Pipeline,
    states: UserStates,
    events: Sequence[Event],
    protocol: Protocol,
    *,
    exclude_seen: bool = False,
    before_moment: Callable[[int], None] | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Predict and learn every event once.

    A step holds the events of one moment, so all of them are foreseen before any of them is learned, and none
    is in the history of another.

    Args:
        pipeline: That has learned nothing yet.
        states: Empty.
        events: Those of the protocol.
        protocol: What counts.
        exclude_seen: Leave out of the lists what the user had had earlier.
        before_moment: Called with the number of each moment before its step.
        on_progress: Called with the number of events after each step.

    Raises:
        FloatingPointError: A score is not finite.
    """
    where = np.full(len(protocol), -1, np.int64)
    where[protocol.scored] = np.arange(len(protocol.scored))
    ranks = np.full(len(protocol.scored), UNRANKED, np.int64)
    was_candidate = np.zeros(len(protocol.scored), np.bool_)
    top = np.full((len(protocol.scored), LIST), ABSENT, np.int32)
    tasks = _Gathered()
    numbers = np.full(1_024, ABSENT, np.int64)  # from the pipeline's item rows to the protocol's numbers
    hidden = np.zeros(len(protocol.item_ids), np.bool_)
    moments = protocol.moments.tolist()
    item_numbers = protocol.items.tolist()
    started = time.perf_counter()
    for moment, (begin, end) in enumerate(pairwise(moments)):
        if before_moment is not None:
            before_moment(moment)
        step = pipeline.step(
            events[begin:end], states, events[begin].occurred_at_ms, slates=False, simultaneous=True
        )
        if pipeline.items.size > len(numbers):
            numbers = np.append(numbers, np.full(pipeline.items.size, ABSENT))
        for event in range(begin, end):
            numbers[pipeline.items.row(events[event].item_id)] = item_numbers[event]
        if len(step.forecasts):
            tasks.add(step, begin >= protocol.warm_up)
        places = where[begin + step.ranked_events]
        ranked = np.flatnonzero(places >= 0)
        if len(ranked):
            places = places[ranked]
            chosen = protocol.scored[places]
            rows, scores = step.candidates.take(ranked).with_rest(step.scores[ranked])
            candidates = np.where(rows == ABSENT, ABSENT, numbers[rows])
            if exclude_seen:
                for n, event in enumerate(chosen.tolist()):
                    seen = protocol.seen(event)
                    hidden[seen] = True
                    scores[n, hidden[candidates[n]]] = -np.inf
                    hidden[seen] = False
            was_candidate[places] = step.was_candidate[ranked]
            top[places], ranks[places] = pessimistic_top(candidates, scores, protocol.items[chosen], LIST)
        if on_progress is not None:
            on_progress(end)
    return Run(
        ranks=ranks,
        was_candidate=was_candidate,
        top=top,
        tasks=tasks.finish(len(pipeline.learner.tasks)),
        events=len(events),
        seconds=time.perf_counter() - started,
    )
