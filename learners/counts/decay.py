"""Exponential forgetting by half-lives, shared by every count."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray

MAX_HALVINGS = 120.0
"""A float32 reaches zero there; beyond, exp2 would only underflow."""


AS_OF_S = 3_600.0
"""Within so long of a moment, counts are kept as of that moment, and what is added weighs more the later it comes."""


@compiled
def left(elapsed: float, half_life: float) -> float:
    """What is left of one after `elapsed`: 2^(-elapsed / half-life).

    Args:
        elapsed: Seconds, or a number of events; a negative one (events out of order) counts as zero.
        half_life: In the same unit.

    Returns:
        A factor in [0, 1].
    """
    halvings = elapsed / half_life
    if halvings <= 0.0:
        return 1.0
    if halvings > MAX_HALVINGS:
        return 0.0
    return math.exp2(-halvings)


def left_of(elapsed: NDArray[np.number], half_lives: NDArray[np.float64]) -> FloatArray:
    """(J, N) the same for each of J half-lives and N elapsed times, by the processor's vector instructions."""
    halvings = np.multiply.outer(
        (1.0 / half_lives).astype(np.float32), np.maximum(elapsed, 0.0).astype(np.float32)
    )
    np.minimum(halvings, np.float32(MAX_HALVINGS), out=halvings)
    np.negative(halvings, out=halvings)
    factors: FloatArray = np.exp2(halvings, out=halvings)
    return factors
