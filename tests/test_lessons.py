"""What several gradient steps did, as one lesson: means over what each of them was about."""

from __future__ import annotations

import numpy as np
import pytest

from learners.learner import Lesson
from learners.lessons import lesson_of
from learners.neural import NeuralLesson
from learners.relatedness import Relatedness

UNKNOWN = float("nan")


def step(losses: list[float], labels: list[int], cosine: float = 0.0) -> NeuralLesson:
    known = np.isfinite(losses)
    cosines = np.where(np.eye(2, dtype=bool), 1.0, cosine) * np.outer(known, known)
    return NeuralLesson(
        task_losses=np.array(losses, np.float32),
        task_labels=np.array(labels),
        relatedness=cosines.astype(np.float32),
        gates=None,
        affinity=None,
        retrieval_loss=UNKNOWN,
        retrieved=0,
        skipped=(),
    )


def together(*steps: NeuralLesson) -> Lesson:
    return lesson_of(
        steps, [], task_weights=np.ones(2), related=Relatedness(2), learning_rates={}, compared={}
    )


def test_losses_are_means_over_labels() -> None:
    lesson = together(step([0.2, UNKNOWN], [30, 0]), step([0.6, 0.5], [10, 4]))
    assert lesson.task_losses == pytest.approx([0.3, 0.5])
    assert lesson.task_labels.tolist() == [40, 4]


def test_tasks_are_related_by_the_steps_in_which_both_had_labels() -> None:
    alone = step([0.2, UNKNOWN], [9, 0])
    lesson = together(alone, alone, step([0.2, 0.3], [9, 2], cosine=0.8), alone)
    assert lesson.relatedness is not None
    assert lesson.relatedness == pytest.approx(np.array([[1.0, 0.8], [0.8, 1.0]]))


def test_of_tasks_that_never_met_nothing_is_known() -> None:
    lesson = together(step([0.2, UNKNOWN], [9, 0]), step([UNKNOWN, 0.3], [0, 2]))
    assert lesson.relatedness is not None
    assert lesson.relatedness[0, 0] == lesson.relatedness[1, 1] == 1.0
    assert np.isnan(lesson.relatedness[0, 1])
