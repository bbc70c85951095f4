"""A worker as `freshet worker` starts it, with everything that it does beside the stream, checkpoints too."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import psutil

from benchmarks.rungs.course import Course, Mark, Stopwatch
from stream.worker_process import WorkerProcess

_EVERY_S = 0.1


def environment(course: Course) -> dict[str, str]:
    """What tells a worker where to read and write."""
    return {
        "FRESHET_BROKER": course.bootstrap,
        "FRESHET_WORKER__GROUP": course.group,
        **{f"FRESHET_TOPICS__{name.upper()}": str(value) for name, value in course.topics.items()},
    }


async def mark_of(worker: WorkerProcess) -> Mark | None:
    """How far a worker is; None where it does not say."""
    status = await worker.ask("/status")
    if status is None:
        return None
    times = psutil.Process(worker.pid).cpu_times()
    applied = status["applied"].values()
    return Mark(
        sum(applied) + len(applied), time.perf_counter(), times.user + times.system, status["recommendations"]
    )


async def _measure(course: Course) -> None:
    watch = Stopwatch(course.warm_up, course.events)
    async with WorkerProcess(Path(course.state_dir), environment(course)) as worker:
        await worker.wait_until_ready()
        while True:
            worker.check()
            mark = await mark_of(worker)
            if mark is not None and watch.see(mark):
                break
            await asyncio.sleep(_EVERY_S)
    print(json.dumps(watch.result()), flush=True)


if __name__ == "__main__":
    asyncio.run(_measure(Course.of(sys.argv)))
