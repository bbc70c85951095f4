"""What came of one fault's trials."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

_SHOWN = 3


class Tally:
    """Counts trials, and tells of each on standard error as it ends.

    Args:
        fault: What is done, in words.
        required: What has to be so.
        times: Trials that are meant to be made.
        limit_s: Above so many seconds a trial has failed; None where time does not matter.
    """

    def __init__(self, fault: str, required: str, times: int, limit_s: float | None = None) -> None:
        self._fault, self._required, self._times, self._limit_s = fault, required, times, limit_s
        self._began = time.monotonic()
        self._seconds: list[float] = []
        self._well = 0
        self._wrong: list[str] = []
        self.notes: list[str] = []
        """What else was seen."""

    def trial(self, wrong: Sequence[str], seconds: float, said: str) -> None:
        """One has ended.

        Args:
            wrong: What went wrong, nothing if it went well.
            seconds: What is measured of it.
            said: What was done, for whoever watches.
        """
        number = len(self._seconds) + 1
        wrong = list(wrong)
        if self._limit_s is not None and seconds > self._limit_s:
            wrong.append(f"{seconds:.1f} s")
        self._seconds.append(seconds)
        self._well += not wrong
        self.say(f"{number} of {self._times}, {said}: {seconds:.1f} s, {_short(wrong) or 'well'}")
        if wrong:
            self._wrong.append(f"trial {number} ({said}): {_short(wrong)}")

    def end(self, wrong: Sequence[str]) -> None:
        """What went wrong and belongs to no trial."""
        if wrong:
            self._wrong.append(_short(wrong))
            self.say(_short(wrong))

    def say(self, what: str) -> None:
        """Tell whoever watches."""
        click.echo(f"[{time.monotonic() - self._began:6.0f} s] {self._fault}: {what}", err=True)

    def row(self) -> dict[str, Any]:
        """Of the table."""
        missing = self._times - len(self._seconds)
        wrong = [*self._wrong, *([f"{missing} trials were not made"] if missing else [])]
        return {
            "fault": self._fault,
            "times": self._times,
            "went_well": self._well,
            "required": self._required,
            "worst_s": max(self._seconds, default=0.0),
            "seen": "; ".join(self.notes),
            "went_wrong": "; ".join(wrong),
        }


def _short(found: Sequence[str]) -> str:
    more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more
