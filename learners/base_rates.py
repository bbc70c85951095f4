"""How often each task says yes, and how often too late: where its tower starts, and what a negative counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray
from learners.state_arrays import Arrays
from learners.task_axes import BY_TASK, TaskAxes

_HALF_LIFE = 20_000.0  # labels
_PRIOR = 4.0  # labels of rate 1/2 that a task begins with
_MOST_WEIGHT = 20.0


class BaseRates:
    """Decayed means of K tasks' labels.

    Args:
        tasks: K.
        after: (K,) the task before each in a funnel, -1 where there is none.
    """

    def __init__(self, tasks: int, after: tuple[int, ...]) -> None:
        self._after = np.array(after, np.int64)
        self._known = np.full(tasks, _PRIOR)
        self._sum = np.full(tasks, _PRIOR / 2.0)
        self._positives = np.zeros(tasks)
        self._late = np.zeros(tasks)
        self.hurry = np.ones(tasks)
        """(K,) how many times as quickly it forgets."""

    def learn_many(self, labels: FloatArray, mask: BoolArray, late: BoolArray) -> None:
        """Count (L, K) labels; a late positive takes back the negative that was counted before."""
        count = mask.sum(axis=0).astype(np.float64)
        keep = 0.5 ** (self.hurry * count / _HALF_LIFE)
        come_late = late.sum(axis=0)
        self._known = keep * self._known + count - come_late
        self._sum = keep * self._sum + (labels * mask).sum(axis=0, dtype=np.float64)
        self._positives = keep * self._positives + ((labels > 0.0) & mask).sum(axis=0)
        self._late = keep * self._late + come_late

    @property
    def rates(self) -> NDArray[np.float64]:
        """(K,) mean labels, inside (0, 1)."""
        rates: NDArray[np.float64] = np.clip(self._sum / np.maximum(self._known, 1e-9), 1e-4, 1.0 - 1e-4)
        return rates

    @property
    def logits(self) -> FloatArray:
        """(K,) what a tower starts from: of the rate, or of its share of the former task's rate in a funnel."""
        rates = self.rates
        former = np.where(self._after >= 0, rates[self._after], 1.0)
        share = np.clip(rates / former, 1e-4, 1.0 - 1e-4)
        return np.log(share / (1.0 - share)).astype(np.float32)

    @property
    def positive_weight(self) -> FloatArray:
        """(K,) the square root of the odds against a positive, from 1 to 20."""
        rates = self.rates
        return np.clip(np.sqrt((1.0 - rates) / rates), 1.0, _MOST_WEIGHT).astype(np.float32)

    @property
    def late_share(self) -> FloatArray:
        """(K,) share of the positives that came after their negative had been taught."""
        share: FloatArray = (self._late / np.maximum(self._positives, 1.0)).astype(np.float32)
        return np.minimum(share, 0.9)

    def state_dict(self) -> Arrays:
        """The decayed counts."""
        return {
            "known": self._known.copy(),
            "sum": self._sum.copy(),
            "positives": self._positives.copy(),
            "late": self._late.copy(),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {name: {0: BY_TASK} for name in ("known", "sum", "positives", "late")}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._known, self._sum = arrays["known"].copy(), arrays["sum"].copy()
        self._positives, self._late = arrays["positives"].copy(), arrays["late"].copy()


def negative_importance(
    probability: FloatArray, labels: FloatArray, late: BoolArray, late_share: FloatArray
) -> FloatArray:
    """What each label counts, so that negatives that later turn out wrong do no harm in the mean.

    A share l of the positives comes after a task's `wait_s`; until then each was taught as a negative. Of the
    negatives seen at probability p, (1 - p) / (1 - p + l p) are real: that is what a negative counts. A positive
    counts 1, when it comes late too, so positives and negatives weigh p : 1 - p in the mean, as if all had come in
    time. The importance weighting of fake negatives (Ktena et al., RecSys 2019, arXiv:1907.06558) in the form for a
    window (Yang et al., AAAI 2021, arXiv:2012.03245); bounded by 1, and 1 everywhere where nothing ever comes late.

    Args:
        probability: (L, K) the model's own.
        labels: (L, K).
        late: (L, K) which positives came late.
        late_share: (K,) l.
    """
    real = 1.0 - probability
    negative = real / np.maximum(real + late_share * probability, 1e-6)
    weight: FloatArray = np.where((labels > 0.0) | late, 1.0, negative).astype(np.float32)
    return weight
