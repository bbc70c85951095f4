"""Weights by lot: what every other method has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learners.random_state import generator_array, restore_generator
from learners.state_arrays import Arrays
from learners.task import Task
from learners.weightings.weighting import Matrix, Present, Weighting


class RandomWeighting(Weighting):
    """Random loss weighting (RLW; Lin et al., TMLR 2022, arXiv:2111.10603).

    Each batch draws z ~ N(0, I) over the present tasks and takes w_k = v_k K softmax(z)_k.

    Args:
        tasks: Axis K.
        seed: Of the draws.
    """

    shared: ClassVar[frozenset[str]] = frozenset({"rng"})

    def __init__(self, tasks: Sequence[Task], seed: int = 0) -> None:
        super().__init__(tasks, seed)
        self._rng = np.random.default_rng(seed)

    def _factors(self, gram: Matrix, losses: Matrix, present: Present) -> Matrix:
        drawn = np.where(present, np.exp(self._rng.standard_normal(len(losses))), 0.0)
        shared: Matrix = drawn / drawn.sum() * present.sum()
        return shared

    def _because(self, task: int) -> str:
        return f"the lot gave it {self._raw[task]:.2f}"

    def _memory(self) -> Arrays:
        return {"rng": generator_array(self._rng)}

    def _remember(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        restore_generator(self._rng, arrays["rng"])
