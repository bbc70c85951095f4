"""Decisions at the threshold that would have been best so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FIRST_AT = 100
_GROWTH = 1.1
_AT_FIRST = 0.5


def progressive_decisions(
    scores: NDArray[np.floating], labels: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], float]:
    """Decide each case by what came before it.

    The threshold is 0.5 for the first hundred labels. Then, and whenever there are a tenth more labels, it
    becomes the one with the largest F1 on all labels before.

    Args:
        scores: (L,) forecasts in the order in which their labels became known.
        labels: (L,) 0 or 1.

    Returns:
        (L,) decisions, and the last threshold.
    """
    decisions = np.zeros(len(scores), np.bool_)
    threshold, begin, end = _AT_FIRST, 0, _FIRST_AT
    while begin < len(scores):
        if begin:
            threshold = best_threshold(scores[:begin], labels[:begin], threshold)
        decisions[begin:end] = scores[begin:end] >= threshold
        begin, end = end, max(end + 1, int(end * _GROWTH))
    return decisions, threshold


def best_threshold(
    scores: NDArray[np.floating], labels: NDArray[np.floating], otherwise: float = _AT_FIRST
) -> float:
    """The lowest score from which on "yes" gives the largest F1; `otherwise` where there is no positive."""
    positives = float((labels > 0.0).sum())
    if not positives:
        return otherwise
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    true = np.cumsum(labels[order] > 0.0)
    f1 = 2.0 * true / (np.arange(1, len(scores) + 1) + positives)
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True)
    return float(ordered[np.argmax(np.where(last_of_ties, f1, -1.0))])
