"""Weights that somebody chose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting


class FixedWeighting(Weighting):
    """w_k = v_k a_k, with a_k the task's `weight` from the settings: for learning only, not for the slate.

    Whatever somebody chose is meant: it has no bounds, and a task of weight 0 teaches the shared part nothing.

    Args:
        tasks: Axis K.
        seed: Not used.
    """

    bound: ClassVar[float] = math.inf

    def __init__(self, tasks: Sequence[Task], seed: int = 0) -> None:
        super().__init__(tasks, seed)
        self._chosen: Matrix = np.array([task.weight for task in tasks], np.float64)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        return self._chosen

    def _because(self, task: int) -> str:
        return f"its weight is set to {self._chosen[task]:g} x its value"
