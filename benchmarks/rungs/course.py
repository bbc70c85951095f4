"""What a rung's process is told, and how it tells what it took."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.message import Message
from benchmarks.rungs.profiler import Profiler


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Message):
    """What to read and how far.

    Attributes:
        rung: Its name.
        topics: Names of the five topics, by their settings' names.
        group: A consumer group that nobody has used.
        state_dir: With the checkpoint to begin from.
        warm_up: Records that are read before anything is measured.
        events: Records that are measured.
        flames: Files to write a profile of what is measured to, see `Profiler`.
    """

    rung: str
    topics: dict[str, str]
    group: str
    state_dir: str
    warm_up: int
    events: int
    flames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a process was at one moment.

    Attributes:
        events: Records so far.
        wall_s: A clock that never goes back.
        cpu_s: Processor time of the process, all threads.
        slates: Recommendations so far.
    """

    events: int
    wall_s: float
    cpu_s: float
    slates: int = 0


class Stopwatch:
    """Measures from the first mark after the warm-up to the first one after the end.

    Args:
        warm_up: Records before the first mark.
        events: Records from there to the last one, at least.
    """

    def __init__(self, warm_up: int, events: int) -> None:
        self._warm_up, self._events = warm_up, events
        self.first: Mark | None = None
        self.last: Mark | None = None

    def see(self, mark: Mark) -> bool:
        """Take note of a mark; returns whether there is nothing more to measure."""
        if self.first is None:
            if mark.events >= self._warm_up:
                self.first = mark
        elif self.last is None and mark.events >= self.first.events + self._events:
            self.last = mark
        return self.last is not None

    def result(self) -> dict[str, Any]:
        """What lies between the two marks.

        Raises:
            RuntimeError: There are none yet.
        """
        if self.first is None or self.last is None:
            raise RuntimeError("nothing was measured")
        return {
            "events": self.last.events - self.first.events,
            "wall_s": self.last.wall_s - self.first.wall_s,
            "cpu_s": self.last.cpu_s - self.first.cpu_s,
            "slates": self.last.slates - self.first.slates,
        }


class OwnStopwatch(Stopwatch):
    """Of the process it is in, which it ends when everything is measured."""

    def __init__(self, course: Course) -> None:
        super().__init__(course.warm_up, course.events)
        self._flames = course.flames
        self._next = course.warm_up
        self._profilers: list[Profiler] = []

    def reach(self, events: int, slates: int = 0) -> None:
        """So many records were read by now, and so many slates made."""
        if events < self._next:
            return
        self.see(Mark(events, time.perf_counter(), time.process_time(), slates))
        self._next = events + self._events
        if self.last is not None:
            self._tell()
        self._profilers = [Profiler(os.getpid(), Path(file)) for file in self._flames]

    def _tell(self) -> NoReturn:
        """Print the result and end at once: how a framework stops is not measured."""
        for profiler in self._profilers:
            profiler.stop()
        print(json.dumps(self.result()), flush=True)
        os._exit(0)
