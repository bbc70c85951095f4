"""What the gradient steps of one learning step did, together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import FloatArray, IntArray
from learners.learner import Lesson
from learners.neural import NeuralLesson
from learners.ranker import RankerLesson
from learners.relatedness import Relatedness


def lesson_of(
    lessons: Sequence[NeuralLesson],
    ranked: Sequence[RankerLesson | None],
    *,
    task_weights: NDArray[np.float64],
    related: Relatedness,
    learning_rates: Mapping[str, float],
    compared: Mapping[str, FloatArray],
) -> Lesson:
    """One lesson; a loss is the mean over the examples of all steps, however these were cut.

    Args:
        lessons: Of the neural model's steps.
        ranked: Of the ranker's; None where one was left out.
        task_weights: (K,) after them.
        related: How the tasks go together.
        learning_rates: By part.
        compared: See `Lesson`.
    """
    K = len(task_weights)
    taught = [lesson for lesson in ranked if lesson is not None]
    task_losses, task_labels = _means(
        [lesson.task_losses for lesson in lessons], [lesson.task_labels for lesson in lessons], K
    )
    retrieval_loss, retrieved = _means(
        [lesson.retrieval_loss for lesson in lessons], [lesson.retrieved for lesson in lessons]
    )
    ranking_loss, choices = _means([lesson.loss for lesson in taught], [lesson.choices for lesson in taught])
    met = [lesson for lesson in lessons if lesson.relatedness is not None]
    both = [np.outer(known, known) for known in (np.isfinite(lesson.task_losses) for lesson in met)]
    gates = [lesson.gates for lesson in lessons if lesson.gates is not None]
    norms = np.array([lesson.gradient_norms for lesson in lessons if lesson.gradient_norms is not None])
    vector_norms = np.array([lesson.vector_norm for lesson in lessons])
    return Lesson(
        task_losses=task_losses,
        task_labels=task_labels,
        task_weights=task_weights.astype(np.float32),
        relatedness=_means([lesson.relatedness for lesson in met], both, K * K)[0].reshape(K, K)
        if met
        else None,
        retrieval_loss=float(retrieval_loss[0]),
        retrieved=int(retrieved[0]),
        ranking_loss=float(ranking_loss[0]),
        ranked=int(choices[0]),
        skipped=(
            *(part for lesson in lessons for part in lesson.skipped),
            *("ranker" for lesson in ranked if lesson is None),
        ),
        related=related,
        gates=np.mean(gates, axis=0) if gates else None,
        gradient_norms=_means(norms, np.isfinite(norms), K)[0] if len(norms) else None,
        learning_rates=learning_rates,
        vector_norm=float(_means(vector_norms, np.isfinite(vector_norms))[0][0]),
        compared=compared,
    )


def _means(each: Any, counts: Any, size: int = 1) -> tuple[FloatArray, IntArray]:
    """(size,) means over all examples of N steps, NaN where there are none; and (size,) how many there are.

    Args:
        each: (N, size) the steps' means.
        counts: (N, size) over how many examples.
        size: How many means there are.
    """
    of = np.array(counts, np.int64).reshape(-1, size)
    sums = np.where(of > 0, np.array(each, np.float64).reshape(-1, size) * of, 0.0).sum(axis=0)
    total = of.sum(axis=0)
    means = np.divide(sums, total, out=np.full(size, np.nan), where=total > 0)
    return means.astype(np.float32), total


def compared_losses(lessons: Sequence[NeuralLesson], turned_serve: bool) -> dict[str, FloatArray]:
    """(N, 2 K) losses of turned heads and of those as they were, of N steps, with their signs turned."""
    compared = [
        -np.concatenate(both if turned_serve else both[::-1])
        for lesson in lessons
        if (both := lesson.compared_losses) is not None
    ]
    return {"heads": np.stack(compared)} if compared else {}
