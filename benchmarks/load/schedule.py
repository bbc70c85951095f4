"""When events are due, whatever the receiver does: an open loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def due_times(rate: float, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Moments of a Poisson process, seconds from its start.

    Nobody waits for an answer before the next event is due, so a receiver that stalls is asked on, and what was due
    meanwhile counts from when it was due (no coordinated omission).

    Args:
        rate: Events a second.
        duration_s: How long, seconds; as many events as come on average are due, `rate` times that.
        rng: Of the gaps.
    """
    count = max(round(rate * duration_s), 1)
    times = np.cumsum(rng.exponential(1.0 / rate, count))
    scaled: NDArray[np.float64] = times * (duration_s / times[-1])
    return scaled
