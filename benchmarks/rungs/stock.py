"""Faust as it comes: an agent that does nothing with the bytes of each event, which nobody decodes."""

from __future__ import annotations

import sys
from typing import Any

import faust

from benchmarks.rungs.course import Course, OwnStopwatch


def _app(course: Course) -> faust.App:
    app = faust.App(
        course.group,
        broker=f"kafka://{course.bootstrap}",
        store="memory://",
        datadir=f"{course.state_dir}/faust",
        web_enabled=False,
        worker_redirect_stdouts=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    topic = app.topic(course.topics["events"], value_type=bytes, value_serializer="raw")
    watch = OwnStopwatch(course)

    @app.agent(topic)
    async def nothing(events: Any) -> None:
        read = 0
        async for _ in events:
            read += 1
            watch.reach(read)

    return app


if __name__ == "__main__":
    course = Course.of(sys.argv)
    worker = faust.Worker(_app(course), quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None  # it draws on the terminal
    worker.execute_from_commandline()
