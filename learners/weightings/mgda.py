"""The shortest vector in the gradients' convex hull: a direction in which no task gets worse."""

from __future__ import annotations

import numpy as np

from learners.weightings.weighting import Matrix, Present, Weighting, gradient_norms

_ITERATIONS = 500


class Mgda(Weighting):
    """MGDA (Desideri, 2012; Sener and Koltun, NeurIPS 2018, arXiv:1810.04650).

    w = v K n / n_k argmin over the simplex of |sum_k w_k g_k / n_k|, n the mean of the norms n_k: the shortest
    direction between gradients of unit length. With their own lengths, the rarest task's short gradient would take all.
    Values other than 1, and the bound, lead away from it.
    """

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        index = np.flatnonzero(present & (gradient_norms(gram) > 0.0))
        factors = np.ones(len(losses))
        if len(index):
            norms = gradient_norms(gram)[index]
            unit = gram[np.ix_(index, index)] / np.outer(norms, norms)
            factors[index] = min_norm(unit) * len(index) * norms.mean() / norms
        return factors

    def _because(self, task: int) -> str:
        return f"the shortest common direction takes {self._raw[task]:.2f} x the mean share of it"


def min_norm(gram: Matrix) -> Matrix:
    """(N,) the point of the simplex at which |sum_n w_n g_n| is least.

    For two vectors it is the closed form: w_1 = clip((g_2 - g_1) g_2 / |g_1 - g_2|^2, 0, 1). Else pairwise
    Frank-Wolfe with exact line search (Lacoste-Julien and Jaggi, NeurIPS 2015, arXiv:1511.05932): what one
    corner has too much goes to another.
    """
    N = len(gram)
    weights: Matrix = np.full(N, 1.0 / N)
    if N == 2:
        along = gram[1, 1] - gram[0, 1]
        across = gram[0, 0] + gram[1, 1] - 2.0 * gram[0, 1]
        first = float(np.clip(along / across, 0.0, 1.0)) if across > 0.0 else 0.5
        return np.array([first, 1.0 - first])
    for _ in range(_ITERATIONS):
        products = gram @ weights
        toward = int(products.argmin())
        away = int(np.where(weights > 0.0, products, -np.inf).argmax())
        gap = float(products[away] - products[toward])
        across = float(gram[toward, toward] + gram[away, away] - 2.0 * gram[toward, away])
        if gap <= 1e-9 * max(float(weights @ products), 1e-30) or across <= 0.0:
            break
        step = min(gap / across, float(weights[away]))
        weights[toward] += step
        weights[away] = max(weights[away] - step, 0.0)
    return weights
