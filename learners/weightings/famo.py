"""Weights under which every task's loss falls at the same relative pace, from losses alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting

_LEAST_LOSS = 1e-6


class Famo(Weighting):
    """FAMO (Liu et al., NeurIPS 2023, arXiv:2306.03792).

    The step follows sum_k z_k grad log L_k with z = softmax(xi), so w_k = v_k K (z_k / L_k) / sum_j (z_j /
    L_j). Then xi goes down J' delta, with J the softmax's Jacobian and delta_k = log L_k(t) - log L_k(t + 1):
    a task that fell less than the others gains. The paper measures the second loss on the same batch after the
    step, which costs another pass; here it is the task's next smoothed loss.

    Args:
        tasks: Axis K.
        seed: Not used.
        rate: Step size of xi.
        forget: Decay of xi, per batch.
        decay: Memory of the smoothed losses, per batch in which a task is present.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        seed: int = 0,
        rate: float = 1.0,
        forget: float = 0.001,
        decay: float = 0.9,
    ) -> None:
        super().__init__(tasks, seed)
        self._rate, self._forget, self._decay = rate, forget, decay
        self._logits: Matrix = np.zeros(len(self._names))
        self._smooth: Matrix = np.full(len(self._names), np.nan)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        known = np.maximum(np.where(present, losses, 1.0), _LEAST_LOSS)
        new = present & np.isnan(self._smooth)
        before = np.where(new, known, self._smooth)
        after = np.where(present, self._decay * before + (1.0 - self._decay) * known, before)
        measured = present & ~new
        if measured.any():
            fell = np.where(measured, np.log(np.where(measured, before, 1.0)), 0.0)
            fell -= np.where(measured, np.log(np.where(measured, after, 1.0)), 0.0)
            share = _softmax(self._logits, present)
            slope = share * (fell - share @ fell)
            self._logits -= self._rate * (slope + self._forget * self._logits)
        self._smooth = np.where(present, after, self._smooth)
        pull = _softmax(self._logits, present) / np.maximum(np.where(present, after, 1.0), _LEAST_LOSS)
        factors: Matrix = pull / pull.sum() * present.sum()
        return factors

    def _because(self, task: int) -> str:
        share = _softmax(self._logits, ~np.isnan(self._smooth))
        return f"its loss is {self._smooth[task]:.3f} and its share of the common pace {share[task]:.2f}"

    def _memory(self) -> Arrays:
        return {"logits": self._logits.copy(), "smooth": self._smooth.copy()}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._logits, self._smooth = arrays["logits"].copy(), arrays["smooth"].copy()


def _softmax(logits: Matrix, present: Present) -> Matrix:
    exponent = np.where(present, np.exp(logits - logits.max()), 0.0)
    shares: Matrix = exponent / exponent.sum()
    return shares
