"""Exponential forgetting by half-lives, shared by every count."""

from __future__ import annotations

import math

from learners.compiled import compiled

_MAX_HALVINGS = 120.0  # float32 reaches zero there; beyond, exp2 would only underflow


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
    if halvings > _MAX_HALVINGS:
        return 0.0
    return math.exp2(-halvings)
