"""Whether a finding is reason enough to do something: it must be worse, and not alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from monitoring.signals import Signals

Verdict = Literal["act", "better", "neutral", "alone"]
"""Why nothing is done, or `act`."""

_SECOND = 2.0  # deviations by which another signal must lean towards worse


def verdict(signals: Signals, found: int, direction: str) -> Verdict:
    """What speaks against acting on a finding.

    Args:
        signals: As of now.
        found: Number of the signal that changed.
        direction: `worse`, `better` or `changed`.
    """
    possible = verdicts_on(direction)
    if len(possible) == 1:
        return possible[0]
    return "act" if second_signals(signals, found) else "alone"


def verdicts_on(direction: str) -> tuple[Verdict, ...]:
    """What may be said of findings of a direction."""
    if direction == "better":
        return ("better",)
    return ("act", "alone") if direction == "worse" else ("neutral",)


def second_signals(signals: Signals, found: int) -> Sequence[int]:
    """Signals of other kinds that lean towards worse as well, the same task's or nobody's."""
    own = signals.signals[found]
    return [
        s
        for s, other in enumerate(signals.signals)
        if other.name != own.name
        and (not own.task or not other.task or own.task == other.task)
        and _leans_worse(signals, s)
    ]


def _leans_worse(signals: Signals, s: int) -> bool:
    """Signals that are neither better nor worse count whichever way they go: something is going on."""
    worse, leaning = signals.signals[s].worse, signals.leaning(s)
    return abs(leaning) > _SECOND if worse == 0 else worse * leaning > _SECOND
