"""Of a large step a share is learned: as much as it should be, evenly spread, and everything of a small one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.pace import gradient_steps, share_of, spread

counts = st.integers(0, 5_000)
shares = st.floats(0.0, 1.0)


@given(counts, st.integers(1, 1_000), shares)
@law(100)
def test_no_less_is_learned_than_asked_for_and_all_of_what_comes_at_once(
    count: int, at_once: int, least: float
) -> None:
    share = share_of(count, at_once, least)
    assert least <= share <= 1.0 or share == 1.0
    assert count * share == pytest.approx(count if count <= at_once else max(at_once, count * least))


@given(st.lists(st.integers(0, 300), max_size=20), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0]))
@law(100)
def test_a_share_is_the_same_however_the_examples_were_cut(sizes: list[int], share: float) -> None:
    begun, cut = 0, []
    for size in sizes:
        cut += (begun + spread(size, share, begun)).tolist()
        begun += size
    whole = spread(begun, share, 0)
    assert cut == whole.tolist()
    assert len(whole) == int(np.floor(begun * share))


@given(st.one_of(st.integers(0, 12), st.integers(0, 10_000)))
@law(100)
def test_steps_grow_up_to_four_times_before_there_are_more_of_them(whole: int) -> None:
    steps = gradient_steps(whole)
    assert 4 * (steps - 1) < whole <= 4 * steps
