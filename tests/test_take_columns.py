"""One flat take finds what an index of each number finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.take_columns import take_columns


@given(st.integers(0, 4), st.integers(1, 6), st.integers(0, 6), st.booleans(), st.integers(0, 99))
@law(60)
def test_it_is_take_along_axis(S: int, C: int, N: int, deep: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(S, C, 3) if deep else (S, C))[:, ::-1]
    columns = rng.integers(0, C, (S, N))
    expected = np.take_along_axis(values, columns[:, :, None] if deep else columns, axis=1)
    assert (take_columns(values, columns) == expected).all()
    assert take_columns(values, columns).shape == expected.shape


def test_of_nothing_there_is_nothing() -> None:
    assert take_columns(np.zeros((2, 0)), np.zeros((2, 0), np.int64)).shape == (2, 0)
