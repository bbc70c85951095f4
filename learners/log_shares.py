"""Logarithms of softmax shares, where some places are empty."""

from __future__ import annotations

import numpy as np

from learners.event_batch import BoolArray, FloatArray


def log_shares(scores: FloatArray, there: BoolArray) -> FloatArray:
    """(S, C) logarithms of the shares that scores (S, C) have among those `there`; the others' mean nothing."""
    counted = np.where(there, scores, -np.inf)
    peak = counted.max(axis=1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    total = np.exp(counted - peak).sum(axis=1, keepdims=True)
    shares: FloatArray = scores - peak - np.log(np.maximum(total, 1e-30))
    return shares
