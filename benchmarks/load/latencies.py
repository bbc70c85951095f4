"""From events that were due and slates that were read to how long each event waited for its slate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


@dataclass(frozen=True, slots=True)
class Answers:
    """Of N events.

    Attributes:
        read_s: (N,) when the first slate that knows of the event could be read; NaN where none came.
        made_s: (N,) when its step began.
        own: (N,) whether that slate names the event as its trigger; others were answered with a later event of
            their user, in the same step.
    """

    read_s: Floats
    made_s: Floats
    own: NDArray[np.bool_]


def match(users: Ints, triggers: Ints, read_s: Floats, made_s: Floats) -> Answers:
    """Find each event's slate: its user's first one whose trigger is this event or a later one.

    Args:
        users: (N,) whose the events are; events are numbered in the order in which they were due.
        triggers: (M,) number of the event that each slate names, in any order; a slate may come twice.
        read_s: (M,) when it could be read.
        made_s: (M,) when its step began.
    """
    N = len(users)
    keys = users[triggers] * N + triggers
    order = np.lexsort((read_s, keys))
    keys = keys[order]
    place = np.searchsorted(keys, users * N + np.arange(N))
    there = place < len(keys)
    place = np.where(there, place, 0)
    found = triggers[order][place] if len(keys) else np.zeros(N, np.int64)
    answered = there & (users[found] == users)
    read, made = (
        np.where(answered, values[order][place] if len(keys) else np.nan, np.nan)
        for values in (read_s, made_s)
    )
    return Answers(read, made, answered & (found == np.arange(N)))


def quantiles(seconds: Floats) -> dict[str, float]:
    """Percentiles in milliseconds; what never came is infinitely late."""
    late = np.where(np.isnan(seconds), np.inf, seconds) * 1e3
    return {
        f"{name}_ms": float(np.percentile(late, q, method="higher")) if len(late) else float("nan")
        for name, q in QUANTILES.items()
    }


def summary(users: Ints, due_s: Floats, answers: Answers) -> dict[str, Any]:
    """Latencies of all events, and of their two parts: until their step began, and from there on."""
    before, after = quantiles(answers.made_s - due_s), quantiles(answers.read_s - answers.made_s)
    return {
        "events": len(users),
        **quantiles(answers.read_s - due_s),
        "before_step_p50_ms": before["p50_ms"],
        "before_step_p99_ms": before["p99_ms"],
        "from_step_p50_ms": after["p50_ms"],
        "from_step_p99_ms": after["p99_ms"],
        "answered_with_a_later_one": float((~answers.own & ~np.isnan(answers.read_s)).mean()),
        "unanswered": int(np.isnan(answers.read_s).sum()),
    }
