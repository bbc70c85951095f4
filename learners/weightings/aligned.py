"""Gradients turned until none dominates and none conflicts."""

from __future__ import annotations

import math

import numpy as np

from learners.weightings.weighting import Matrix, Present, Weighting, gradient_norms

_RANK_TOLERANCE = 1e-6


class AlignedMtl(Weighting):
    """Aligned-MTL (Senushkin et al., CVPR 2023, arXiv:2305.19000).

    With G' G = V S V' the aligned gradients G B, B = sqrt(s_min) V S^(-1/2) V', are orthogonal and equally
    long: their condition number is 1. Their sum, each times its task's value, has the coefficients B v; s_min
    is the least singular value that is not zero. Since the shortest gradient would then stop all others, the
    sum is scaled to the length that the weighted gradients would have if they were orthogonal from the start.
    """

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        return np.ones(len(losses))

    def _combined(self, gram: Matrix, weights: Matrix) -> Matrix:
        index = np.flatnonzero(weights > 0.0)
        combined = np.zeros(len(weights))
        small = gram[np.ix_(index, index)]
        turned: Matrix = aligning(small) @ weights[index]
        length = math.sqrt(max(float(turned @ small @ turned), 0.0))
        wanted = float(np.linalg.norm(weights[index] * gradient_norms(small)))
        combined[index] = turned * (wanted / length if length > 0.0 else 1.0)
        return combined

    def _because(self, task: int) -> str:
        return f"the aligned directions hold {self._coefficients[task]:.2f} of its gradient"


def aligning(gram: Matrix) -> Matrix:
    """(N, N) the matrix B for which the gradients' combinations G B have the Gram matrix s_min I on their span."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > _RANK_TOLERANCE * max(float(values[-1]), 1e-300)
    if not kept.any():
        return np.eye(len(gram))
    span = vectors[:, kept]
    aligned: Matrix = float(np.sqrt(values[kept].min())) * (span / np.sqrt(values[kept])) @ span.T
    return aligned
