"""k-fold distributed progressive validation: what stands in for cross-validation on a stream.

Bifet et al., "Efficient Online Evaluation of Big Data Stream Classifiers", KDD 2015: k learners read the same
stream; each example tests one of them and teaches the others, so that every learner's figure rests on its own
examples and on another training set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, EventBatch, FloatArray, Histories, IntArray
from learners.known_item import KnownItem
from learners.learner import Learner, Lesson, Predictions, Slates
from learners.state_arrays import Arrays
from learners.state_changes import LiveState
from learners.task_axes import Axis
from learners.task_map import TaskMap
from learners.weightings.weighting import Explanation
from stream.evaluation.protocol import Ints, Protocol


class WithholdingLearner:
    """A learner that predicts everything and learns only what it may. See `learners.learner.Learner`.

    Attributes:
        may_learn: Whether the next lessons are passed on.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self.tasks = learner.tasks
        self.version = learner.version
        self.step = learner.step
        self.may_learn = True

    @property
    def answered(self) -> BoolArray:
        """See `Learner`."""
        return self._learner.answered

    @property
    def evictions(self) -> Mapping[str, int]:
        """See `Learner`."""
        return self._learner.evictions

    @property
    def shown_axis(self) -> Axis:
        """See `Learner`."""
        return self._learner.shown_axis

    def tasks_saved(self, arrays: Mapping[str, NDArray[Any]]) -> TaskMap:
        """See `Learner`."""
        return self._learner.tasks_saved(arrays)

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        """See `Learner`."""
        return self._learner.describe(histories, sequence, items, position)

    def predict_many(self, batch: EventBatch) -> Predictions:
        """See `Learner`."""
        return self._learner.predict_many(batch)

    def learn_many(self, batch: EventBatch, predictions: Predictions) -> Lesson:
        """See `Learner`; a lesson that is withheld leaves no trace."""
        if self.may_learn:
            lesson = self._learner.learn_many(batch, predictions)
            self.step = self._learner.step
            return lesson
        K = len(self.tasks)
        return Lesson(
            task_losses=np.full(K, np.nan, np.float32),
            task_labels=np.zeros(K, np.int64),
            task_weights=np.ones(K, np.float32),
            relatedness=None,
        )

    def recommend(self, histories: Histories, size: int) -> Slates:
        """See `Learner`."""
        return self._learner.recommend(histories, size)

    def preview(self, histories: Histories, size: int) -> Slates:
        """See `Learner`."""
        return self._learner.preview(histories, size)

    def known_item(self, row: int, now_s: float, most: int) -> KnownItem:
        """See `Learner`."""
        return self._learner.known_item(row, now_s, most)

    def explain(self) -> list[Explanation]:
        """See `Learner`."""
        return self._learner.explain()

    def forget_users(self, rows: IntArray) -> None:
        """See `Learner`."""
        self._learner.forget_users(rows)

    def forget_items(self, rows: IntArray) -> None:
        """See `Learner`."""
        self._learner.forget_items(rows)

    def live_state(self) -> LiveState:
        """See `Learner`."""
        return self._learner.live_state()

    def state_dict(self) -> Arrays:
        """See `Learner`."""
        return self._learner.state_dict()

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner`."""
        self._learner.load_state_dict(arrays)


def fold_of_moment(moment: int, folds: int) -> int:
    """The fold of a moment. Events of one time stay together: they are one step."""
    return moment % folds


def scored_in_fold(protocol: Protocol, fold: int, folds: int) -> Ints:
    """Places among the scored events of those that belong to the fold."""
    moments = np.searchsorted(protocol.moments, protocol.scored, side="right") - 1
    return np.flatnonzero(moments % folds == fold)
