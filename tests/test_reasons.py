"""Reasons name what speaks most."""

from __future__ import annotations

import numpy as np
import pytest
from batches import START_S, histories

from learners.counts.neighbours import NeighbourTable
from learners.reasons import reasons
from learners.row_index import ABSENT


def transitions() -> NeighbourTable:
    """After 1 comes 5 often and 6 once; after 2 comes 5 once and 7 once."""
    table = NeighbourTable(8, np.array([3_600.0, 1e8]), ())
    pairs = [(1, 5)] * 8 + [(1, 6), (2, 5), (2, 7)]
    table.ensure(10)
    table.learn_many(
        np.array([source for source, _ in pairs]),
        np.array([target for _, target in pairs]),
        np.ones(len(pairs), np.float32),
        np.full(len(pairs), START_S),
    )
    return table


@pytest.mark.parametrize(
    ("recent", "expected"),
    [
        ([2, 1], [1, 1, 2, ABSENT, ABSENT]),
        ([1, 2], [1, 1, 2, ABSENT, ABSENT]),
        ([1, 9, 2], [2, 1, 2, ABSENT, ABSENT]),
        ([], [ABSENT] * 5),
    ],
    ids=["the stronger one is nearest", "the stronger one is next", "the stronger one is too far", "nobody"],
)
def test_the_reason_is_the_recent_item_that_speaks_most(recent: list[int], expected: list[int]) -> None:
    slate = np.array([[5, 6, 7, 8, ABSENT]])
    assert reasons(slate, histories([recent]), transitions()).tolist() == [expected]
