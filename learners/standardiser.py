"""Brings features to a common scale by running means and variances, so that networks can take them in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray
from learners.state_arrays import Arrays

_CLIP = np.float32(6.0)
_RATE = 0.005
_LEAST_DEVIATION = np.float32(1e-2)


class Standardiser:
    """(x - mean) / deviation, clipped to six deviations; both follow the stream.

    Args:
        features: F.
    """

    def __init__(self, features: int) -> None:
        self._mean = np.zeros(features, np.float32)
        self._variance = np.ones(features, np.float32)
        self._batches = np.zeros(features, np.int64)

    def learn_many(self, rows: FloatArray) -> None:
        """Follow (N, n) rows of the first n <= F features: exactly at first, then with a memory of 200 batches.

        Rows with a number that is not finite are left out: a mean would never recover from one.
        """
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows):
            return
        n = rows.shape[1]
        self._batches[:n] += 1
        rate = np.maximum(1.0 / self._batches[:n], _RATE).astype(np.float32)
        ahead = rows.mean(axis=0) - self._mean[:n]
        self._mean[:n] += rate * ahead
        # What batches differ by is variance too: rows of one user have the same in many columns.
        self._variance[:n] += rate * (rows.var(axis=0) + (1.0 - rate) * ahead * ahead - self._variance[:n])

    def transform(self, features: FloatArray) -> FloatArray:
        """(..., n) of the first n <= F features to (..., n)."""
        n = features.shape[-1]
        scale = (1.0 / (np.sqrt(self._variance[:n]) + _LEAST_DEVIATION)).astype(np.float32)
        scaled: FloatArray = np.empty(features.shape, np.float32)
        rows = np.ascontiguousarray(features).reshape(-1, n)
        _transform(rows, self._mean[:n], scale, scaled.reshape(-1, n))
        return scaled

    def state_dict(self) -> Arrays:
        """Means, variances and how often each was updated."""
        return {
            "mean": self._mean.copy(),
            "variance": self._variance.copy(),
            "batches": self._batches.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._mean = arrays["mean"].copy()
        self._variance = arrays["variance"].copy()
        self._batches = np.broadcast_to(
            arrays["batches"], self._mean.shape
        ).copy()  # earlier versions had one for all


@compiled
def _transform(rows: FloatArray, mean: FloatArray, scale: FloatArray, out: FloatArray) -> None:
    """All in one pass. What is no number stays none."""
    for n in range(len(rows)):
        for f in range(len(mean)):
            x = (rows[n, f] - mean[f]) * scale[f]
            if x > _CLIP:
                x = _CLIP
            elif x < -_CLIP:
                x = -_CLIP
            out[n, f] = x
