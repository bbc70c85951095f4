"""How good forecasts of labels were: losses, ranking, calibration and decisions of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.operating_threshold import progressive_decisions

CALIBRATION_BINS = 20
_LEAST = 1e-7

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryQuality:
    """Of n forecast probabilities; NaN where it cannot be told (no label, or none of one kind).

    Attributes:
        n: Labels.
        base_rate: Share of positives.
        log_loss: Mean cross-entropy, nats.
        normalised_entropy: Log-loss over the entropy of the base rate (He et al., ADKDD 2014): below 1 is
            better than knowing the base rate.
        auc: Probability that a positive is forecast above a negative, ties by half.
        calibration: Sum of forecasts over number of positives.
        calibration_error: Expected calibration error over 20 bins of equal count.
        accuracy: Of the decisions at the operating threshold, which is set from earlier labels only.
        precision: Share of the decided positives that were positive.
        recall: Share of the positives that were decided.
        f1: Harmonic mean of the two.
        threshold: The threshold in use at the end.
    """

    n: int
    base_rate: float
    log_loss: float
    normalised_entropy: float
    auc: float
    calibration: float
    calibration_error: float
    accuracy: float
    precision: float
    recall: float
    f1: float
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionQuality:
    """Of n forecast values, in the task's scaled unit; NaN where n is 0.

    Attributes:
        n: Labels.
        mean: Of the labels.
        mae: Mean absolute error.
        rmse: Root of the mean squared error.
        r2: Share of the labels' variance that is explained; NaN where the labels are all alike.
        calibration: Sum of forecasts over sum of labels.
    """

    n: int
    mean: float
    mae: float
    rmse: float
    r2: float
    calibration: float


def binary_quality(scores: Floats, labels: Floats, scored: NDArray[np.bool_]) -> BinaryQuality:
    """The quality of (L,) probabilities in the order in which their labels became known.

    Args:
        scores: (L,) forecast.
        labels: (L,) 0 or 1.
        scored: (L,) which count; the others, of the warm-up, only help to set the threshold.
    """
    decisions, threshold = progressive_decisions(scores, labels)
    p, y, decided = scores[scored].astype(np.float64), labels[scored] > 0.0, decisions[scored]
    n, positives = len(p), int(y.sum())
    base_rate = positives / n if n else float("nan")
    loss = log_loss(p, y)
    entropy = log_loss(np.full(n, base_rate), y) if 0 < positives < n else float("nan")
    true = int((decided & y).sum())
    return BinaryQuality(
        n=n,
        base_rate=base_rate,
        log_loss=loss,
        normalised_entropy=loss / entropy if entropy > 0.0 else float("nan"),
        auc=auc(p, y),
        calibration=_ratio(float(p.sum()), positives),
        calibration_error=calibration_error(p, y),
        accuracy=float((decided == y).mean()) if n else float("nan"),
        precision=_ratio(true, int(decided.sum())),
        recall=_ratio(true, positives),
        f1=_ratio(2 * true, int(decided.sum()) + positives),
        threshold=threshold,
    )


def regression_quality(forecasts: Floats, labels: Floats) -> RegressionQuality:
    """The quality of (L,) forecasts of (L,) values."""
    x, y = forecasts.astype(np.float64), labels.astype(np.float64)
    if not len(x):
        nothing = float("nan")
        return RegressionQuality(
            n=0, mean=nothing, mae=nothing, rmse=nothing, r2=nothing, calibration=nothing
        )
    squared = float(((x - y) ** 2).mean())
    return RegressionQuality(
        n=len(x),
        mean=float(y.mean()),
        mae=float(np.abs(x - y).mean()),
        rmse=float(np.sqrt(squared)),
        r2=1.0 - squared / float(y.var()) if y.var() > 0.0 else float("nan"),
        calibration=_ratio(float(x.sum()), float(y.sum())),
    )


def log_loss(p: Floats, y: NDArray[np.bool_]) -> float:
    """Mean cross-entropy of (L,) probabilities; a certainty that was wrong costs 16 nats and not infinitely many."""
    if not len(p):
        return float("nan")
    p = np.clip(p, _LEAST, 1.0 - _LEAST)
    return float(-np.where(y, np.log(p), np.log1p(-p)).mean())


def auc(p: Floats, y: NDArray[np.bool_]) -> float:
    """Area under the receiver operating curve, by rank sums (Mann and Whitney, 1947)."""
    from scipy.stats import rankdata  # half a second, and most commands rank nothing

    positives = int(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    return float((rankdata(p)[y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def calibration_error(p: Floats, y: NDArray[Any], bins: int = CALIBRATION_BINS) -> float:
    """Mean distance of forecast and observed shares over bins of equal count (Naeini et al., AAAI 2015).

    Bins of equal count, since the forecasts of a rare task would all fall into the first one of equal width; equal
    forecasts stay together.
    """
    if not len(p):
        return float("nan")
    order = np.argsort(p, kind="stable")
    begins = np.linspace(0, len(p), min(bins, len(p)), endpoint=False).astype(np.int64)
    begins = np.unique(np.searchsorted(p[order], p[order][begins], side="left"))
    gaps = np.add.reduceat((p - y)[order], begins)
    return float(np.abs(gaps).sum() / len(p))


def _ratio(part: float, of: float) -> float:
    return part / of if of else float("nan")
