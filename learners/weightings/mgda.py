"""The shortest vector in the gradients' convex hull: a direction in which no task gets worse."""

from __future__ import annotations

import numpy as np

from learners.weightings.weighting import Matrix, Present, Weighting, gradient_norms

_ITERATIONS = 60


class Mgda(Weighting):
    """MGDA (Desideri, 2012; Sener and Koltun, NeurIPS 2018, arXiv:1810.04650).

    w = v K argmin over the simplex of |sum_k w_k g_k / n_k|, with gradients of unit length: with their own
    lengths, the rarest task's short gradient would take all.
    """

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        index = np.flatnonzero(present & (gradient_norms(gram) > 0.0))
        factors = np.ones(len(losses))
        if len(index):
            norms = gradient_norms(gram)[index]
            unit = gram[np.ix_(index, index)] / np.outer(norms, norms)
            factors[index] = min_norm(unit) * len(index)
        return factors

    def _because(self, task: int) -> str:
        return f"the shortest common direction takes {self._raw[task]:.2f} x the mean share of it"


def min_norm(gram: Matrix) -> Matrix:
    """(N,) the point of the simplex at which |sum_n w_n g_n| is least, by Frank-Wolfe with exact line search.

    For two vectors it is the closed form: w_1 = clip((g_2 - g_1) g_2 / |g_1 - g_2|^2, 0, 1).
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
        corner = int(products.argmin())
        own = float(weights @ products)
        gap = own - float(products[corner])
        across = own - 2.0 * float(products[corner]) + float(gram[corner, corner])
        if gap <= 1e-10 * max(own, 1e-30) or across <= 0.0:
            break
        step = min(max(gap / across, 0.0), 1.0)
        weights *= 1.0 - step
        weights[corner] += step
    return weights
