"""A worker without a broker that can be copied at any moment, so that one past has several futures."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

from connectors.event import Event
from learners.task_map import TaskMap
from stream.assembly import build_pipeline, build_states, build_statistics, build_trials
from stream.pipeline import Pipeline, Step
from stream.settings import Settings
from stream.statistics import Statistics
from stream.trials import DriftRecord, Trials
from stream.user_states import UserStates


@dataclass(slots=True)
class Worker:
    """Steps, statistics and reactions, as `Processor` puts them together.

    Attributes:
        settings: Of the worker; other futures may have others under `[monitoring]`.
        records: What it would have published on the drift topic.
    """

    settings: Settings
    pipeline: Pipeline
    states: UserStates
    statistics: Statistics
    trials: Trials
    records: list[DriftRecord] = field(default_factory=list)

    @classmethod
    def new(cls, settings: Settings) -> Worker:
        """One that has seen nothing."""
        pipeline = build_pipeline(settings)
        return cls(
            settings,
            pipeline,
            build_states(settings),
            build_statistics(settings),
            build_trials(settings, pipeline.learner),
        )

    def step(self, events: list[Event], now_ms: int, *, slates: bool) -> Step:
        """Apply events, look for drift, react."""
        step = self.pipeline.step(events, self.states, now_ms, slates=slates)
        noticed = self.statistics.count(step, now_ms)
        reacted = self.trials.follow(
            noticed.findings,
            step.lesson,
            events=self.statistics.events_seen,
            now_ms=now_ms,
            event_time_ms=self.statistics.event_time_ms,
        )
        self.records += [*noticed.findings, *reacted]
        return step

    def saved(self) -> bytes:
        """Everything, to live on from."""
        return pickle.dumps(
            (self.pipeline, self.states, self.statistics.state_dict(), self.trials.state_dict()),
            protocol=pickle.HIGHEST_PROTOCOL,
        )

    @classmethod
    def resumed(cls, saved: bytes, settings: Settings) -> Worker:
        """One that goes on from there."""
        pipeline, states, statistics, trials = pickle.loads(saved)
        worker = cls(
            settings,
            pipeline,
            states,
            build_statistics(settings),
            build_trials(settings, pipeline.learner),
        )
        worker.statistics.load_state_dict(statistics, _same(pipeline.learner.tasks))
        worker.trials.load_state_dict(trials)
        return worker


def _same(tasks: Any) -> TaskMap:
    return TaskMap.of({}, tasks)
