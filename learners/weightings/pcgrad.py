"""Conflicts between gradients are projected out."""

from __future__ import annotations

import numpy as np

from learners.weightings.weighting import Matrix, Present, Weighting, relatedness


class PcGrad(Weighting):
    """PCGrad (Yu et al., NeurIPS 2020, arXiv:2001.06782) on gradients that are multiplied by their tasks' values."""

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        return np.ones(len(losses))

    def _combined(self, gram: Matrix, weights: Matrix) -> Matrix:
        return project_conflicts(gram, weights)

    def _because(self, task: int) -> str:
        return conflicts_of(self._gram, task, self._names)


def project_conflicts(gram: Matrix, weights: Matrix) -> Matrix:
    """PCGrad's combined gradient, as coefficients of the tasks' own gradients.

    From g_i its part along every g_j with <g_i, g_j> < 0 is taken away. All of it needs only the Gram matrix,
    since the projected gradients stay in the span of the tasks' own. The paper takes the j in an order that it draws
    anew each time; here it is that of the tasks, so that the same gradients give the same step. Where three tasks or
    more are at odds, what comes of it depends on the order.

    Args:
        gram: (K, K) inner products.
        weights: (K,) what each gradient is multiplied by first.

    Returns:
        (K,) coefficients c, so that the combined gradient is sum_k c_k g_k.
    """
    K = len(weights)
    weighted = gram * np.outer(weights, weights)
    combined = np.zeros(K)
    for task in range(K):
        if weights[task] == 0.0:
            continue
        mine = np.zeros(K)  # my projected gradient, in units of the weighted gradients
        mine[task] = 1.0
        for other in range(K):
            norm = weighted[other, other]
            if other == task or norm <= 0.0:
                continue
            along = float(mine @ weighted[:, other])
            if along < 0.0:
                mine[other] -= along / norm
        combined += mine
    return combined * weights


def conflicts_of(gram: Matrix, task: int, names: list[str]) -> str:
    """Whom a task's gradient disagrees with, in words."""
    cosines = relatedness(gram)[task]
    against = [f"{names[n]} (cosine {cosine:.2f})" for n, cosine in enumerate(cosines) if cosine < 0.0]
    if not against:
        return "its gradient disagrees with nobody's"
    return "what opposes " + ", ".join(against) + " was projected out"
