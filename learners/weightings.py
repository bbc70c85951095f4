"""How much each task's gradient counts. One interface: a K x K Gram matrix in, K coefficients out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task

Matrix = NDArray[np.float64]


class Weighting(Protocol):
    """Turns the tasks' gradients' inner products into coefficients.

    Attributes:
        weights: (K,) the present weights, for people to look at.
    """

    weights: Matrix

    def weigh(self, gram: Matrix, present: NDArray[np.bool_]) -> Matrix:
        """The coefficient of each task's gradient.

        Args:
            gram: (K, K) inner products of the tasks' gradients.
            present: (K,) which tasks have labels in this batch; the others get 0.

        Returns:
            (K,) coefficients.
        """
        ...

    def state_dict(self) -> Arrays:
        """What it has learned."""
        ...

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        ...


class EqualWeighting:
    """Every task counts by its business value alone."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.weights = np.array([task.value for task in tasks])

    def weigh(self, gram: Matrix, present: NDArray[np.bool_]) -> Matrix:
        """See `Weighting`."""
        del gram
        return np.where(present, self.weights, 0.0)

    def state_dict(self) -> Arrays:
        """Nothing is learned."""
        return {}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `Weighting`."""
        del arrays


class BalancedWeighting:
    """Gradient norms drawn together within bounds, then conflicts projected out.

    w_k = v_k clip((mean norm / norm_k)^(1/2), 1/3, 3), norms as exponential averages over the batches in
    which the task had labels. Then PCGrad on the weighted gradients (Yu et al., 2020, arXiv:2001.06782):
    from g_i its part along every g_j with <g_i, g_j> < 0 is taken away. All of it needs only the Gram matrix,
    since the projected gradients stay in the span of the tasks' own.

    Args:
        tasks: Axis K; `value` multiplies and is never undone.
        decay: Memory of the norms' averages, per batch.
    """

    _BOUND = 3.0

    def __init__(self, tasks: Sequence[Task], decay: float = 0.99) -> None:
        self._values = np.array([task.value for task in tasks])
        self._decay = decay
        self._norms = np.zeros(len(tasks))
        self.weights = self._values.copy()

    def weigh(self, gram: Matrix, present: NDArray[np.bool_]) -> Matrix:
        """See `Weighting`."""
        norms = np.sqrt(np.maximum(np.diag(gram), 0.0))
        first = present & (self._norms == 0.0)
        rate = np.where(first, 0.0, self._decay)
        self._norms = np.where(present, rate * self._norms + (1.0 - rate) * norms, self._norms)
        seen = self._norms > 0.0
        if seen.any():
            ratio = self._norms[seen].mean() / self._norms[seen]
            balance = np.clip(np.sqrt(ratio), 1.0 / self._BOUND, self._BOUND)
            self.weights = self._values.copy()
            self.weights[seen] *= balance
        return project_conflicts(gram, np.where(present, self.weights, 0.0))

    def state_dict(self) -> Arrays:
        """The norms' averages."""
        return {"norms": self._norms.copy(), "weights": self.weights.copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `Weighting`."""
        self._norms = arrays["norms"].copy()
        self.weights = arrays["weights"].copy()


def project_conflicts(gram: Matrix, weights: Matrix) -> Matrix:
    """PCGrad's combined gradient, as coefficients of the tasks' own gradients.

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


def relatedness(gram: Matrix) -> Matrix:
    """(K, K) cosines between the tasks' gradients; 0 where a task has none."""
    norms = np.sqrt(np.maximum(np.diag(gram), 0.0))
    scale = np.outer(norms, norms)
    cosines: Matrix = np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0.0)
    return cosines


WEIGHTINGS: dict[str, type[EqualWeighting] | type[BalancedWeighting]] = {
    "equal": EqualWeighting,
    "balanced": BalancedWeighting,
}
