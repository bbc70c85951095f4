"""The best n by several keys, against sorting everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.leaders import Leaders

touches = st.lists(
    st.dictionaries(
        st.integers(0, 11), st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6
    ),
    max_size=12,
)


@given(touches, st.integers(1, 5))
@law(120)
def test_leaders_are_the_largest_keys_of_all(steps: list[dict[int, tuple[int, int]]], n: int) -> None:
    leaders, keys = Leaders(2, n), np.zeros((12, 2))
    known: set[int] = set()
    for rises in steps:
        rows = np.array(sorted(rises))
        keys[rows] += np.array([rises[row] for row in rows.tolist()])
        known |= set(rows.tolist())
        leaders.update(rows, keys[rows], [keys[leaders.rows_of(column), column] for column in range(2)])
        for column in range(2):
            found = leaders.rows_of(column)
            assert len(set(found.tolist())) == len(found) == min(n, len(known))
            best = sorted(keys[sorted(known), column], reverse=True)[:n]
            assert sorted(keys[found, column], reverse=True) == best
        union = set(leaders.rows_of(0).tolist()) | set(leaders.rows_of(1).tolist())
        assert leaders.all_rows().tolist() == sorted(union)


def test_a_reset_begins_from_the_rows_that_are_left() -> None:
    leaders = Leaders(1, 2)
    leaders.update(np.array([1, 2, 3]), np.array([[1.0], [2.0], [3.0]]), [np.zeros(0)])
    assert sorted(leaders.rows_of(0).tolist()) == [2, 3]
    leaders.reset(np.array([1, 2]), np.array([[1.0], [2.0]]))
    assert sorted(leaders.rows_of(0).tolist()) == [1, 2]
    leaders.reset(np.zeros(0, np.int64), np.zeros((0, 1)))
    assert leaders.all_rows().tolist() == []
