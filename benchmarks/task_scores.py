"""How good forecasts of K tasks were: AUC, log-loss, normalised entropy and calibration, all said before learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learners.event_batch import FloatArray
from monitoring.task_quality import auc, calibration_error

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
    """Of (N,) forecasts and (N,) labels; NaN where a task has none, as before it has arrived."""
    if not len(labels):
        return Score(*[float("nan")] * 5)
    p = np.clip(foreseen.astype(np.float64), _LEAST, 1.0 - _LEAST)
    y = labels.astype(np.float64)
    mean = float(np.clip(y.mean(), _LEAST, 1.0 - _LEAST))
    log_loss = float(-(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).mean())
    own = -(mean * np.log(mean) + (1.0 - mean) * np.log(1.0 - mean))
    positive = y > mean if ((y > 0.0) & (y < 1.0)).any() else y > 0.5
    ece = calibration_error(p, y, _BINS)
    return Score(log_loss, log_loss / own, auc(p, positive), float(p.mean() / mean), ece)
