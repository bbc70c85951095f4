"""Logs for benchmarks: the part that says what users chose, and settings that know a log's own event types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.evaluation.log import EvaluationLog, read_log
from stream.settings import Settings, load

_CHOICES = ("view", "rating")


def read_choices(path: Path, limit: int | None = None) -> EvaluationLog:
    """A log's views, or its ratings where it has no views, or everything where it has neither.

    Raises:
        LogError: See `read_log`.
    """
    there = read_log([path]).types
    wanted = next((frozenset({kind}) for kind in _CHOICES if kind in there), None)
    return read_log([path], types=wanted, limit=limit)


def settings_for(log: EvaluationLog, **learner: Any) -> Settings:
    """The settings in force with the log's own event types declared, as choices, and these changes to the learner.

    Everything is learned, however many events a step has: nobody is behind here.
    """
    own: dict[str, dict[str, Any]] = {name: {} for name in log.types if name not in load().events.declared}
    return load(overrides={"events": {"types": own}, "learner": {"share_under_load": 1.0, **learner}})
