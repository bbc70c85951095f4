"""Histories that were kept at one length, laid out for another: the newest that fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray


def carried_over(column: NDArray[Any], remembered: IntArray, length: int, empty: int) -> NDArray[Any]:
    """One column of rings of R slots as rings of `length` slots.

    History event number n of a user stands in slot n mod R.

    Args:
        column: (N, R, ...) what is kept.
        remembered: (N,) how many events the users' histories have had.
        length: Slots of the new rings.
        empty: What stands in a slot that holds nothing; an event that was not kept any more stays away.

    Returns:
        (N, length, ...).
    """
    R = column.shape[1]
    carried = np.full((len(column), length, *column.shape[2:]), empty, column.dtype)
    for back in range(1, min(R, length) + 1):
        number = remembered - back
        rows = np.flatnonzero(number >= 0)
        carried[rows, number[rows] % length] = column[rows, number[rows] % R]
    return carried
