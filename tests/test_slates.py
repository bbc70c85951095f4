"""Exploration keeps its word about propensities; reasons name what speaks most."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from batches import START_S
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.covisitation import CoVisitation
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


def transitions() -> CoVisitation:
    """After 1 comes 5 often and 6 once; after 2 comes 5 once and 7 once."""
    covisitation = CoVisitation(4)
    for source, target in [(1, 5)] * 8 + [(1, 6), (2, 5), (2, 7)]:
        covisitation.learn_many(np.array([[source]]), np.array([target]), np.array([START_S]))
    return covisitation


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        ([1, 2, ABSENT], [1, 1, 2, ABSENT, ABSENT]),
        ([2, 1, ABSENT], [1, 1, 2, ABSENT, ABSENT]),
        ([2, 9, 1], [2, 1, 2, ABSENT, ABSENT]),
        ([ABSENT, ABSENT, ABSENT], [ABSENT] * 5),
    ],
    ids=["the stronger one is nearest", "the stronger one is next", "the stronger one is far", "nobody"],
)
def test_the_reason_is_the_recent_item_that_speaks_most(recent: list[int], expected: list[int]) -> None:
    slate = np.array([[5, 6, 7, 8, ABSENT]])
    assert reasons(slate, np.array([recent]), np.array([START_S]), transitions()).tolist() == [expected]
