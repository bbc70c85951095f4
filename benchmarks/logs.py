"""The part of a log that says what users chose."""

from __future__ import annotations

from pathlib import Path

from stream.evaluation.log import EvaluationLog, read_log

_CHOICES = ("view", "rating")


def read_choices(path: Path, limit: int | None = None) -> EvaluationLog:
    """A log's views, or its ratings where it has no views, or everything where it has neither.

    Raises:
        LogError: See `read_log`.
    """
    there = read_log([path]).types
    wanted = next((frozenset({kind}) for kind in _CHOICES if kind in there), None)
    return read_log([path], types=wanted, limit=limit)
