"""What the hour of the week lets expect: what comes back every day or week is no drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HOURS = 168
_HOUR_MS = 3_600_000
_KNOWN = 120  # hours of the week that must have been there before any is expected to be special
_FEWEST = 3  # groups of an hour that tell something
_KEEP = 0.5  # of a week's hour, when the same hour has passed again


class Seasons:
    """Means of S signals by the hour of the week (UTC), one finished hour at a time.

    An hour that has not ended teaches nothing: it would excuse the change that has just begun.

    Args:
        signals: S.
    """

    def __init__(self, signals: int) -> None:
        self._table = np.zeros((signals, _HOURS), np.float32)
        self._there = np.zeros((signals, _HOURS), np.bool_)
        self._known = [0] * signals  # hours that are there
        self._hour, self._count = [0] * signals, [0] * signals
        self._sum = [0.0] * signals

    def expect(self, s: int, value: float, event_time_ms: int) -> float:
        """How far signal `s` usually lies above its mean at this hour, 0 while too little is known; takes the value.

        Hours that come out of order belong to the one at hand.
        """
        hour = event_time_ms // _HOUR_MS
        if hour > self._hour[s]:
            self._finish(s)
            self._hour[s] = hour
        self._sum[s] += value
        self._count[s] += 1
        now, there = hour % _HOURS, self._there[s]
        if self._known[s] < _KNOWN or not there[now]:
            return 0.0
        table = self._table[s]
        return float(table[now] - table[there].mean())

    def _finish(self, s: int) -> None:
        """The hour at hand is over."""
        if self._count[s] >= _FEWEST:
            hour = self._hour[s] % _HOURS
            keep = _KEEP if self._there[s, hour] else 0.0
            mean = self._sum[s] / self._count[s]
            self._table[s, hour] = keep * self._table[s, hour] + (1.0 - keep) * mean
            self._there[s, hour] = True
            self._known[s] = int(self._there[s].sum())
        self._sum[s], self._count[s] = 0.0, 0

    def forget(self, s: int) -> None:
        """What signal `s` is usually like is another thing now."""
        self._there[s] = False
        self._table[s] = 0.0
        self._known[s] = 0
        self._sum[s], self._count[s] = 0.0, 0

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything, (S, ...)."""
        return {
            "table": self._table.copy(),
            "there": self._there.copy(),
            "at_hand": np.array([self._hour, self._sum, self._count], np.float64).T.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._table = arrays["table"].astype(np.float32)
        self._there = arrays["there"].astype(np.bool_)
        self._known = self._there.sum(axis=1).tolist()
        hour, self._sum, count = arrays["at_hand"].T.tolist()
        self._hour, self._count = list(map(int, hour)), list(map(int, count))
