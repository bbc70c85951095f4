"""Exponential forgetting by half-lives, shared by every count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MAX_HALVINGS = 120.0  # float32 reaches zero there; beyond, exp2 would only underflow


def decayed(elapsed_s: NDArray[np.float64], half_lives_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """What is left of one after `elapsed_s`: 2^(-elapsed / half-life).

    Args:
        elapsed_s: (N,) seconds; negative ones (events out of order) count as zero.
        half_lives_s: (P,) seconds.

    Returns:
        (N, P) factors in [0, 1].
    """
    halvings = np.clip(elapsed_s[:, None] / half_lives_s, 0.0, _MAX_HALVINGS)
    return np.exp2(-halvings).astype(np.float32)
