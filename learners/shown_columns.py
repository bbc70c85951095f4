"""What is kept of an impression until it is settled: what went into the heads, their logits, what these meant."""

from __future__ import annotations

import numpy as np

from learners.event_batch import FloatArray
from learners.pair_inputs import INPUTS
from learners.task_axes import Axis, Each, width

SHOWN: Axis = (*INPUTS, Each(fill=np.nan), Each(fill=0.5))
"""Axis R; of a task that was not there yet, what heads say that have learned nothing."""


class ShownColumns:
    """Where it stands, of K tasks.

    Args:
        tasks: K.
    """

    def __init__(self, tasks: int) -> None:
        self._known, self._tasks = width(INPUTS, tasks), tasks

    @property
    def width(self) -> int:
        """R, how many columns there are."""
        return width(SHOWN, self._tasks)

    def known(self, shown: FloatArray) -> FloatArray:
        """(L, R - 2 K) of (L, R): what goes into the heads."""
        return shown[:, : self._known]

    def logits(self, shown: FloatArray) -> FloatArray:
        """(L, K) of (L, R): the heads' logits, NaN of a task that had not been taught yet."""
        return shown[:, self._known : self._known + self._tasks]

    def foreseen(self, shown: FloatArray) -> FloatArray:
        """(L, K) of (L, R): what they mean."""
        return shown[:, self._known + self._tasks :]
