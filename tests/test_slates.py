"""Exploration keeps its word about propensities; reasons name what speaks most."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from batches import START_S, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import slates as module
from learners.counts.neighbours import NeighbourTable
from learners.row_index import ABSENT
from learners.slates import explore, reasons


def explored(
    order: list[int], empty: int = 0, size: int = 3, probability: float = 0.3, times: int = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The same order of candidates many times; the last `empty` ones are none."""
    filled = np.ones(len(order), np.bool_)
    filled[order[len(order) - empty :]] = False
    return explore(
        np.tile(order, (times, 1)),
        np.tile(filled, (times, 1)),
        size,
        probability,
        np.random.default_rng(seed),
    )


@pytest.mark.parametrize(
    ("order", "empty", "size"),
    [([4, 2, 0, 1, 3], 0, 3), ([5, 4, 3, 2, 1, 0], 2, 2), ([0, 1, 2, 3], 0, 3), ([3, 1, 2, 0], 1, 2)],
    ids=["two below", "two below and two empty", "one below three places", "one below and one empty"],
)
def test_propensities_are_frequencies(order: list[int], empty: int, size: int) -> None:
    times = 60_000
    slates, propensity = explored(order, empty, size, probability=0.3, times=times)
    for place in range(size):
        counts = Counter(slates[:, place].tolist())
        told: dict[int, set[float]] = {}
        for item, said in zip(slates[:, place].tolist(), propensity[:, place].tolist(), strict=True):
            told.setdefault(item, set()).add(round(said, 6))
        for item, said in told.items():
            assert len(said) == 1, "the same event has one probability"
            expected = said.pop()
            spread = (expected * (1 - expected) / times) ** 0.5
            assert counts[item] / times == pytest.approx(expected, abs=4.5 * spread + 1e-9)


@given(st.integers(1, 9), st.integers(1, 8), st.integers(0, 8), st.floats(0.0, 1.0), st.integers(0, 99))
@law(100)
def test_a_slate_repeats_nothing_and_holds_no_empty_place_before_a_filled_one(
    candidates: int, size: int, empty: int, probability: float, seed: int
) -> None:
    empty = min(empty, candidates)
    order = np.random.default_rng(seed).permutation(candidates).tolist()
    slates, propensity = explored(order, empty, size, probability, times=20, seed=seed)
    places = min(size, candidates)
    assert slates.shape == propensity.shape == (20, places)
    real = set(order[: candidates - empty])
    for slate in slates.tolist():
        assert len(set(slate)) == places
        inside = [column in real for column in slate]
        assert inside == sorted(inside, reverse=True)
        assert sum(inside) == min(places, len(real))
    assert ((propensity > 0.0) | (probability in (0.0, 1.0))).all()


def test_without_exploration_the_best_stand_there_surely() -> None:
    slates, propensity = explored([2, 0, 1, 3], probability=0.0, times=5)
    assert slates.tolist() == [[2, 0, 1]] * 5
    assert (propensity == 1.0).all()


def test_with_nothing_below_there_is_nothing_to_explore() -> None:
    slates, propensity = explored([2, 0, 1], probability=1.0)
    assert slates.tolist() == [[2, 0, 1]]
    assert propensity.tolist() == [[1.0, 1.0, 1.0]]


def test_no_users_have_no_slates() -> None:
    slates, propensity = explore(
        np.zeros((0, 4), np.int64), np.zeros((0, 4), np.bool_), 3, 0.5, np.random.default_rng(0)
    )
    assert slates.shape == propensity.shape == (0, 3)


# --- reasons


def transitions() -> NeighbourTable:
    """After 1 comes 5 often and 6 once; after 2 comes 5 once and 7 once."""
    table = NeighbourTable(4, np.array([3_600.0, 1e8]), (0.9,))
    table.ensure(10)
    pairs = np.array([(1, 5)] * 8 + [(1, 6), (2, 5), (2, 7)])
    table.learn_many(pairs[:, 0], pairs[:, 1], np.ones(11, np.float32), np.full(11, START_S))
    return table


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([2, 1], [1, 1, 2, ABSENT, ABSENT]),
        ([1, 2], [1, 1, 2, ABSENT, ABSENT]),
        ([1, 9, 2], [2, 1, 2, ABSENT, ABSENT]),
        ([], [ABSENT] * 5),
    ],
    ids=["the stronger one is nearest", "the stronger one is next", "the stronger one is far", "nobody"],
)
def test_the_reason_is_the_recent_item_that_speaks_most(history: list[int], expected: list[int]) -> None:
    slate = np.array([[5, 6, 7, 8, ABSENT]])
    assert reasons(slate, histories([history]), transitions()).tolist() == [expected]


def test_slates_have_reasons_of_their_own() -> None:
    slates = np.array([[6, 5], [7, 5], [5, 7]])
    found = reasons(slates, histories([[1], [2], []]), transitions())
    assert found.tolist() == [[1, 1], [2, 2], [ABSENT, ABSENT]]


def test_an_item_that_is_met_again_is_as_near_as_its_last_time() -> None:
    slate = np.array([[5, 7]])
    assert reasons(slate, histories([[2, 1, 9, 9, 2]]), transitions()).tolist() == [[2, 2]]


@given(st.lists(st.integers(1, 9), max_size=6), st.lists(st.integers(-1, 9), min_size=1, max_size=6))
@law(60)
def test_reasons_are_those_of_a_search_through_all(history: list[int], slate: list[int]) -> None:
    table, expected = transitions(), []
    for item in slate:
        strengths = {}
        for distance, source in enumerate(dict.fromkeys(reversed(history))):
            rows, shares = table.shares(source, START_S)
            for row, share in zip(rows.tolist(), shares.sum(axis=1).tolist(), strict=True):
                if row == item != ABSENT:
                    strengths[source] = share / (1 + distance)
        expected.append(max(strengths, key=lambda source: strengths[source]) if strengths else ABSENT)
    moments = histories([history])
    assert reasons(np.array([slate]), moments, table).tolist() == [expected]
    interpreted = np.full((1, len(slate)), ABSENT)
    module._reasons.py_func(table.arrays, np.array([slate]), moments.item_rows, moments.now_s, interpreted)
    assert interpreted.tolist() == [expected]
