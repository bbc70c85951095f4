"""How calm each of many detectors must be for all of them together to give few false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitoring.signals import Signal

EVENTS = 100_000.0
"""Per so many events false alarms are counted."""

_BETTER = 0.1  # of a signal's part, for telling that it became better, on which nothing is done


class RunLengths(NamedTuple):
    """Groups between two false alarms of a signal that does not change: of those that it rose, and that it fell."""

    up: float
    down: float


def run_lengths(signals: Sequence[Signal], per_events: float) -> list[RunLengths]:
    """What each signal is to be given so that all of them give `per_events` false alarms in 100,000 events.

    A union bound over detectors by weights (weighted Bonferroni: Genovese, Roeder and Wasserman, Biometrika 2006), so
    it holds however they depend on each other. A signal has at most one value an event, so one group in `group` events.

    Args:
        signals: All that are watched.
        per_events: False alarms in 100,000 events of all of them together.
    """
    total = sum(signal.weight for signal in signals)
    return [
        _split(signal, EVENTS / signal.group / (per_events * signal.weight / total)) for signal in signals
    ]


def _split(signal: Signal, length: float) -> RunLengths:
    """So much for both sides together."""
    worse, better = length / (1.0 - _BETTER), length / _BETTER
    if signal.worse > 0:
        return RunLengths(worse, better)
    return RunLengths(better, worse) if signal.worse < 0 else RunLengths(2.0 * length, 2.0 * length)
