"""Our transport, application and engine, with a processor that stops early or a whole one; without checkpoints."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faust

from benchmarks.rungs.course import Course, OwnStopwatch
from benchmarks.rungs.truncated import Decoded, Nothing, Remembered
from connectors.publisher import KafkaPublisher
from connectors.topics import topic_shape
from stream.allocator import keep_temporaries, leave_alone
from stream.app import create_app
from stream.assembly import build_processor, checkpoint_store
from stream.engine import Engine, EngineConfig
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processed, Processor
from stream.settings import Settings, load
from stream.warm_up import warm_up
from stream.worker import restore

_TRUNCATED: Mapping[str, type[Nothing]] = {
    "our transport, nothing done": Nothing,
    "+ decode": Decoded,
    "+ state": Remembered,
}
_LEARNING: Mapping[str, dict[str, Any]] = {
    "+ predict and learn": {},
    "the same, all of it by gradients": {"share_under_load": 1.0},
}
_SESSION_S = 30.0


class _Nobody:
    """Takes results and publishes nothing."""

    async def __aenter__(self) -> _Nobody:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing to end."""

    async def send(self, *results: object) -> None:
        """Throw it away."""

    async def tell(self, update: Sequence[bytes]) -> None:
        """Throw it away."""


class _Observer(WorkerObserver):
    """What a worker's observer does where there is a model to watch; and it tells the stopwatch how far things are."""

    def __init__(self, processor: Processor, watch: OwnStopwatch, *, truncated: bool) -> None:
        super().__init__(worker_metrics(processor.pipeline.learner.tasks), processor)
        self._watch, self._truncated, self._slates = watch, truncated, 0

    def step(self, processed: Processed, processor: Processor) -> None:
        """See `stream.engine.Observer`."""
        if not self._truncated:
            super().step(processed, processor)
        self._slates += len(processed.recommendations)
        applied = processor.states.applied.values()
        self._watch.reach(sum(applied) + len(applied), self._slates)


def _processor(course: Course, settings: Settings) -> Processor:
    if course.rung in _TRUNCATED:
        return _TRUNCATED[course.rung].new(settings)
    warm_up(settings)
    processor = build_processor(settings)
    restore(processor, checkpoint_store(settings), settings.topics.events)
    if course.rung in _LEARNING:
        pipeline = processor.pipeline
        pipeline.step = functools.partial(pipeline.step, slates=False)  # type: ignore[method-assign]
    return processor


def _publisher(course: Course) -> Any:
    topics = course.topics
    if course.rung != "+ recommend and publish":
        return _Nobody()
    return KafkaPublisher(
        course.client,
        recommendations=topics["recommendations"],
        dead_letters=topics["dead_letters"],
        drift=topics["drift"],
        model=topics["model"],
    )


async def _from_the_beginning(
    committed: Mapping[int, int | None], _ends: Mapping[int, int]
) -> Mapping[int, int]:
    return dict.fromkeys(committed, 0)


def _app(course: Course) -> faust.App:
    keep_temporaries()
    settings = load(
        overrides={
            "state_dir": Path(course.state_dir),
            "topics": course.topics,
            "learner": _LEARNING.get(course.rung, {}),
        }
    )
    processor = _processor(course, settings)
    publisher = _publisher(course)
    leave_alone()
    engine = Engine(
        processor=processor,
        publisher=publisher,
        checkpoints=None,
        observer=_Observer(processor, OwnStopwatch(course), truncated=course.rung in _TRUNCATED),
        config=EngineConfig(
            topic=settings.topics.events,
            batch_max_events=settings.events_a_step,
            batch_max_age_ms=settings.worker.batch_max_age_ms,
        ),
    )
    app = create_app(
        course.client,
        engine,
        group=course.group,
        topic=settings.topics.events,
        shape=topic_shape(course.client, settings.topics.events),
        session_timeout_s=_SESSION_S,
        folder=Path(course.state_dir),
        take_over=_from_the_beginning,
    )

    async def work() -> None:
        async with publisher:
            await engine.run()

    app.task(work)
    return app


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(
        _app(Course.of(sys.argv)), loop=loop, quiet=True, override_logging=False, redirect_stdouts=False
    )
    worker.spinner = None  # it draws on the terminal
    worker.execute_from_commandline()
