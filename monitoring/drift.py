"""Watches many signals for change and tells worse from better: findings, and whether they are reason to act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.detectors.registry import Kind, build
from monitoring.false_alarms import run_lengths
from monitoring.guards import Verdict, verdict, verdicts_on
from monitoring.signals import Signal, Signals


def findings_of(signal: Signal) -> list[tuple[str, Verdict]]:
    """What may be found of a signal: directions, with what may be said of them."""
    directions = ("worse", "better") if signal.worse else ("changed",)
    return [(direction, said) for direction in directions for said in verdicts_on(direction)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One finding, as it is published (JSON).

    Attributes:
        number: Of the finding, counted from 1.
        signal: What changed: `loss`, `calibration`, `slates`...
        task: Whose; empty where it is no task's.
        detector: What found it.
        direction: `worse`, `better`, or `changed` for what is neither.
        verdict: `act`, or why it is no reason to: `better`, `neutral`, `alone` (no second signal).
        before: Mean before the change, which it has followed a little; less what the season brings.
        after: Mean since, less the same.
        events: Events applied by then.
        since_ms: Event time at which the change began, about.
        found_at_ms: When, UTC milliseconds.
        event_time_ms: Event time of the newest event by then.
        model_step: The model's step.
        kind: Of the record: `finding`.
    """

    number: int
    signal: str
    task: str
    detector: str
    direction: str
    verdict: Verdict
    before: float
    after: float
    events: int
    since_ms: int
    found_at_ms: int
    event_time_ms: int
    model_step: int
    kind: str = "finding"


class DriftWatch:
    """One detector a signal.

    Args:
        signals: Axis S.
        detector: A name of `detectors.registry`.
        false_alarms: Of all detectors together in 100,000 events that do not change.
    """

    def __init__(self, signals: Sequence[Signal], detector: Kind, false_alarms: float) -> None:
        self.signals = Signals(signals)
        self._kind = detector
        self._detectors = [
            build(detector, signal.allowance, length.up, length.down)
            for signal, length in zip(signals, run_lengths(signals, false_alarms), strict=True)
        ]
        self.found = 0

    def update(
        self,
        sums: NDArray[np.float64],
        counts: NDArray[np.float64],
        filled: NDArray[np.float64] | None = None,
        *,
        events: int,
        now_ms: int,
        event_time_ms: int,
        model_step: int,
    ) -> list[DriftFinding]:
        """Take (S,) sums of (S,) so many values, see `Signals.add`; returns what changed."""
        findings = []
        for group in self.signals.add(sums, counts, event_time_ms, filled):
            if group.deviation is None or group.level is None:
                continue
            s = group.signal
            detector = self._detectors[s]
            change = detector.update(group.deviation if detector.follows else group.level)
            if change is None:
                continue
            signal = self.signals.signals[s]
            direction = (
                "changed" if not signal.worse else "worse" if change.up == (signal.worse > 0) else "better"
            )
            self.found += 1
            findings.append(
                DriftFinding(
                    number=self.found,
                    signal=signal.name,
                    task=signal.task,
                    detector=self._kind,
                    direction=direction,
                    verdict=verdict(self.signals, s, direction),
                    before=self.signals.usual(s),
                    after=self.signals.present(s, change.values),
                    events=events,
                    since_ms=self.signals.began_ms(s, change.values),
                    found_at_ms=now_ms,
                    event_time_ms=event_time_ms,
                    model_step=model_step,
                )
            )
            self.signals.begin_anew(s, change.values)
        return findings

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything; all arrays but `found` are (S, ...), and zeros are a signal of which nothing is known."""
        saved = [detector.saved() for detector in self._detectors]
        lengths = np.array([len(each) for each in saved], np.int64)
        detectors = np.zeros((len(saved), lengths.max(initial=0)), np.uint8)
        for row, each in zip(detectors, saved, strict=True):
            row[: len(each)] = np.frombuffer(each, np.uint8)
        return {
            **{f"signals.{name}": array for name, array in self.signals.state_dict().items()},
            "detectors": detectors,
            "lengths": lengths,
            "found": np.array([self.found]),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`: it will find what it would have found. Detectors of another kind, and those that
        another version of their library saved, begin anew.
        """
        signals = {
            name.removeprefix("signals."): array
            for name, array in arrays.items()
            if name.startswith("signals.")
        }
        self.signals.load_state_dict(signals)
        self.found = int(arrays["found"][0])
        for detector, row, length in zip(
            self._detectors, arrays["detectors"], arrays["lengths"].tolist(), strict=True
        ):
            detector.load(row[:length].tobytes())
