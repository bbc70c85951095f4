"""How good forecasts of K tasks were: AUC, log-loss, normalised entropy and calibration, all said before learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import FloatArray

_BINS = 15
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """One task's forecasts.

    Attributes:
        log_loss: Mean cross-entropy (of a regression too, whose labels are shares).
        entropy: The same over that of the mean label: below 1 is better than knowing the mean.
        auc: Chance that a positive is above a negative; of a regression, that the larger label is (cut at the
            mean).
        ratio: Foreseen over observed.
        ece: Expected calibration error over bins of equal size.
    """

    log_loss: float
    entropy: float
    auc: float
    ratio: float
    ece: float


def score(foreseen: FloatArray, labels: FloatArray) -> Score:
    """Of (N,) forecasts and (N,) labels."""
    p = np.clip(foreseen.astype(np.float64), _LEAST, 1.0 - _LEAST)
    y = labels.astype(np.float64)
    mean = float(np.clip(y.mean(), _LEAST, 1.0 - _LEAST))
    log_loss = float(-(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).mean())
    own = -(mean * np.log(mean) + (1.0 - mean) * np.log(1.0 - mean))
    positive = y > mean if ((y > 0.0) & (y < 1.0)).any() else y > 0.5
    bins = np.array_split(np.argsort(p, kind="stable"), _BINS)
    ece = sum(abs(float(p[one].mean() - y[one].mean())) * len(one) for one in bins if len(one)) / len(p)
    return Score(log_loss, log_loss / own, auc(p, positive), float(p.mean() / mean), ece)


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half; NaN without both kinds."""
    P = int(positive.sum())
    N = len(positive) - P
    if not P or not N:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    upper = np.cumsum(counts)
    ranks = (upper - (counts - 1) / 2.0)[inverse]
    return float((ranks[positive].sum() - P * (P + 1) / 2.0) / (P * N))
