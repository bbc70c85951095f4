"""What of a step is watched for drift: from its arrays to one sum and one count for each signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.task_axes import COUNTED, Axis, Each, Rest, TaskAxes
from monitoring.signals import Signal
from stream.pipeline import Forecasts, Step

_OF_TASKS = (
    Signal("loss", 256, worse=1, allowance=1.0),
    Signal("calibration", 256, worse=1, allowance=0.75, weight=0.5),
    Signal("labels", 256, allowance=1.0, weight=0.2),
    Signal("forecasts", 512, allowance=2.5, weight=0.2),
)
_OF_ALL = (
    Signal("slates", 128, worse=-1, allowance=0.75, weight=60.0, enough=True),
    Signal("choices", 32, worse=-1, weight=8.0, memory=40),
    Signal("retrieval_loss", 32, worse=1, allowance=1.0, weight=4.0, memory=40),
    Signal("ranking_loss", 32, worse=1, weight=4.0, memory=40),
    Signal("label_delay", 256, allowance=1.0, weight=0.5),
    Signal("popularity", 512, allowance=1.5, weight=0.5),
    Signal("new_items", 32, allowance=1.0, weight=0.5),
    Signal("event_types", 512, allowance=1.0, weight=0.5),
    Signal("event_rate", 512, allowance=1.0, weight=0.5, log=True),
    Signal("slate_overlap", 2_048, allowance=2.0, weight=0.5),
    Signal("vector_norm", 64, allowance=2.0, weight=0.5, memory=40),
)
"""What people answer to slates weighs most, and is reason enough by itself: it is what all of this is for, and shows a
turn of tastes long before labels do, which come when their windows close.
"""

SIGNALS = tuple(signal.name for signal in (*_OF_TASKS, *_OF_ALL))
"""Kinds of signals: those of each task, then the others."""

AXIS: Axis = (Each(len(_OF_TASKS), fill=0.0), Rest(len(_OF_ALL)))
"""Where the tasks are along the axis of all signals."""

_TYPES_AT = [signal.name for signal in _OF_ALL].index("event_types")
_TOLD_EVERY = 64  # events
_RATE_LABELS = 2_000.0  # labels after which half of a base rate is forgotten
_LEAST_RATE = 0.001
_TELLING = 16.0
"""A label of which one in so many is a yes, or more, fills a group as any value does; rarer ones fill less, since
they tell less: a group of a rare task holds as many positives as one of a common task.
"""
_WINDOWS = 4
_TYPES = 256
_REMEMBERED = 20_000.0  # events of the latest types
_NORMS = 4  # item vectors that a mean norm counts for


def watched(tasks: Sequence[Task]) -> tuple[Signal, ...]:
    """All signals: each task's, one task after the other, then the others."""
    return (*(replace(signal, task=task.name) for task in tasks for signal in _OF_TASKS), *_OF_ALL)


@dataclass(frozen=True, slots=True)
class LabelSums:
    """Of what a step settled, (K,) each: how many, the sum of what came, and the sum of what was foreseen."""

    counts: NDArray[np.int64]
    labels: NDArray[np.floating]
    forecasts: NDArray[np.floating]


class Told(NamedTuple):
    """(S,) sums of so many values, and how much of a group these fill."""

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    filled: NDArray[np.float64]


class SignalColumns:
    """Reads steps, and has something to say every 64 events: what is said of each event would cost more than it tells.

    What a task foresaw counts once four of its windows have passed since the first: what was foreseen of the first
    impressions was said by a head that had learned nothing.

    Args:
        tasks: Axis K.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._windows_ms = np.array([1000.0 * _WINDOWS * task.window_s for task in tasks])
        self._binary = np.array([task.kind == "binary" for task in tasks])
        K = len(tasks)
        self._labels = np.zeros((4, K))  # counts, labels, forecasts, losses
        self._known = np.full((2, K), 0.5) * [
            [2.0],
            [1.0],
        ]  # of the base rates: labels, and their sum; decayed
        self._others = np.zeros((2, len(_OF_ALL)))
        self._came, self._types = np.zeros(_TYPES), np.zeros(_TYPES)
        self._first_ms = np.zeros(K, np.int64)
        self._newest_ms = 0
        self._events = 0

    def read(
        self,
        step: Step,
        labels: LabelSums,
        answers: tuple[int, int],
        popularity_bits: float | None,
    ) -> Told | None:
        """What there is since the last time it was told; None where it is too early.

        Args:
            step: The step.
            labels: Of what it settled.
            answers: How many places of slates were answered, and how many were seen.
            popularity_bits: How little expected its items were, summed over its events; None where nobody looked.
        """
        events, lesson, served = len(step.items), step.lesson, step.slates.columns
        if len(step.forecasts):
            self._labels += (labels.counts, labels.labels, labels.forecasts, self._losses(step.forecasts))
        self._came += np.bincount(step.types, minlength=_TYPES)[:_TYPES]
        elapsed_s = max(step.event_time_ms - self._newest_ms, 0) / 1000.0 if self._newest_ms else 0.0
        self._newest_ms = max(self._newest_ms, step.event_time_ms)
        self._events += events
        ranked, delays = len(step.ranks), len(step.label_delay_s)
        told = (
            answers,
            (_gains(step.ranks), ranked),
            _weighted(lesson.retrieval_loss, lesson.retrieved),
            _weighted(lesson.ranking_loss, lesson.ranked),
            (float(np.log1p(step.label_delay_s).sum()) if delays else 0.0, delays),
            (0.0, 0) if popularity_bits is None else (popularity_bits, events),
            (ranked - int(np.count_nonzero(step.known)), ranked),
            (0.0, 0),  # types are told in the end
            (elapsed_s, events),
            (0, 0) if served is None else (served.kept, served.before),
            _weighted(lesson.vector_norm, _NORMS),
        )
        self._others += np.array(told, np.float64).T
        return self._tell() if self._events >= _TOLD_EVERY else None

    def _tell(self) -> Told:
        counts, labels, forecasts, losses = self._labels
        begins = (self._first_ms == 0) & (counts > 0.0)
        self._first_ms[begins] = self._newest_ms
        old = (self._first_ms > 0) & (self._newest_ms - self._first_ms >= self._windows_ms)
        # A loss rises with the rate of positives, which is no harm: what it is above that of the rate alone.
        rate = np.clip(self._known[1] / self._known[0], _LEAST_RATE, 1.0 - _LEAST_RATE)
        alone = labels * np.log(rate) + (counts - labels) * np.log1p(-rate)
        own = [losses + np.where(self._binary, alone, 0.0), forecasts - labels, labels, forecasts]
        self._known = 0.5 ** (counts / _RATE_LABELS) * self._known + (counts, labels)
        self._others[:, _TYPES_AT] = self._surprise_bits(), self._came.sum()
        sums = np.concatenate([(np.stack(own, axis=1) * old[:, None]).ravel(), self._others[0]])
        told = counts * old
        counted, filled = (
            np.concatenate([np.repeat(each, len(_OF_TASKS)), self._others[1]])
            for each in (told, told * np.minimum(1.0, _TELLING * rate))
        )
        self._types += self._came
        if self._types.sum() > 2.0 * _REMEMBERED:
            self._types *= 0.5
        self._labels[:] = self._others[:] = self._came[:] = 0.0
        self._events = 0
        return Told(sums, counted, filled)

    def _losses(self, forecasts: Forecasts) -> NDArray[np.float64]:
        """(K,) sums of what was foreseen, by log loss or squared error."""
        foreseen, came = forecasts.foreseen, forecasts.came
        right = np.where(came > 0.5, foreseen, 1.0 - foreseen)
        each = np.where(self._binary, -np.log(np.maximum(right, _LEAST_RATE)), np.square(came - foreseen))
        losses: NDArray[np.float64] = np.where(forecasts.mask, each, 0.0).sum(axis=0, dtype=np.float64)
        return losses

    def _surprise_bits(self) -> float:
        """How little expected the types of the latest events were, summed over them."""
        shares = (self._types + 1.0) / (self._types.sum() + _TYPES)
        return -float(self._came @ np.log2(shares))

    def state_dict(self) -> Arrays:
        """What has not been told, and what it will be compared with."""
        return {
            "labels": self._labels.copy(),
            "known": self._known.copy(),
            "others": self._others.copy(),
            "came": self._came.copy(),
            "types": self._types.copy(),
            "first_ms": self._first_ms.copy(),
            "scalars": np.array([self._newest_ms, self._events]),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {"labels": {1: COUNTED}, "known": {1: (Each(fill=1.0),)}, "first_ms": {0: COUNTED}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._labels, self._known = arrays["labels"].astype(float), arrays["known"].astype(float)
        self._others, self._came = arrays["others"].astype(float), arrays["came"].astype(float)
        self._types, self._first_ms = arrays["types"].astype(float), arrays["first_ms"].astype(np.int64)
        self._newest_ms, self._events = arrays["scalars"].tolist()


def _gains(ranks: NDArray[np.integer]) -> float:
    """Sum of 1 / log2(rank + 2) of what was found: what a rank is worth, without a cut."""
    return float((1.0 / np.log2(ranks[ranks >= 0] + 2.0)).sum()) if len(ranks) else 0.0


def _weighted(value: float, count: int) -> tuple[float, int]:
    return (value * count, count) if value == value and count else (0.0, 0)
