"""Weights by how slowly each task's loss falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting


class DynamicWeightAverage(Weighting):
    """DWA (Liu, Johns and Davison, CVPR 2019, arXiv:1803.10704).

    w_k = v_k K exp(r_k / T) / sum_j exp(r_j / T) with r_k = L_k(t - 1) / L_k(t - 2). A stream has no epochs:
    L_k(t) is the mean of the task's losses over a block of batches in which it was present.

    Args:
        tasks: Axis K.
        seed: Not used.
        block: Batches of a block.
        temperature: T.
    """

    def __init__(
        self, tasks: Sequence[Task], seed: int = 0, block: int = 50, temperature: float = 2.0
    ) -> None:
        super().__init__(tasks, seed)
        self._block, self._temperature = block, temperature
        K = len(self._names)
        self._sum: Matrix = np.zeros(K)
        self._count: Matrix = np.zeros(K)
        self._past: Matrix = np.full((2, K), np.nan)  # means of the last block and of the one before

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        ratio = np.divide(self._past[0], self._past[1], out=np.ones(len(losses)), where=self._past[1] > 0.0)
        scores = np.where(present, np.exp(np.clip(ratio, 0.0, 20.0) / self._temperature), 0.0)
        self._sum = np.where(present, self._sum + losses, self._sum)
        self._count += present
        full = self._count >= self._block
        means = self._sum / np.maximum(self._count, 1.0)
        self._past = np.where(full, np.stack([means, self._past[0]]), self._past)
        self._sum, self._count = np.where(full, 0.0, self._sum), np.where(full, 0.0, self._count)
        factors: Matrix = scores / scores.sum() * present.sum()
        return factors

    def _because(self, task: int) -> str:
        now, before = self._past[:, task]
        if not np.isfinite(before):
            return "two blocks of its losses are not there yet"
        return f"its loss went from {before:.3f} to {now:.3f}"

    def _memory(self) -> Arrays:
        return {"sum": self._sum.copy(), "count": self._count.copy(), "past": self._past.copy()}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._sum, self._count, self._past = (arrays[name].copy() for name in ("sum", "count", "past"))
