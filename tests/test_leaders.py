"""The best n by several keys, against sorting everything."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts.leaders import Leaders, lead

# (row, key's number, how much it rises)
touches = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 1), st.integers(0, 4)), max_size=40)


@given(touches, st.integers(1, 5))
@law(120)
def test_leaders_are_the_largest_keys_of_all(steps: list[tuple[int, int, int]], n: int) -> None:
    leaders, keys = Leaders.empty(2, n), np.zeros((12, 2))
    known: list[set[int]] = [set(), set()]
    for row, group, rise in steps:
        keys[row, group] += rise
        known[group].add(row)
        lead(leaders, group, row, keys[row, group])
        for column in range(2):
            found = leaders.best_first(column)
            assert len(set(found.tolist())) == len(found) == min(n, len(known[column]))
            best = sorted(keys[sorted(known[column]), column], reverse=True)[:n]
            assert keys[found, column].tolist() == best, "best first, and none better left out"
        union = set(leaders.best_first(0).tolist()) | set(leaders.best_first(1).tolist())
        assert leaders.all_rows().tolist() == sorted(union)


@given(touches, st.integers(1, 5))
@law(60)
def test_compiled_and_interpreted_agree(steps: list[tuple[int, int, int]], n: int) -> None:
    compiled, interpreted, keys = Leaders.empty(2, n), Leaders.empty(2, n), np.zeros((12, 2))
    for row, group, rise in steps:
        keys[row, group] += rise
        lead(compiled, group, row, keys[row, group])
        lead.py_func(interpreted, group, row, keys[row, group])
        assert (compiled.rows == interpreted.rows).all()
        assert (compiled.keys == interpreted.keys).all()


def test_who_ties_with_the_last_leader_does_not_take_its_place() -> None:
    leaders = Leaders.empty(1, 2)
    for row, key in [(1, 5.0), (2, 3.0), (3, 3.0)]:
        lead(leaders, 0, row, key)
    assert leaders.best_first(0).tolist() == [1, 2]


def test_a_reset_begins_from_the_rows_that_are_left() -> None:
    leaders = Leaders.empty(1, 2)
    for row in (1, 2, 3):
        lead(leaders, 0, row, float(row))
    assert leaders.best_first(0).tolist() == [3, 2]
    leaders.reset(np.array([1, 2]), np.array([[1.0], [2.0]]))
    assert leaders.best_first(0).tolist() == [2, 1]
    leaders.reset(np.zeros(0, np.int64), np.zeros((0, 1)))
    assert leaders.all_rows().tolist() == []


def test_restored_leaders_are_the_same_where_keys_tie_too() -> None:
    one, other = Leaders.empty(1, 2), Leaders.empty(1, 2)
    for row in (4, 1, 3):
        lead(one, 0, row, 7.0)
    other.load_state_dict(one.state_dict())
    for leaders in (one, other):
        lead(leaders, 0, 9, 8.0)
    assert one.rows.tolist() == other.rows.tolist()
