"""From what the heads say to probabilities that come true: two numbers a task, learned while the stream passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray
from learners.state_arrays import Arrays
from learners.task_axes import BY_TASK, TaskAxes

_HALF_LIFE = 4_000.0  # labels
_PRIOR = np.diag([40.0, 8.0])  # what slope 1 and shift 0 are worth, in units of p (1 - p) x x'
_MOST_LOGIT = 15.0
_SLOPES = (0.3, 2.0)
_SHIFTS = (-3.0, 3.0)


class OnlineCalibration:
    """Platt's scaling (Platt, 1999), p = sigmoid(a z + b), by an online Newton step with forgetting.

    The step is that of Hazan et al. (Machine Learning, 2007) for the logistic loss: with x = (z, 1) and H the
    decayed sum of p (1 - p) x x', (a, b) -= (H + prior)^-1 sum (p - y) x. It begins at a = 1, b = 0 and is
    held there by the prior until labels of both kinds say otherwise. Learned from what was said before the
    label was learned, so an overconfident model is found out.

    Args:
        tasks: K.
    """

    def __init__(self, tasks: int) -> None:
        self._scale = np.tile([1.0, 0.0], (tasks, 1))
        self._information = np.zeros((tasks, 2, 2))
        self.hurry = np.ones(tasks)
        """(K,) how many times as quickly it forgets."""

    @property
    def scale(self) -> NDArray[np.float64]:
        """(K, 2) slope a and shift b."""
        return self._scale.copy()

    def apply(self, logits: FloatArray) -> FloatArray:
        """(..., K) logits to (..., K) probabilities."""
        z = np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)
        probability: FloatArray = (1.0 / (1.0 + np.exp(-(z * self._scale[:, 0] + self._scale[:, 1])))).astype(
            np.float32
        )
        return probability

    def learn_many(
        self, logits: FloatArray, labels: FloatArray, mask: BoolArray, weight: FloatArray | float = 1.0
    ) -> None:
        """Follow labels.

        Args:
            logits: (L, K) what was said.
            labels: (L, K) what came.
            mask: (L, K) which labels are known.
            weight: (L, K) what each counts.
        """
        there: BoolArray = np.logical_and(mask, np.isfinite(logits))
        if not there.any():
            return
        z = np.where(there, np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT), 0.0).astype(np.float64)
        p = self.apply(z.astype(np.float32)).astype(np.float64)
        counts = np.where(there, weight, 0.0)
        error = counts * (p - labels)
        curve = counts * p * (1.0 - p)
        slope = np.stack([(error * z).sum(axis=0), error.sum(axis=0)], axis=1)  # (K, 2)
        cross = (curve * z).sum(axis=0)
        seen = np.stack([(curve * z * z).sum(axis=0), cross, cross, curve.sum(axis=0)], axis=1)
        keep = 0.5 ** (self.hurry * there.sum(axis=0) / _HALF_LIFE)
        self._information = keep[:, None, None] * self._information + seen.reshape(-1, 2, 2)
        pull = (1.0 - keep)[:, None] * ((self._scale - [1.0, 0.0]) @ _PRIOR)
        step = np.linalg.solve(self._information + _PRIOR, (slope + pull)[:, :, None])[:, :, 0]
        learned: BoolArray = np.asarray(there.any(axis=0))
        moved = self._scale - step * learned[:, None]
        self._scale = np.stack([moved[:, 0].clip(*_SLOPES), moved[:, 1].clip(*_SHIFTS)], axis=1)

    def state_dict(self) -> Arrays:
        """Slopes, shifts and what is known of them."""
        return {"scale": self._scale.copy(), "information": self._information.copy()}

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {"scale": {0: BY_TASK}, "information": {0: BY_TASK}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._scale, self._information = arrays["scale"].copy(), arrays["information"].copy()
