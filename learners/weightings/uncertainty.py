"""Weights by how noisy each task is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting


class UncertaintyWeighting(Weighting):
    """Homoscedastic uncertainty (Kendall, Gal and Cipolla, CVPR 2018, arXiv:1705.07115).

    With s_k = log sigma_k^2, learned beside the model, the loss is sum_k exp(-s_k) L_k / 2 + s_k / 2, so
    w_k = v_k exp(-s_k) / 2, and at rest sigma_k^2 = L_k: w_k = v_k / (2 sigma_k^2).

    Args:
        tasks: Axis K.
        seed: Not used.
        rate: Step size of s, a batch in which the task is present.
    """

    def __init__(self, tasks: Sequence[Task], seed: int = 0, rate: float = 0.02) -> None:
        super().__init__(tasks, seed)
        self._rate = rate
        self._log_variance: Matrix = np.zeros(len(self._names))

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        factors: Matrix = 0.5 * np.exp(-self._log_variance)
        # The gradient by s is (1 - exp(-s) L) / 2; a step is bounded, or one bad batch would throw s far off.
        slope = np.clip(0.5 - factors * losses, -1.0, 1.0)
        self._log_variance = np.where(present, self._log_variance - self._rate * slope, self._log_variance)
        return factors

    def _because(self, task: int) -> str:
        return f"its noise variance is taken to be {np.exp(self._log_variance[task]):.3f}"

    def _memory(self) -> Arrays:
        return {"log_variance": self._log_variance.copy()}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._log_variance = arrays["log_variance"].copy()
