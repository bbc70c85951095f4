"""Gradient norms drawn together within bounds, then conflicts projected out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.pcgrad import conflicts_of, project_conflicts
from learners.weightings.weighting import Matrix, Present, Weighting, gradient_norms, relatedness


class BalancedWeighting(Weighting):
    """w_k = v_k clip((mean norm / norm_k)^(1/2), 1/3, 3), then PCGrad on the weighted gradients.

    Norms are exponential averages over the batches in which the task had labels.

    Args:
        tasks: Axis K.
        seed: Not used.
        decay: Memory of the norms' averages, per batch.
    """

    bound: ClassVar[float] = 3.0

    def __init__(self, tasks: Sequence[Task], seed: int = 0, decay: float = 0.99) -> None:
        super().__init__(tasks, seed)
        self._decay = decay
        self._norms: Matrix = np.zeros(len(self._names))

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        rate = np.where(present & (self._norms == 0.0), 0.0, self._decay)
        self._norms = np.where(present, rate * self._norms + (1.0 - rate) * gradient_norms(gram), self._norms)
        seen = self._norms > 0.0
        factors = np.ones(len(losses))
        if seen.any():
            factors[seen] = np.sqrt(self._norms[seen].mean() / self._norms[seen])
        return factors

    def _combined(self, gram: Matrix, weights: Matrix) -> Matrix:
        return project_conflicts(gram, weights)

    def _because(self, task: int) -> str:
        seen = self._norms > 0.0
        ratio = self._norms[task] / self._norms[seen].mean() if seen.any() else 1.0
        reason = f"its gradient norm is {ratio:.2f} x the mean"
        if (relatedness(self._gram)[task] < 0.0).any():
            reason += ", and " + conflicts_of(self._gram, task, self._names)
        return reason

    def _memory(self) -> Arrays:
        return {"norms": self._norms.copy()}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._norms = arrays["norms"].copy()
