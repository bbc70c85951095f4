"""Shared negatives: a uniform sample of the known items, and how likely a batch holds each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import FloatArray, IntArray
from learners.random_state import generator_array, restore_generator
from learners.row_table import RowTable
from learners.state_arrays import Arrays, grown
from learners.state_changes import CHANGED, LiveState, Marks, Table, whole

_REMEMBERED = 50_000.0  # targets after which half of what was counted is forgotten
_LEAST = 1e-6  # of an item that is known


class NegativeSampler:
    """Draws negatives and knows the logQ correction of targets and negatives alike.

    Frequencies follow the stream, as the correction asks for (Yi et al., RecSys 2019, "Sampling-bias-corrected neural
    modeling"): counts are halved each time that as many again have come.

    Args:
        negatives: How many a batch draws, shared by all its rows.
        rng: Source of the draws.
    """

    def __init__(self, negatives: int, rng: np.random.Generator) -> None:
        self._negatives = negatives
        self._rng = rng
        self._items, self._total = RowTable(counts=np.float64(0.0)), 0.0
        self._known: IntArray = np.zeros(0, np.int64)
        self._known_marks: Marks = np.zeros(16, np.uint8)

    @property
    def _counts(self) -> NDArray[np.float64]:
        return self._items["counts"]

    def learn_many(self, rows: IntArray) -> None:
        """Count targets: (B,) item rows."""
        if not len(rows):
            return
        self._items.ensure(int(rows.max()) + 1)
        self._items.mark(rows)
        new = np.unique(rows[self._counts[rows] == 0.0])
        np.add.at(self._counts, rows, 1.0)
        self._total += len(rows)
        if self._total > 2.0 * _REMEMBERED:
            self._halve()
        if len(new):
            before = len(self._known)
            self._known = np.concatenate([self._known, new])
            self._known_marks = grown(self._known_marks, len(self._known))
            self._known_marks[before : len(self._known)] = CHANGED

    def _halve(self) -> None:
        known = np.flatnonzero(self._counts > 0.0)
        self._counts[known] = np.maximum(0.5 * self._counts[known], _LEAST)
        self._items.mark(known)
        self._total = float(self._counts.sum())

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
        share = (share + 0.5) / max(self._total, 1.0)
        uniform = self._negatives / max(len(self._known), 1)
        expected: FloatArray = np.log(share * batch + uniform).astype(np.float32)
        return expected

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone."""
        self._total -= float(self._counts[rows[rows < len(self._counts)]].sum())
        self._items.forget(rows)
        self._known_marks[: len(self._known)] = CHANGED
        self._known = self._known[~np.isin(self._known, rows)]

    def live_state(self) -> LiveState:
        """Counts, known rows, and the state of the draws."""
        return {
            **self._items.live_state(),
            "known": Table(self._known, self._known_marks),
            "rng": generator_array(self._rng),
        }

    def state_dict(self) -> Arrays:
        """Counts, known rows, and the state of the draws, as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._items.load_state_dict(arrays)
        self._total = float(self._counts.sum())
        self._known = arrays["known"]
        self._known_marks = np.zeros(max(len(self._known), 16), np.uint8)
        restore_generator(self._rng, arrays["rng"])
