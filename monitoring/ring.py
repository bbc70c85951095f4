"""Rings: the latest of a stream, the n-th of which stands in slot n modulo the ring's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.int64]


def slots(taken: int, more: int, size: int) -> tuple[slice, Slots]:
    """Where more go.

    Args:
        taken: How many have gone in before.
        more: How many come.
        size: Of the ring.

    Returns:
        Which of them stay, and the slots of these.
    """
    stay = min(more, size)
    return slice(more - stay, None), np.arange(taken + more - stay, taken + more) % size


def moved(taken: int, before: int, size: int) -> tuple[Slots, Slots, int]:
    """From a ring of size `before`, into which so many have gone, to a ring of another size, of which no more fit.

    Returns:
        The slots where they were, the slots where they are, and how many have gone into the other ring.
    """
    numbers = np.arange(taken - min(taken, before, size), taken)
    first = 0 if before == size else numbers[0] if len(numbers) else taken
    return numbers % before, (numbers - first) % size, taken - int(first)
