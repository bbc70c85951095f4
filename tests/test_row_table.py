"""Columns that grow together: what was never written is empty, and what was is marked."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from links import merged

from learners.row_table import RowTable
from learners.state_changes import Taken, changed, whole


def table() -> RowTable:
    return RowTable(last_s=np.float64(-np.inf), counts=np.zeros(2, np.float32), seen=np.bool_(False))


def test_rows_begin_empty_at_whatever_size() -> None:
    found = table()
    found.ensure(40)
    assert len(found) >= 40
    assert np.isneginf(found["last_s"]).all()
    assert not found["counts"].any()
    assert found["counts"].shape[1:] == (2,)
    assert found["seen"].dtype == np.bool_
    assert not found.marks.any()


def test_a_forgotten_row_is_empty_again_and_what_is_not_there_is_passed_over() -> None:
    found = table()
    found["last_s"][3], found["counts"][3], found["seen"][3] = 5.0, 2.0, True
    assert found.forget(np.array([3, 99])).tolist() == [3]
    assert (found["last_s"][3], found["counts"][3].tolist(), found["seen"][3]) == (-np.inf, [0.0, 0.0], False)
    assert found.marks[3]


steps = st.lists(st.tuples(st.integers(0, 70), st.floats(0.0, 9.0), st.booleans()), max_size=30)


@given(steps, steps)
@law(40)
def test_what_changed_since_makes_the_whole(
    before: list[tuple[int, float, bool]], after: list[tuple[int, float, bool]]
) -> None:
    found = table()

    def write(rows: list[tuple[int, float, bool]]) -> None:
        for row, value, gone in rows:
            found.ensure(row + 1)
            found["last_s"][row], found["counts"][row] = value, value
            found.mark(row)
            if gone:
                found.forget(np.array([row]))

    def take() -> Taken:
        taken = Taken()
        assert taken.choose([found.live_state()])
        return taken

    write(before)
    first, saved = take(), whole(found.live_state())
    first.saved()
    write(after)
    second = take()
    again = merged(saved, [changed(found.live_state(), second)])
    now = whole(found.live_state())
    assert again.keys() == now.keys()
    assert all(np.array_equal(again[name], now[name]) for name in now)
    restored = table()
    restored.load_state_dict(now)
    assert all(np.array_equal(restored[name], found[name]) for name in now)
