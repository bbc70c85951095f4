"""2^(-elapsed / half-life)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts.decay import left


def test_half_is_left_after_a_half_life() -> None:
    assert [left(elapsed, 10.0) for elapsed in (0.0, 10.0, 20.0, 100.0)] == [1.0, 0.5, 0.25, 2**-10]
    assert left(10.0, 100.0) == pytest.approx(2**-0.1, rel=1e-12)


def test_events_out_of_order_are_not_amplified() -> None:
    assert left(-50.0, 10.0) == 1.0
    assert left(-np.inf, 10.0) == 1.0


def test_nothing_is_left_after_ages() -> None:
    assert left(1e12, 100.0) == 0.0
    assert left(np.inf, 10.0) == 0.0


@given(st.floats(0.0, 1e12), st.floats(0.0, 1e12), st.floats(1e-2, 1e9))
@law(100)
def test_more_time_never_leaves_more(one: float, other: float, half_life: float) -> None:
    sooner, later = sorted((one, other))
    assert 0.0 <= left(later, half_life) <= left(sooner, half_life) <= 1.0


@given(st.floats(-1e9, 1e12), st.floats(1e-2, 1e9))
@law(100)
def test_compiled_and_interpreted_agree(elapsed: float, half_life: float) -> None:
    assert left(elapsed, half_life) == pytest.approx(left.py_func(elapsed, half_life), rel=1e-12)
