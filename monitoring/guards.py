"""Whether a finding is reason enough to act: it must be worse, and not alone, unless it is enough by itself."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

from monitoring.signals import Signal, Signals

Verdict = Literal["act", "better", "neutral", "alone"]
"""Why nothing is done, or `act`."""

_BY_CHANCE = 0.1  # probability that any other signal leans so far while nothing changes


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
    return "act" if signals.signals[found].enough or second_signals(signals, found) else "alone"


def verdicts_on(direction: str) -> tuple[Verdict, ...]:
    """What may be said of findings of a direction."""
    if direction == "better":
        return ("better",)
    return ("act", "alone") if direction == "worse" else ("neutral",)


def second_signals(signals: Signals, found: int) -> Sequence[int]:
    """Signals of other kinds that lean towards worse as well, the same task's or nobody's.

    The more there are, the farther each of them has to lean (Bonferroni's correction): one of many always leans a bit.
    """
    own = signals.signals[found]
    others = [
        s
        for s, other in enumerate(signals.signals)
        if other.name != own.name and (not own.task or not other.task or own.task == other.task)
    ]
    sides = sum(_sides(signals.signals[s]) for s in others)
    if not sides:
        return []
    farthest = NormalDist().inv_cdf(1.0 - _BY_CHANCE / sides)
    return [s for s in others if _towards_worse(signals, s) > farthest]


def _sides(signal: Signal) -> int:
    """Signals that are neither better nor worse count whichever way they go: something is going on."""
    return 1 if signal.worse else 2


def _towards_worse(signals: Signals, s: int) -> float:
    """How far a signal leans, in deviations."""
    worse, leaning = signals.signals[s].worse, signals.leaning(s)
    return worse * leaning if worse else abs(leaning)
