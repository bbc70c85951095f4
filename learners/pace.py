"""How much of a large step is learned by gradients. Steps are large where the worker is behind, or is about to be.

Events that come while a step lasts wait for the next one, so the size of steps says how busy a worker is: at half of
what it can do a step has some dozens of events, near the limit hundreds. What is learned by counting costs little and
is learned from everything; of what is learned by gradients a smaller share is enough for a while. A share of the
examples that does not depend on their labels leaves every rate as it is, so nothing has to be corrected.
"""

from __future__ import annotations

import numpy as np

from learners.event_batch import IntArray

_LARGER_STEPS = 4


def share_of(count: int, at_once: int, least: float) -> float:
    """The share of `count` examples of one step that is learned: all of `at_once`, and at least `least` of more."""
    return 1.0 if count <= at_once else max(least, at_once / count)


def spread(count: int, share: float, begun: float) -> IntArray:
    """Which of `count` examples make up a share, evenly spread, where `begun` came before."""
    numbers = begun + np.arange(count, dtype=np.float64)
    return np.flatnonzero(np.floor((numbers + 1) * share) > np.floor(numbers * share))


def gradient_steps(whole: int) -> int:
    """How many steps to take where there are examples for `whole` of them: then each is of up to four times as many."""
    return -(-whole // _LARGER_STEPS)
