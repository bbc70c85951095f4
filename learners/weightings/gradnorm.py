"""Weights that are learned until the weighted gradients are as long as the tasks' progress asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting, gradient_norms

_FIRST = 50.0  # batches whose mean loss is the loss at first


class GradNorm(Weighting):
    """GradNorm (Chen et al., ICML 2018, arXiv:1711.02257).

    With n_k the gradient's norm and r_k = (L_k / L_k(0)) / mean_j (L_j / L_j(0)), the weights follow the
    gradient of sum_k |w_k n_k - mean_j(w_j n_j) r_k^alpha|, the right-hand part held constant, and keep their
    sum. Norms and losses are smoothed, and norms taken relative to their mean, so that the step size needs no
    tuning to their scale.

    Args:
        tasks: Axis K.
        seed: Not used.
        alpha: How much slower tasks are favoured; 0 makes the weighted norms equal.
        rate: Step size.
        decay: Memory of the averages, per batch in which a task is present.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        seed: int = 0,
        alpha: float = 0.5,
        rate: float = 0.02,
        decay: float = 0.95,
    ) -> None:
        super().__init__(tasks, seed)
        self._alpha, self._rate, self._decay = alpha, rate, decay
        K = len(self._names)
        self._learned: Matrix = np.ones(K)
        self._norms: Matrix = np.zeros(K)
        self._smooth: Matrix = np.zeros(K)
        self._first: Matrix = np.zeros(K)
        self._batches: Matrix = np.zeros(K)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        # L_k(0) is a mean too: one batch would be remembered for ever, and may be of one label.
        early = present & (self._batches < _FIRST)
        self._batches += present
        share = 1.0 / np.maximum(self._batches, 1.0)
        self._first = np.where(early, self._first + share * (losses - self._first), self._first)
        keep = np.where(self._batches <= 1.0, 0.0, self._decay)
        self._norms = np.where(present, keep * self._norms + (1.0 - keep) * gradient_norms(gram), self._norms)
        self._smooth = np.where(present, keep * self._smooth + (1.0 - keep) * losses, self._smooth)
        seen = self._norms > 0.0
        if seen.sum() > 1:
            norms = self._norms[seen] / self._norms[seen].mean()
            progress = self._smooth[seen] / np.maximum(self._first[seen], 1e-12)
            pace = progress / max(float(progress.mean()), 1e-12)
            weighted = self._learned[seen] * norms
            slope = np.sign(weighted - weighted.mean() * pace**self._alpha) * norms
            moved = self._learned[seen] - self._rate * np.clip(slope, -1.0, 1.0)
            moved = np.clip(moved, 1.0 / self.bound, self.bound)
            self._learned[seen] = moved / moved.mean()
        return self._learned.copy()

    def _because(self, task: int) -> str:
        seen = self._norms > 0.0
        ratio = self._norms[task] / self._norms[seen].mean() if seen.any() else 1.0
        progress = self._smooth[task] / max(float(self._first[task]), 1e-12)
        return f"its gradient norm is {ratio:.2f} x the mean and its loss {progress:.2f} x that at first"

    def _memory(self) -> Arrays:
        return {
            "learned": self._learned.copy(),
            "norms": self._norms.copy(),
            "smooth": self._smooth.copy(),
            "first": self._first.copy(),
            "batches": self._batches.copy(),
        }

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._learned, self._norms, self._smooth, self._first, self._batches = (
            arrays[name].copy() for name in ("learned", "norms", "smooth", "first", "batches")
        )
