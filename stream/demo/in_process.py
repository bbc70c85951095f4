"""The demonstration without a broker: the same processor in this process, fed from memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from connectors.event import Event, encode_event
from stream.allocator import keep_temporaries
from stream.assembly import build_processor
from stream.demo.scenario import Scenario, wall_ms
from stream.demo.summary import DemoSummary, summarise
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processor
from stream.settings import Settings
from stream.user_view import user_view
from stream.warm_up import warm_up

_TICK_S = 0.02
_LOOK_EVERY_S = 0.5
_MOST_AT_ONCE_S = 1.0


class _Record(NamedTuple):
    """A record as a broker would have it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


async def play_in_process(
    stage: Callable[[], Scenario],
    settings: Settings,
    *,
    rate: float,
    duration_s: float,
    stop: asyncio.Event,
    on_summary: Callable[[DemoSummary], None],
) -> DemoSummary:
    """Play what `stage` makes through decoder and pipeline; freshness is from an event's making to its slate."""
    loop = _Loop(stage, settings)
    started = last = looked = time.monotonic()
    wanted = 0.0
    while not stop.is_set() and not loop.exhausted and (now := time.monotonic()) - started < duration_s:
        wanted += rate * min(now - last, _MOST_AT_ONCE_S)
        last = now
        due = min(int(wanted), settings.worker.batch_max_events)
        wanted -= due
        loop.turn(due)
        if now - looked >= _LOOK_EVERY_S:
            looked = now
            on_summary(loop.summary(now - started))
        await asyncio.sleep(max(0.0, now + _TICK_S - time.monotonic()))
    summary = loop.summary(time.monotonic() - started)
    on_summary(summary)
    return summary


class _Loop:
    """Scenario, processor and observer in one thread."""

    def __init__(self, stage: Callable[[], Scenario], settings: Settings) -> None:
        keep_temporaries()
        warm_up(settings)
        self._topic = settings.topics.events
        self._processor: Processor = build_processor(settings)
        self._observer = WorkerObserver(
            worker_metrics(self._processor.pipeline.learner.tasks), self._processor
        )
        self._scenario = scenario = stage()
        self._log = iter(scenario.log) if scenario.log is not None else None
        self._produced = 0
        self._latest_user: str | None = None
        self.exhausted = False

    def turn(self, due: int) -> None:
        """The next events, through the pipeline, and their slates back."""
        events = self._next(due)
        if not events:
            return
        made_ms = time.time() * 1000.0
        records = [
            _Record(self._topic, 0, self._produced + n, event.user_id.encode(), encode_event(event))
            for n, event in enumerate(events)
        ]
        self._produced += len(events)
        self._latest_user = events[-1].user_id
        processed = self._processor.process(records, wall_ms())
        self._observer.step(processed, self._processor)
        if self._scenario.simulation is not None:
            for slate in processed.recommendations:
                self._scenario.simulation.receive(slate)
        self._observer.published([made_ms] * len(processed.recommendations), time.time() * 1000.0)

    def summary(self, seconds: float) -> DemoSummary:
        """The summary of this moment."""
        return summarise(
            broker="in-process",
            source=self._scenario.name,
            seconds=seconds,
            events_produced=self._produced,
            status={
                **self._processor.totals_dict(),
                "users": len(self._processor.states),
                "items": len(self._processor.pipeline.items),
                "quality": self._observer.summary(),
            },
            report=self._scenario.report(),
            sample=self._scenario.sample(self._user()),
            places={},
        )

    def _next(self, due: int) -> Sequence[Event]:
        scenario = self._scenario
        if scenario.simulation is not None and scenario.clock is not None:
            return scenario.simulation.advance(scenario.clock.now_ms(), due)
        assert self._log is not None
        events = list(islice(self._log, due))
        self.exhausted = due > 0 and not events
        return events

    def _user(self) -> dict[str, Any] | None:
        if self._latest_user is None:
            return None
        pipeline = self._processor.pipeline
        return user_view(
            self._processor.states, pipeline.items, pipeline.batcher.event_types, self._latest_user
        )
