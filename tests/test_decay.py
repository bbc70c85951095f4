"""2^(-elapsed / half-life)."""

from __future__ import annotations

import numpy as np
import pytest

from learners.decay import decayed

HALF_LIVES_S = np.array([10.0, 100.0])


def test_half_is_left_after_a_half_life() -> None:
    left = decayed(np.array([0.0, 10.0, 20.0, 100.0]), HALF_LIVES_S)
    expected = [[1.0, 1.0], [0.5, 2**-0.1], [0.25, 2**-0.2], [2**-10, 0.5]]
    assert left == pytest.approx(np.array(expected), rel=1e-6)
    assert left.dtype == np.float32


def test_events_out_of_order_are_not_amplified() -> None:
    assert decayed(np.array([-50.0]), HALF_LIVES_S).tolist() == [[1.0, 1.0]]


def test_nothing_is_left_after_ages() -> None:
    assert decayed(np.array([1e12, np.inf]), HALF_LIVES_S).max() < 1e-35
