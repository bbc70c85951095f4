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
from learners.features import PAIR_FEATURES, ranking_features
from learners.item_facts import ItemFacts
from learners.label_rates import RATES, LabelRates
from learners.standardiser import Standardiser
from learners.state_arrays import Arrays
from learners.state_changes import LiveState
from learners.task_axes import Axis, Rest, TaskAxes, width

INPUTS: Axis = (Rest(PAIR_FEATURES), *RATES)
"""Axis R."""


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

    @property
    def width(self) -> int:
        """R, numbers of a pair: counts, then label rates."""
        return width(INPUTS, self._tasks)

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, neural: FloatArray
    ) -> FloatArray:
        """(N, R) what is known of items (N,) and the users of sequences (N,) now, given neural scores (N,)."""
        if not len(items):
            return np.zeros((0, self.width), np.float32)
        described = self._retrieval.describe(histories, sequence, items)
        rows = histories.take(sequence)
        facts = ItemFacts.of(described.rows, rows.now_s, self._of)
        features = ranking_features(described, facts, rows, self._of, neural[:, None])[:, 0]
        return self.with_rates(histories, sequence, items, features)

    def with_rates(
        self, histories: Histories, sequence: IntArray, items: IntArray, features: FloatArray
    ) -> FloatArray:
        """(N, R) the same where the ranker's features (N, F) are there already."""
        rates = self._rates.describe(histories.users, items, histories.now_s, sequence)
        return np.concatenate([features[:, :PAIR_FEATURES], rates], axis=1)

    def scaled(self, known: FloatArray) -> FloatArray:
        """(N, R) as the heads take in what is known (N, R)."""
        features = self._standardiser.transform(known[:, :PAIR_FEATURES])
        return np.concatenate([features, known[:, PAIR_FEATURES:]], axis=1)

    def learn_scale(self, known: FloatArray) -> None:
        """Follow (N, R) rows in what is usual."""
        self._standardiser.learn_many(known[:, :PAIR_FEATURES])  # the others are the ranker's alone

    def learn_many(self, batch: EventBatch, rows: IntArray) -> None:
        """Count the labels of rows (L,)."""
        users = batch.histories.users
        if not len(rows):
            return
        sequence = batch.sequence[rows]
        self._rates.learn_many(
            users[sequence],
            batch.item_rows[rows],
            batch.labels[rows],
            batch.label_mask[rows],
            batch.late_labels(rows),
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

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return self._rates.task_axes

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._rates.load_state_dict(arrays)
