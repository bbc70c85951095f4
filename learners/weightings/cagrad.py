"""Near the mean gradient, the direction whose worst task gains most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting

_ITERATIONS = 60


class CaGrad(Weighting):
    """CAGrad (Liu et al., NeurIPS 2021, arXiv:2110.14048).

    d maximises min_k <g_k, d> within |d - g_0| <= c |g_0|, g_0 the mean gradient: d = g_0 + c |g_0| / |g_w|
    g_w, with w the point of the simplex that minimises <g_w, g_0> + c |g_0| |g_w|. Divided by 1 + c, so that
    tasks that agree count 1.

    Args:
        tasks: Axis K.
        seed: Not used.
        c: How far from the mean gradient, in [0, 1).
    """

    def __init__(self, tasks: Sequence[Task], seed: int = 0, c: float = 0.4) -> None:
        super().__init__(tasks, seed)
        self._c = c

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        index = np.flatnonzero(present)
        factors = np.ones(len(losses))
        factors[index] = conflict_averse(gram[np.ix_(index, index)], self._c) * len(index) / (1.0 + self._c)
        return factors

    def _because(self, task: int) -> str:
        return f"the task that gains least asks for {self._raw[task]:.2f} x the mean gradient's share"


def conflict_averse(gram: Matrix, c: float) -> Matrix:
    """(N,) coefficients of CAGrad's direction, by exponentiated gradient on the simplex."""
    N = len(gram)
    mean = np.full(N, 1.0 / N)
    scale = float(np.trace(gram)) / N
    if scale <= 0.0:
        return mean
    unit = gram / scale
    with_mean = unit @ mean
    radius = c * float(np.sqrt(max(mean @ with_mean, 0.0)))
    weights = mean.copy()
    best, best_value = weights, np.inf
    for iteration in range(_ITERATIONS):
        products = unit @ weights
        length = float(np.sqrt(max(weights @ products, 1e-12)))
        value = float(weights @ with_mean) + radius * length
        if value < best_value:
            best, best_value = weights, value
        slope = with_mean + radius * products / length
        moved = weights * np.exp(-(slope - slope.min()) / (1.0 + 0.2 * iteration))
        weights = moved / moved.sum()
    length = float(np.sqrt(max(best @ unit @ best, 1e-12)))
    direction: Matrix = mean + radius / length * best
    return direction
