"""What the heads take in of a user and an item beside their vectors: counts, and how often both were answered.

Labels are foreseen from what was known when their item was shown, slates from what is known now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.candidates import CandidateRetrieval
from learners.counts.counts import Counts
from learners.event_batch import EventBatch, FloatArray, Histories, IntArray
from learners.features import COUNTS, NAMES, PAIR_FEATURES, ranking_features
from learners.label_rates import LabelRates
from learners.standardiser import Standardiser
from learners.state_arrays import Arrays
from learners.state_changes import LiveState


class PairInputs:
    """Counts and label rates of users and items.

    Args:
        tasks: K.
        retrieval: Describes items by the transitions that lead to them.
        counts: Everything that is counted.
        standardiser: Of the ranker's features.
    """

    def __init__(
        self, tasks: int, retrieval: CandidateRetrieval, counts: Counts, standardiser: Standardiser
    ) -> None:
        self._tasks = tasks
        self._retrieval, self._of, self._standardiser = retrieval, counts, standardiser
        self._rates = LabelRates(tasks)

    def describe(self, histories: Histories, sequence: IntArray, items: IntArray) -> FloatArray:
        """(B, R) see `Learner.describe`: counts, then label rates."""
        none = np.zeros((len(items), 1), np.float32)
        counts = self._counts(histories, sequence, items, none)[:, :COUNTS]
        return np.concatenate([counts, self._rates_of(histories, sequence, items)], axis=1)

    def features(self, batch: EventBatch, rows: IntArray, neural: FloatArray) -> FloatArray:
        """(L, F) the ranker's features for rows' own items, as they were shown; as they are where nobody kept them.

        Args:
            batch: The batch.
            rows: (L,) rows.
            neural: (L, 1) the neural model's scores.
        """
        if not _is_kept(batch):
            return self._counts(batch.histories, batch.sequence[rows], batch.item_rows[rows], neural)
        assert batch.shown is not None
        features = np.zeros((len(rows), len(NAMES)), np.float32)
        features[:, :COUNTS], features[:, COUNTS] = batch.shown[rows, :COUNTS], neural[:, 0]
        return features

    def of_labels(self, batch: EventBatch, rows: IntArray, features: FloatArray) -> FloatArray:
        """(L, PAIR_FEATURES + R) what the heads take in for rows with labels (L,), given their features (L, F)."""
        if not _is_kept(batch):
            return self.of_slates(batch.histories, batch.sequence[rows], batch.item_rows[rows], features)
        assert batch.shown is not None
        return self._scaled(features, batch.shown[rows, COUNTS:])

    def of_slates(
        self, histories: Histories, sequence: IntArray, items: IntArray, features: FloatArray
    ) -> FloatArray:
        """(N, PAIR_FEATURES + R) the same for items (N,) and the users of sequences (N,), as of now."""
        return self._scaled(features, self._rates_of(histories, sequence, items))

    def learn_many(self, batch: EventBatch, rows: IntArray) -> None:
        """Count the labels of rows (L,)."""
        users = batch.histories.users
        if not len(rows):
            return
        sequence, mask = batch.sequence[rows], batch.label_mask[rows]
        late = np.zeros_like(mask) if batch.late is None else batch.late[rows]
        self._rates.learn_many(
            users[sequence],
            batch.item_rows[rows],
            batch.labels[rows],
            mask,
            late,
            batch.histories.now_s[sequence],
        )

    def forget(self, users: IntArray | None = None, items: IntArray | None = None) -> None:
        """Users or items that are gone."""
        self._rates.forget(users, items)

    def live_state(self) -> LiveState:
        """The label rates; the counts belong to others."""
        return self._rates.live_state()

    def state_dict(self) -> Arrays:
        """The label rates as arrays."""
        return self._rates.state_dict()

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._rates.load_state_dict(arrays)

    def _scaled(self, features: FloatArray, rates: FloatArray) -> FloatArray:
        return np.concatenate([self._standardiser.transform(features)[:, :PAIR_FEATURES], rates], axis=1)

    def _counts(
        self, histories: Histories, sequence: IntArray, items: IntArray, neural: FloatArray
    ) -> FloatArray:
        """(N, F) as of now."""
        if not len(items):
            return np.zeros((0, len(NAMES)), np.float32)
        described = self._retrieval.describe(histories, sequence, items)
        return ranking_features(described, histories.take(sequence), self._of, neural)[:, 0]

    def _rates_of(self, histories: Histories, sequence: IntArray, items: IntArray) -> FloatArray:
        """(N, R) as of now."""
        return self._rates.describe(histories.users[sequence], items, histories.now_s[sequence])


def _is_kept(batch: EventBatch) -> bool:
    return batch.shown is not None and batch.shown.shape[1] > 0
