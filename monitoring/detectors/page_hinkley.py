"""The test of Page and Hinkley (Page, Biometrika 1954): evidence that something changed adds up until it is enough."""

from __future__ import annotations

import math
import struct
from typing import Any

from monitoring.detectors.detector import Change

_STATE = struct.Struct("<4dqq")
_CERTAIN = math.inf  # values whose mean is known: more of them change nothing
_RESTING = 1.166  # by how much a sum that rests at zero lags behind one that may fall, in deviations


class PageHinkley:
    """Sums how far values lie beyond an allowance, upwards and downwards, each from its last rest on.

    Quickest for a shift of twice the allowance (Moustakides, Annals of Statistics 1986).

    Args:
        allowance: Deviations by which the mean may move unnoticed.
        up: Values between two false alarms of a rise, on average, while nothing changes.
        down: And of a fall.
    """

    follows = True

    def __init__(self, allowance: float, up: float, down: float) -> None:
        from river.drift import PageHinkley as Test  # more than a second, and most commands watch nothing

        given: dict[str, Any] = {"min_instances": 1, "delta": allowance, "alpha": 1.0}
        self._up = Test(**given, mode="up", threshold=threshold(allowance, up))
        self._down = Test(**given, mode="down", threshold=threshold(allowance, down))
        self._begin()

    def _begin(self) -> None:
        for test in (self._up, self._down):
            test._reset()  # type: ignore[no-untyped-call]
            # The signal's mean is 0, and nothing that comes may teach the test another one.
            test._x_mean = type(test._x_mean)._from_state(_CERTAIN, 0.0)
            test._min_increase, test._max_decrease = 0.0, 0
        self._rising = self._falling = 0

    def update(self, value: float) -> Change | None:
        """See `Detector`."""
        up, down = self._up, self._down
        up.update(value)  # type: ignore[no-untyped-call]
        down.update(value)  # type: ignore[no-untyped-call]
        self._rising = 0 if up._sum_increase <= up._min_increase else self._rising + 1
        self._falling = 0 if down._sum_decrease >= down._max_decrease else self._falling + 1
        if not up.drift_detected and not down.drift_detected:
            return None
        change = Change(up.drift_detected, self._rising if up.drift_detected else self._falling)
        self._begin()
        return change

    def saved(self) -> bytes:
        """See `Detector`; 48 bytes, numbers in a row."""
        up, down = self._up, self._down
        return _STATE.pack(
            up._sum_increase,
            up._min_increase,
            down._sum_decrease,
            down._max_decrease,
            self._rising,
            self._falling,
        )

    def load(self, saved: bytes) -> None:
        """See `Detector`."""
        if len(saved) != _STATE.size:
            return
        self._begin()
        up, down = self._up, self._down
        (
            up._sum_increase,
            up._min_increase,
            down._sum_decrease,
            down._max_decrease,
            self._rising,
            self._falling,
        ) = _STATE.unpack(saved)


def threshold(allowance: float, run_length: float) -> float:
    """How much evidence, in deviations, a test must ask for to give one false alarm in so many values.

    Siegmund's approximation (Sequential Analysis, 1985) of the run length is (e^(2 k b) - 2 k b - 1) / (2 k^2) with
    b = threshold + 1.166; solved for b.
    """
    wanted = 2.0 * allowance**2 * run_length
    reach = math.log1p(wanted)
    for _ in range(30):  # a contraction: the logarithm is flat here
        reach = math.log(wanted + reach + 1.0)
    return max(reach / (2.0 * allowance) - _RESTING, 0.0)
