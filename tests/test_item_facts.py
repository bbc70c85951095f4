"""What is said of an item alone."""

from __future__ import annotations

import numpy as np
import pytest
from batches import START_S, WALKED, counted
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import item_facts as module
from learners.counts.decay import left, left_of
from learners.counts.popularity import HALF_LIVES_S
from learners.item_facts import FACTS, ItemFacts
from learners.row_index import ABSENT

moments = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=6)


@given(moments, st.integers(0, 20))
@law(40)
def test_each_candidate_has_the_facts_of_its_item_and_its_second(at: list[float], seed: int) -> None:
    counts = counted(seed)
    now_s = START_S + np.array(at)
    rows = np.random.default_rng(seed).integers(ABSENT, WALKED, (len(at), 7))
    found = ItemFacts.of(rows, now_s, counts)
    asked = {(int(row), float(np.floor(now))) for now, some in zip(now_s, rows, strict=True) for row in some}
    assert found.values.shape == (len({one for one in asked if one[0] != ABSENT}), FACTS), "each pair once"
    for s, c in zip(*np.nonzero(rows != ABSENT), strict=True):
        alone = ItemFacts.of(rows[s : s + 1, c : c + 1], np.floor(now_s[s : s + 1]), counts)
        mine = found.values[found.places[s, c]]
        assert mine == pytest.approx(alone.values[0], rel=1e-5, abs=1e-6)


def test_columns_are_taken_along() -> None:
    counts, rows = counted(), np.array([[3, 1, 2]])
    facts = ItemFacts.of(rows, np.array([START_S]), counts)
    taken = facts.take(np.array([[2, 0]]))
    assert (taken.values[taken.places[0]] == facts.values[facts.places[0, [2, 0]]]).all()


def test_nobody_has_no_facts() -> None:
    found = ItemFacts.of(np.zeros((0, 1), np.int64), np.zeros(0), counted())
    assert (found.values.shape, found.places.shape) == ((0, FACTS), (0, 1))


@given(st.lists(st.one_of(st.floats(-10.0, 1e12), st.just(np.inf)), min_size=1, max_size=20))
@law(60)
def test_many_fade_as_one_does(elapsed: list[float]) -> None:
    found = left_of(np.array(elapsed), HALF_LIVES_S)
    expected = [[left(since, half_life) for since in elapsed] for half_life in HALF_LIVES_S.tolist()]
    assert found == pytest.approx(np.array(expected), rel=2e-5, abs=1e-30)


@given(moments, st.integers(0, 20))
@law(15)
def test_compiled_and_interpreted_agree(at: list[float], seed: int) -> None:
    counts = counted(seed)
    rows = np.random.default_rng(seed).integers(ABSENT, WALKED, (len(at), 7))
    seconds = np.floor(START_S + np.array(at))
    order = np.argsort(seconds, kind="stable")
    outcomes = []
    for find in (module._find, module._find.py_func):  # type: ignore[attr-defined]
        out = np.zeros(rows.shape, np.int64), np.zeros(rows.size, np.int64), np.zeros(rows.size)
        found = find(order, *counts.stamps(len(rows)), rows, seconds, *out)
        outcomes.append((found, [array.tolist() for array in out]))
    assert outcomes[0] == outcomes[1]
