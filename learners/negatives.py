"""Shared negatives: a uniform sample of the known items, and how likely a batch holds each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import FloatArray, IntArray
from learners.random_state import generator_array, restore_generator
from learners.state_arrays import Arrays, grown


class NegativeSampler:
    """Draws negatives and knows the logQ correction of targets and negatives alike.

    Args:
        negatives: How many a batch draws, shared by all its rows.
        rng: Source of the draws.
    """

    def __init__(self, negatives: int, rng: np.random.Generator) -> None:
        self._negatives = negatives
        self._rng = rng
        self._counts = np.zeros(16)
        self._known: IntArray = np.zeros(0, np.int64)

    def learn_many(self, rows: IntArray) -> None:
        """Count targets: (B,) item rows."""
        if not len(rows):
            return
        self._counts = grown(self._counts, int(rows.max()) + 1)
        new = np.unique(rows[self._counts[rows] == 0.0])
        np.add.at(self._counts, rows, 1.0)
        if len(new):
            self._known = np.concatenate([self._known, new])

    def sample(self) -> IntArray:
        """Uniform over the known items, with repetition; empty while none is known."""
        if not len(self._known):
            return self._known
        return self._known[self._rng.integers(0, len(self._known), self._negatives)]

    def log_expected(self, rows: IntArray, batch: int) -> FloatArray:
        """Logarithm of how often a sample holds each item: as a target of the batch, or as a negative.

        Args:
            rows: (C,) item rows.
            batch: T, targets in the batch.
        """
        share = np.zeros(len(rows))
        inside = rows < len(self._counts)
        share[inside] = self._counts[rows[inside]]
        share = (share + 0.5) / max(self._counts.sum(), 1.0)
        uniform = self._negatives / max(len(self._known), 1)
        expected: FloatArray = np.log(share * batch + uniform).astype(np.float32)
        return expected

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        self._counts[rows[rows < len(self._counts)]] = 0.0
        self._known = self._known[~np.isin(self._known, rows)]

    def state_dict(self) -> Arrays:
        """Counts, known rows, and the state of the draws."""
        return {
            "counts": self._counts.copy(),
            "known": self._known.copy(),
            "rng": generator_array(self._rng),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._counts = arrays["counts"].copy()
        self._known = arrays["known"].copy()
        restore_generator(self._rng, arrays["rng"])
