"""Reasons name what speaks most."""

from __future__ import annotations

import numpy as np
import pytest
from batches import START_S, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import reasons as module
from learners.counts.neighbours import NeighbourTable
from learners.reasons import reasons
from learners.row_index import ABSENT


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
