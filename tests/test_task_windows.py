"""Figures of tasks in sliding windows are those of the latest labels."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.task_quality import auc, calibration_error
from monitoring.task_windows import TaskWindows


def test_figures_are_those_of_the_latest_known_labels() -> None:
    rng = np.random.default_rng(0)
    windows = TaskWindows(2, labels=50)
    told: list[list[tuple[float, float]]] = [[], []]
    for size in (1, 7, 80, 3, 20):
        scores = rng.random((size, 2)).astype(np.float32)
        labels = (rng.random((size, 2)) < scores).astype(np.float32)
        mask = rng.random((size, 2)) < [0.9, 0.3]
        windows.update(scores, labels, mask)
        for task in range(2):
            told[task] += list(zip(scores[mask[:, task], task], labels[mask[:, task], task], strict=True))
    for task in range(2):
        p, y = np.array(told[task][-50:]).T
        assert windows.held(task) == len(p)
        assert windows.figures(task) == pytest.approx((auc(p, y > 0.0), calibration_error(p, y)))


def test_nothing_can_be_told_without_labels_of_both_kinds() -> None:
    windows = TaskWindows(1)
    assert np.isnan(windows.figures(0)).all()
    windows.update(np.array([[0.25]]), np.array([[1.0]]), np.array([[True]]))
    curve, error = windows.figures(0)
    assert np.isnan(curve)
    assert error == 0.75


def test_figures_follow_what_comes() -> None:
    windows = TaskWindows(1, labels=2)
    known = np.ones((2, 1), np.bool_)
    windows.update(np.array([[0.1], [0.9]]), np.array([[0.0], [1.0]]), known)
    assert windows.figures(0)[0] == 1.0
    windows.update(np.array([[0.1], [0.9]]), np.array([[1.0], [0.0]]), known)
    assert windows.figures(0)[0] == 0.0
