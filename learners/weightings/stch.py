"""Weights that attend to the task that is worst off, smoothly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting


class SmoothTchebycheff(Weighting):
    """Smooth Tchebycheff scalarisation (STCH; Lin et al., ICML 2024, arXiv:2402.19078).

    The gradient of mu log sum_k exp(x_k / mu) is sum_k softmax(x / mu)_k grad x_k, so w_k = v_k K softmax(x /
    mu)_k; as mu -> 0 only the largest counts. x_k is the task's loss relative to its slow average, since a
    rare task's loss is small whatever happens.

    Args:
        tasks: Axis K.
        seed: Not used.
        mu: Smoothness.
        decay: Memory of the slow average; the loss itself is smoothed ten times as quickly.
    """

    def __init__(self, tasks: Sequence[Task], seed: int = 0, mu: float = 0.2, decay: float = 0.998) -> None:
        super().__init__(tasks, seed)
        self._mu = mu
        self._keep = np.array([[decay], [1.0 - 10.0 * (1.0 - decay)]])
        self._averages: Matrix = np.full((2, len(self._names)), np.nan)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        new = np.isnan(self._averages)
        moved = np.where(new, losses, self._keep * self._averages + (1.0 - self._keep) * losses)
        self._averages = np.where(present, moved, self._averages)
        relative = np.where(present, self._averages[1] / np.maximum(self._averages[0], 1e-12), 0.0)
        factors: Matrix = smooth_maximum_weights(relative, self._mu, present) * present.sum()
        return factors

    def _because(self, task: int) -> str:
        slow, quick = self._averages[:, task]
        return f"its loss is {quick / max(float(slow), 1e-12):.2f} x its average"

    def _memory(self) -> Arrays:
        return {"averages": self._averages.copy()}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._averages = arrays["averages"].copy()


def smooth_maximum_weights(losses: Matrix, mu: float, present: Present) -> Matrix:
    """(K,) the gradient of mu log sum_k exp(L_k / mu) by the present losses; sums to one."""
    scaled = np.where(present, losses, -np.inf) / mu
    exponent = np.exp(scaled - scaled.max())
    weights: Matrix = exponent / exponent.sum()
    return weights
