"""Watches each task's loss for change (ADWIN: Bifet and Gavaldà, 2007) and tells worse from better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.detector import Detector

_FEWEST_LABELS = 32
_LOSS_AT_ONE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftFinding:
    """One finding, as it is published (JSON).

    Attributes:
        task: Whose loss changed.
        detector: What found it.
        direction: `worse` when the loss rose, `better` when it fell.
        before: Mean scaled loss before the change.
        after: Mean scaled loss since.
        labels: Labels seen of this task.
        found_at_ms: When, UTC milliseconds.
        event_time_ms: Event time of the newest event by then.
        model_step: The model's step.
    """

    task: str
    detector: str
    direction: str
    before: float
    after: float
    labels: int
    found_at_ms: int
    event_time_ms: int
    model_step: int


class DriftWatch:
    """One detector a task, fed with mean losses of at least 32 labels, scaled to about [0, 1].

    Means of a group instead of single losses: ADWIN expects a bounded signal, and a rare label's loss is not.

    Args:
        tasks: Names, axis K.
        delta: ADWIN's confidence: smaller is calmer.
    """

    def __init__(self, tasks: Sequence[str], delta: float = 0.002) -> None:
        self._tasks = tuple(tasks)
        self._detectors = [Detector(delta) for _ in tasks]
        self._sum = np.zeros(len(tasks))
        self._count = np.zeros(len(tasks))
        self._labels = np.zeros(len(tasks), np.int64)

    def update(
        self,
        losses: NDArray[np.floating],
        counts: NDArray[np.integer],
        *,
        now_ms: int,
        event_time_ms: int,
        model_step: int,
    ) -> list[DriftFinding]:
        """Take (K,) mean losses over (K,) labels, NaN where there were none; returns what changed."""
        there = np.isfinite(losses) & (counts > 0)
        self._sum += np.where(there, losses * counts, 0.0)
        self._count += np.where(there, counts, 0)
        self._labels += np.where(there, counts, 0)
        findings = []
        for task in np.flatnonzero(self._count >= _FEWEST_LABELS).tolist():
            mean = self._sum[task] / self._count[task]
            self._sum[task] = self._count[task] = 0.0
            change = self._detectors[task].update(min(mean / _LOSS_AT_ONE, 1.0))
            if change is not None:
                before, after = change
                findings.append(
                    DriftFinding(
                        task=self._tasks[task],
                        detector="adwin",
                        direction="worse" if after > before else "better",
                        before=before,
                        after=after,
                        labels=int(self._labels[task]),
                        found_at_ms=now_ms,
                        event_time_ms=event_time_ms,
                        model_step=model_step,
                    )
                )
        return findings

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything; arrays are (K, ...), and a task's zeros are one of which nothing is known."""
        saved = [detector.saved() for detector in self._detectors]
        lengths = np.array([len(each) for each in saved], np.int64)
        detectors = np.zeros((len(saved), lengths.max(initial=0)), np.uint8)
        for row, each in zip(detectors, saved, strict=True):
            row[: len(each)] = np.frombuffer(each, np.uint8)
        return {
            "detectors": detectors,
            "lengths": lengths,
            "sum": self._sum.copy(),
            "count": self._count.copy(),
            "labels": self._labels.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`: it will find what it would have found. Detectors that another version of their
        library saved begin anew.
        """
        for detector, row, length in zip(
            self._detectors, arrays["detectors"], arrays["lengths"].tolist(), strict=True
        ):
            detector.load(row[:length].tobytes())
        self._sum, self._count = arrays["sum"].astype(float), arrays["count"].astype(float)
        self._labels = arrays["labels"].astype(np.int64)
