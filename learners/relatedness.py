"""How the tasks go together, while the stream passes: five (K, K) matrices, each from another side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray, Outcomes
from learners.state_arrays import Arrays
from learners.task_axes import COUNTED, TaskAxes

MEASURES = ("gradient", "label", "error", "information", "affinity")
"""Names of the matrices, in the order of `Relatedness.matrices`."""

_KEEP_STEPS = 0.99  # memory of gradients and affinities, per step in which both tasks are there
_HALF_LIFE = 20_000.0  # impressions, or rows

Matrix = NDArray[np.float64]


class Relatedness:
    """What K tasks have to do with each other.

    - `gradient`: the cosine of their gradients, smoothed: whether they pull the shared part the same way.
    - `label`: the correlation of their labels, over impressions that nothing more can come of and in which
      both took part. Labels themselves come one by one, so the impression, in the table of pending ones, is
      where they meet.
    - `error`: the correlation of what was foreseen minus what came, over rows in which both labels became
      known in the same step. These are mostly rows in which neither was answered.
    - `information`: the mutual information of their labels over the same impressions, in bits.
    - `affinity`: by how much of itself the loss of the task of the column falls after a step of the shared
      part along the gradient of the task of the row (the lookahead of Fifty et al., NeurIPS 2021,
      arXiv:2109.04617). Not symmetric.

    Sums are replaced and never changed, so a shallow copy stays as it is.

    Args:
        tasks: K.
    """

    def __init__(self, tasks: int) -> None:
        K = tasks
        self._gradient: Matrix = np.zeros((2, K, K))  # decayed sum and weight
        self._affinity: Matrix = np.zeros((2, K, K))
        self._tables: Matrix = np.zeros((4, K, K))  # impressions with yes-yes, yes-no, no-yes, no-no
        self._errors: Matrix = np.zeros((4, K, K))  # rows, sum of e_i, of e_i^2 and of e_i e_j

    def learn_gradients(self, cosines: FloatArray, present: BoolArray) -> None:
        """Take (K, K) cosines; (K,) says which tasks had a gradient."""
        self._gradient = _smoothed(self._gradient, cosines, np.outer(present, present))

    def learn_affinity(self, affinity: FloatArray) -> None:
        """Take (K, K) relative falls of losses, NaN where a task had no labels."""
        self._affinity = _smoothed(self._affinity, affinity, np.isfinite(affinity))

    def learn_outcomes(self, outcomes: Outcomes) -> None:
        """Take what came of impressions."""
        if not len(outcomes.labels):
            return
        yes = outcomes.labels.astype(np.float64)
        no = (outcomes.known & ~outcomes.labels).astype(np.float64)
        new = np.stack([yes.T @ yes, yes.T @ no, no.T @ yes, no.T @ no])
        self._tables = _faded(self._tables, new.sum(axis=0)) + new

    def learn_errors(self, errors: FloatArray, mask: BoolArray) -> None:
        """Take (L, K) errors; `mask` says which labels are known."""
        if not len(errors):
            return
        known = mask.astype(np.float64)
        e = np.where(mask, errors, 0.0).astype(np.float64)
        new = np.stack([known.T @ known, e.T @ known, (e * e).T @ known, e.T @ e])
        self._errors = _faded(self._errors, new[0]) + new

    @property
    def matrices(self) -> dict[str, FloatArray]:
        """(K, K) each by its name; NaN where nothing is known of two tasks."""
        n, total, square, product = self._errors
        counted = np.maximum(n, 1.0)
        variance = np.maximum(square / counted - (total / counted) ** 2, 0.0)
        covariance = product / counted - total * total.T / counted**2
        error = _divided(covariance, np.sqrt(variance * variance.T))
        both, first, second, neither = self._tables
        sides = (both + first) * (second + neither) * (both + second) * (first + neither)
        label = _divided(both * neither - first * second, np.sqrt(sides))
        found = (
            _divided(*self._gradient),
            label,
            error,
            mutual_information(self._tables),
            _divided(*self._affinity),
        )
        return {name: matrix.astype(np.float32) for name, matrix in zip(MEASURES, found, strict=True)}

    def state_dict(self) -> Arrays:
        """The sums."""
        return {
            "gradient": self._gradient.copy(),
            "affinity": self._affinity.copy(),
            "tables": self._tables.copy(),
            "errors": self._errors.copy(),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {name: {1: COUNTED, 2: COUNTED} for name in ("gradient", "affinity", "tables", "errors")}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._gradient, self._affinity = arrays["gradient"].copy(), arrays["affinity"].copy()
        self._tables, self._errors = arrays["tables"].copy(), arrays["errors"].copy()


def mutual_information(tables: Matrix) -> Matrix:
    """(K, K) bits that one label tells of the other; NaN where nothing was counted.

    Args:
        tables: (4, K, K) how often both said yes, only the first, only the second, neither.
    """
    total = tables.sum(axis=0)
    both, first, second, neither = _divided(tables, np.broadcast_to(total, tables.shape))
    bits = np.zeros_like(total)
    for joint, one, other in (
        (both, both + first, both + second),
        (first, both + first, first + neither),
        (second, second + neither, both + second),
        (neither, second + neither, first + neither),
    ):
        there = joint > 0.0
        ratio = np.where(there, joint, 1.0) / np.where(there, one * other, 1.0)
        bits += np.where(there, joint, 0.0) * np.log2(ratio)
    return np.where(total > 0.0, bits, np.nan)


def _smoothed(kept: Matrix, values: FloatArray, there: BoolArray) -> Matrix:
    keep = np.where(there, _KEEP_STEPS, 1.0)
    return keep * kept + np.where(there, np.stack([np.where(there, values, 0.0), np.ones_like(values)]), 0.0)


def _faded(sums: Matrix, count: Matrix) -> Matrix:
    faded: Matrix = sums * 0.5 ** (count / _HALF_LIFE)
    return faded


def _divided(above: Matrix, below: Matrix) -> Matrix:
    ratio: Matrix = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 1e-12)
    return ratio
