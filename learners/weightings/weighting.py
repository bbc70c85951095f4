"""What every weighting is: the tasks' gradients' inner products and losses in, bounded coefficients and reasons out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays
from learners.task import Task
from learners.task_axes import BY_TASK, COUNTED, TaskAxes

_KIND = "kind"
_LAST = ("gram", "losses", "seen", "raw", "coefficients")

Matrix = NDArray[np.float64]
Present = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why one task counts as it does.

    Attributes:
        task: Its name.
        value: Its business value, where its weight begins.
        weight: What its gradient is multiplied by.
        coefficient: The same after conflicts were dealt with.
        norm: Of its gradient, in the last batch in which it had labels; NaN before.
        loss: Its loss there; NaN before.
        opposes: The task with which its gradient disagrees most, None where it disagrees with nobody.
        cosine: Between the two gradients; 0 where it disagrees with nobody.
        because: The method's reason, the end of a sentence.
    """

    task: str
    value: float
    weight: float
    coefficient: float
    norm: float
    loss: float
    opposes: str | None
    cosine: float
    because: str


class Weighting(ABC):
    """Turns the tasks' gradients' inner products and losses into coefficients.

    A method says by which factor each task counts (`_factors`), and may then combine the weighted gradients in
    another way than by their sum (`_combined`). What holds for all of them stands here: a task's business value
    multiplies its factor and is never undone; a factor lies between 1 / `bound` and `bound`; an absent task,
    or one of no value, gets 0; a factor that is no number counts as 1.

    Args:
        tasks: Axis K.
        seed: Of draws, where a method draws.
    """

    bound: ClassVar[float] = 8.0
    shared: ClassVar[frozenset[str]] = frozenset()
    """Names of what is remembered of all tasks together; of the rest the last axis is the tasks'."""

    def __init__(self, tasks: Sequence[Task], seed: int = 0) -> None:
        del seed
        self._names = [task.name for task in tasks]
        self._values: Matrix = np.array([task.value for task in tasks], np.float64)
        K = len(self._names)
        self.weights: Matrix = self._values.copy()
        """(K,) the present weights, for people to look at."""
        self._coefficients: Matrix = np.zeros(K)
        self._gram: Matrix = np.zeros((K, K))
        self._losses: Matrix = np.zeros(K)
        self._seen: Present = np.zeros(K, np.bool_)
        self._raw: Matrix = np.ones(K)

    def weigh(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        """The coefficient of each task's gradient.

        Args:
            gram: (K, K) inner products of the tasks' gradients.
            losses: (K,) the tasks' losses; those of absent tasks are not looked at.
            present: (K,) which tasks have labels in this batch; the others get 0.

        Returns:
            (K,) coefficients, finite.
        """
        counts = present & (self._values > 0.0)
        if not counts.any():
            return np.zeros(len(self._names))
        raw = self._factors(gram, losses, counts)
        raw = np.where(np.isfinite(raw), raw, 1.0)
        bounded = np.clip(raw, 1.0 / self.bound, self.bound)
        self.weights = np.where(counts, self._values * bounded, self.weights)
        combined = self._combined(gram, np.where(counts, self.weights, 0.0))
        coefficients: Matrix = np.where(counts & np.isfinite(combined), combined, 0.0)
        self._gram = _latest(gram, self._gram, counts)
        self._losses = np.where(counts, losses, self._losses)
        self._seen = self._seen | counts
        self._raw = np.where(counts, raw, self._raw)
        self._coefficients = np.where(counts, coefficients, self._coefficients)
        return coefficients

    def explain(self) -> list[Explanation]:
        """The latest reasons, one a task."""
        norms = gradient_norms(self._gram)
        cosines = relatedness(self._gram)
        np.fill_diagonal(cosines, 0.0)
        against = cosines.argmin(axis=1)
        explanations = []
        for k, name in enumerate(self._names):
            conflict = bool(cosines[k, against[k]] < 0.0)
            seen = bool(self._seen[k])
            explanations.append(
                Explanation(
                    task=name,
                    value=float(self._values[k]),
                    weight=float(self.weights[k]),
                    coefficient=float(self._coefficients[k]),
                    norm=float(norms[k]) if seen else float("nan"),
                    loss=float(self._losses[k]) if seen else float("nan"),
                    opposes=self._names[against[k]] if conflict else None,
                    cosine=float(cosines[k, against[k]]) if conflict else 0.0,
                    because=self._because(k) + self._bounded(k) if seen else "it has had no labels yet",
                )
            )
        return explanations

    def state_dict(self) -> Arrays:
        """What it has learned, and what it last did and why; and its name, since others may keep the same."""
        return {
            _KIND: self._kind,
            "weights": self.weights.copy(),
            **{f"last_{name}": getattr(self, f"_{name}").copy() for name in _LAST},
            **self._memory(),
        }

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        axes: TaskAxes = {
            name: {array.ndim - 1: BY_TASK}
            for name, array in self.state_dict().items()
            if name not in self.shared and name != _KIND
        }
        return {**axes, "last_gram": {0: COUNTED, 1: COUNTED}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved by another weighting.
        """
        told = {_KIND, *(f"last_{name}" for name in _LAST)}  # which earlier versions did not keep
        other = _KIND in arrays and not np.array_equal(arrays[_KIND], self._kind)
        if other or set(arrays) | told != set(self.state_dict()):
            raise ValueError(f"saved with another learner.weighting: it kept {', '.join(sorted(arrays))}")
        self.weights = arrays["weights"].copy()
        for name in _LAST:
            if f"last_{name}" in arrays:
                setattr(self, f"_{name}", arrays[f"last_{name}"].copy())
        self._remember(arrays)

    @property
    def _kind(self) -> NDArray[np.uint8]:
        return np.frombuffer(type(self).__name__.encode(), np.uint8).copy()

    @abstractmethod
    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        """(K,) by what each present task's value is multiplied; around 1. Bounds are not its business."""

    @abstractmethod
    def _because(self, task: int) -> str:
        """Why task number `task` has its factor: what completes "... because "."""

    def _combined(self, gram: Matrix, weights: Matrix) -> Matrix:
        """(K,) coefficients of the combined gradient; the weights, where gradients are simply added."""
        del gram
        return weights

    def _memory(self) -> Arrays:
        """What must survive a restart."""
        return {}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - most have nothing to remember
        """The inverse of `_memory`."""

    def _bounded(self, task: int) -> str:
        raw = float(self._raw[task])
        if raw > self.bound:
            return f" (bounded at {self.bound:g} x)"
        return f" (bounded at 1/{self.bound:g} x)" if raw < 1.0 / self.bound else ""


def _latest(gram: Matrix, before: Matrix, present: Present) -> Matrix:
    """The inner products of the tasks' latest gradients, at the angle at which two of them were last met together."""
    both = np.outer(present, present)
    norms = np.where(present, gradient_norms(gram), gradient_norms(before))
    latest: Matrix = np.where(both, relatedness(gram), relatedness(before)) * np.outer(norms, norms)
    return latest


def gradient_norms(gram: Matrix) -> Matrix:
    """(K,) norms of the gradients whose inner products are given."""
    norms: Matrix = np.sqrt(np.maximum(np.diag(gram), 0.0))
    return norms


def relatedness(gram: Matrix) -> Matrix:
    """(K, K) cosines between the tasks' gradients; 0 where a task has none."""
    norms = gradient_norms(gram)
    scale = np.outer(norms, norms)
    cosines: Matrix = np.divide(gram, scale, out=np.zeros_like(gram), where=scale > 0.0)
    return cosines
