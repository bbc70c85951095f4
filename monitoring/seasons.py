"""What the hour of the day or of the week lets expect: what comes back is no drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAY, WEEK = 24, 168
"""Hours after which what is usual at an hour comes back."""

_HOUR_MS = 3_600_000
_KNOWN = 0.7  # of a season's hours must have come twice before any is expected to be special
_FEWEST = 3  # groups of an hour that tell something


class Seasons:
    """How S signals go up and down from hour to hour (UTC), and do so again a season later.

    Only what came back counts. The hours of one season are chance for the most part, and in its first week a model
    becomes better day by day: whoever expects that again finds drift in the second one. So each hour is remembered as
    it was the last two times. What rose or fell steadily from season to season is taken off, and of their mean as much
    is expected as they have in common: their correlation over all hours is how reliable one season is, and by Spearman
    (1910) and Brown (1910) the mean of two is by 2 r / (1 + r).

    An hour that has not ended teaches nothing: it would excuse the change that has just begun.

    Args:
        signals: S.
        hours: H, of a season.
    """

    def __init__(self, signals: int, hours: int) -> None:
        self._latest = np.zeros((signals, hours), np.float32)
        self._before = np.zeros((signals, hours), np.float32)
        self._times = np.zeros((signals, hours), np.uint8)  # an hour came: never, once, or more often
        self._expected = np.zeros((signals, hours))
        self._known = np.zeros((signals, hours), np.bool_)
        self._hour, self._count = [0] * signals, [0] * signals
        self._sum = [0.0] * signals

    def expect(self, s: int, value: float, event_time_ms: int) -> float | None:
        """By how much signal `s` is usually higher at this hour, None while too little is known; takes the value.

        Hours that come out of order belong to the one at hand.
        """
        hour = event_time_ms // _HOUR_MS
        if hour > self._hour[s]:
            self._finish(s)
            self._hour[s] = hour
        self._sum[s] += value
        self._count[s] += 1
        now = hour % self._expected.shape[1]
        return float(self._expected[s, now]) if self._known[s, now] else None

    def _finish(self, s: int) -> None:
        """The hour at hand is over."""
        if self._count[s] >= _FEWEST:
            hour = self._hour[s] % self._expected.shape[1]
            self._before[s, hour] = self._latest[s, hour]
            self._latest[s, hour] = self._sum[s] / self._count[s]
            self._times[s, hour] = min(self._times[s, hour] + 1, 2)
            self._compare(s, hour)
        self.pass_over(s)

    def _compare(self, s: int, hour: int) -> None:
        """What to expect of a signal at each hour, once `hour` has ended."""
        H = self._expected.shape[1]
        self._known[s] = False
        in_order = (hour + 1 + np.arange(H)) % H
        places = np.flatnonzero(self._times[s, in_order] == 2)
        if len(places) < _KNOWN * H:
            return
        twice = in_order[places]
        both = np.stack([self._before[s, twice], self._latest[s, twice]]).astype(np.float64)
        both -= (both[1] - both[0]).mean() / H * places
        both -= both.mean(axis=1, keepdims=True)
        variance = float(np.square(both).mean())
        correlation = max(float((both[0] * both[1]).mean()) / variance, 0.0) if variance > 0.0 else 0.0
        self._expected[s, twice] = 2.0 * correlation / (1.0 + correlation) * both.mean(axis=0)
        self._known[s, twice] = True

    def pass_over(self, s: int) -> None:
        """The hour at hand tells nothing of signal `s`: what is usual is another thing than it was when it began."""
        self._sum[s], self._count[s] = 0.0, 0

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything, (S, ...)."""
        return {
            "latest": self._latest.copy(),
            "before": self._before.copy(),
            "times": self._times.copy(),
            "expected": self._expected.copy(),
            "known": self._known.copy(),
            "at_hand": np.array([self._hour, self._sum, self._count], np.float64).T.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; nothing, as older versions have it, begins anew."""
        if not arrays:
            return
        self._latest, self._before = arrays["latest"].copy(), arrays["before"].copy()
        self._times = arrays["times"].copy()
        self._expected, self._known = arrays["expected"].copy(), arrays["known"].copy()
        hour, self._sum, count = arrays["at_hand"].T.tolist()
        self._hour, self._count = list(map(int, hour)), list(map(int, count))
