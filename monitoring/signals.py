"""Signals made comparable: sums of many events become means of groups, in deviations from what is usual at the hour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.seasons import DAY, WEEK, Seasons

_WARM = 24  # groups before a deviation is believed
_REMEMBERED = 64  # ends of groups, to tell when a change began
_DECAY = 3.0
_KEEP_LATELY = 0.5 ** (1 / 3)
_LEAST = 1e-6  # of what a logarithm is taken
_FARTHEST = 4.0  # deviations that a group may count
_ANOTHER = 100.0  # deviations from what was usual: whatever scattered so little was another signal


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that is watched.

    Attributes:
        name: Of its kind: `loss`, `calibration`, `slates`...
        group: Values whose mean is one value of the signal. Detectors want many that are alike rather than each.
        worse: 1 where a rise is worse, -1 where a fall is, 0 where neither is better or worse.
        allowance: Deviations by which it may wander unnoticed.
        task: Whose it is; empty where it is no task's.
        log: Whether the mean's logarithm is watched, for what may be ten times as much.
        weight: How much of the false alarms that are allowed is its own, beside that of the others.
        memory: Groups after which half of what was usual is forgotten.
        enough: Whether it is reason to act without a second signal.
    """

    name: str
    group: int
    worse: int = 0
    allowance: float = 0.5
    task: str = ""
    log: bool = False
    weight: float = 1.0
    memory: int = 100
    enough: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A group that is full.

    Attributes:
        signal: Its number.
        deviation: From what is usual, in deviations; None while too little is known.
        level: From what was usual when the signal began to be judged, in deviations of then; None just so.
    """

    signal: int
    deviation: float | None
    level: float | None = None


class Signals:
    """Gathers S signals.

    Usual is what was before, forgotten slowly, and what the hour of the day, or of the week, adds to it
    (`Seasons`). Its first 24 groups only tell what is usual. After a change the latest groups are: it is watched on at
    once, and how far it scatters is taken to be what it was.

    Args:
        signals: Axis S.
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        S = len(signals)
        self.signals = tuple(signals)
        self._sizes = np.array([signal.group for signal in signals], np.float64)
        self._sums, self._counts, self._filled = np.zeros(S), np.zeros(S), np.zeros(S)
        self._ends = np.zeros((S, _REMEMBERED), np.int64)
        self._values = np.zeros((S, _REMEMBERED))
        self._forget = [1.0 - 0.5 ** (1.0 / signal.memory) for signal in signals]
        self._seasons = {"day": Seasons(S, DAY), "week": Seasons(S, WEEK)}
        self._begin(S)

    def _begin(self, S: int) -> None:
        self._groups, self._learned = [0] * S, [0] * S
        self._mean, self._variance = [0.0] * S, [0.0] * S
        self._lately = [0.0] * S
        self._anchors = [(0.0, 0.0)] * S  # mean and deviation at which judging began; no deviation before

    def add(
        self,
        sums: NDArray[np.float64],
        counts: NDArray[np.float64],
        event_time_ms: int,
        filled: NDArray[np.float64] | None = None,
    ) -> list[Group]:
        """Take (S,) sums of (S,) so many values; returns the groups that are full now.

        Args:
            sums: Of the values.
            counts: How many they are.
            event_time_ms: Of the newest event.
            filled: How many values of a group they stand for, where each tells less than one; as many as they are
                where it is left out.
        """
        self._sums += sums
        self._counts += counts
        self._filled += counts if filled is None else filled
        full = self._filled >= self._sizes
        if not full.any():
            return []
        return [self._close(s, event_time_ms) for s in np.flatnonzero(full).tolist()]

    def _close(self, s: int, event_time_ms: int) -> Group:
        value = float(self._sums[s] / self._counts[s])
        self._sums[s] = self._counts[s] = self._filled[s] = 0.0
        if self.signals[s].log:
            value = math.log(max(value, _LEAST))
        n = self._groups[s]
        self._ends[s, n % _REMEMBERED] = event_time_ms
        self._groups[s] = n + 1
        value -= self._usual_at_the_hour(s, value, event_time_ms)
        self._values[s, n % _REMEMBERED] = value
        if self._learned[s] < _WARM:
            self._learn(s, value)
            return Group(s, None)
        spread = math.sqrt(max(self._variance[s], 1e-12))
        if not self._anchors[s][1]:
            self._anchors[s] = self._mean[s], spread
        anchor, unit = self._anchors[s]
        deviation = min(max((value - self._mean[s]) / spread, -_FARTHEST), _FARTHEST)
        self._learn(s, self._mean[s] + deviation * spread)
        self._lately[s] = _KEEP_LATELY * self._lately[s] + (1.0 - _KEEP_LATELY) * deviation
        return Group(s, deviation, (value - anchor) / unit)

    def _usual_at_the_hour(self, s: int, value: float, event_time_ms: int) -> float:
        """What to expect of a signal beside its mean: by the longest season of which enough is known."""
        expected = [seasons.expect(s, value, event_time_ms) for seasons in self._seasons.values()]
        return next((each for each in reversed(expected) if each is not None), 0.0)

    def _learn(self, s: int, value: float) -> None:
        """Mean and variance with forgetting (West, CACM 1979), of which the first groups are soon no part.

        A model that begins is no measure of what it is going to be. Until forgetting alone is quicker, groups count
        by the third power of their number: polynomial-decay averaging (Shamir and Zhang, ICML 2013).
        """
        self._learned[s] += 1
        share = max((_DECAY + 1.0) / (self._learned[s] + _DECAY), self._forget[s])
        ahead = value - self._mean[s]
        self._mean[s] += share * ahead
        self._variance[s] = (1.0 - share) * (self._variance[s] + share * ahead * ahead)

    def usual(self, s: int) -> float:
        """The mean before."""
        return self._mean[s]

    def present(self, s: int, groups: int) -> float:
        """The mean of the latest so many groups, as far as they are remembered."""
        n = self._groups[s]
        latest = (n - 1 - np.arange(min(max(groups, 1), n, _REMEMBERED))) % _REMEMBERED
        return float(self._values[s, latest].mean())

    def leaning(self, s: int) -> float:
        """How certainly the latest groups lie above (positive) or below what is usual, in deviations of their mean."""
        return self._lately[s] * math.sqrt((1.0 + _KEEP_LATELY) / (1.0 - _KEEP_LATELY))

    def began_ms(self, s: int, groups: int) -> int:
        """Event time at which the latest so many groups began, as far as it is remembered."""
        n = self._groups[s]
        back = min(groups, n - 1, _REMEMBERED - 1)
        return int(self._ends[s, (n - 1 - back) % _REMEMBERED])

    def begin_anew(self, s: int, groups: int) -> None:
        """What was usual is no more; what the latest so many groups were is."""
        present = self.present(s, groups)
        if abs(present - self._mean[s]) > _ANOTHER * math.sqrt(self._variance[s]):
            self._learned[s] = 0  # it hardly scattered, so nobody knows yet how it does
            self._variance[s] = 0.0
        self._learned[s] = min(self._learned[s], _WARM)
        self._mean[s], self._lately[s] = present, 0.0
        self._anchors[s] = 0.0, 0.0
        for seasons in self._seasons.values():
            seasons.pass_over(s)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything; arrays are (S, ...), and zeros are a signal of which nothing is known."""
        return {
            "sums": self._sums.copy(),
            "counts": self._counts.copy(),
            "filled": self._filled.copy(),
            "ends": self._ends.copy(),
            "values": self._values.copy(),
            "groups": np.array([self._groups, self._learned], np.int64).T.copy(),
            "usual": np.array([self._mean, self._variance, self._lately]).T.copy(),
            "anchors": np.array(self._anchors),
            **{
                f"seasons.{name}.{part}": array
                for name, seasons in self._seasons.items()
                for part, array in seasons.state_dict().items()
            },
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._sums, self._counts = arrays["sums"].astype(float), arrays["counts"].astype(float)
        self._filled = arrays.get("filled", self._counts).astype(float)  # older checkpoints have none
        self._ends = arrays["ends"].astype(np.int64)
        self._values = arrays["values"].astype(float)
        self._groups, self._learned = arrays["groups"].T.tolist()
        self._mean, self._variance, self._lately = arrays["usual"].T.tolist()
        if "anchors" in arrays:  # older checkpoints have none: what is usual by then becomes it
            self._anchors = [(mean, unit) for mean, unit in arrays["anchors"].tolist()]
        for name, seasons in self._seasons.items():
            start = f"seasons.{name}."
            seasons.load_state_dict(
                {part.removeprefix(start): array for part, array in arrays.items() if part.startswith(start)}
            )
