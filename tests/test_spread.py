"""Coverage, Gini coefficient and novelty, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.ranking_quality import variety
from monitoring.spread import RecentEvents, RecentPlaces


def test_variety_is_that_of_the_latest_places_only() -> None:
    places = RecentPlaces(6)
    for rows in ([9, 9, 9, 9], [1, 2], [1, 2, 3, 1]):
        places.add(np.array(rows))
    expected = variety(np.array([1, 2, 1, 2, 3, 1]), 10)
    found = places.variety(10)
    assert (found.coverage, found.gini) == pytest.approx((expected.coverage, expected.gini))


def test_more_places_than_are_kept_leave_the_last_ones() -> None:
    places = RecentPlaces(3)
    places.add(np.arange(100))
    assert places.variety(100).coverage == 0.03


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    counts = np.array([5.0, 0.0, 2.0, 0.0, 1.0])
    naive = np.abs(counts[:, None] - counts[None, :]).sum() / (2 * 5 * counts.sum())
    places = RecentPlaces()
    places.add(np.array([0] * 5 + [2] * 2 + [4]))
    assert places.variety(5).gini == pytest.approx(naive)
    assert np.isnan(RecentPlaces().variety(5).gini)


def test_what_is_popular_surprises_less() -> None:
    events = RecentEvents()
    events.add(np.array([0] * 6 + [1]))
    assert events.surprise_bits(np.array([0])) == pytest.approx(-np.log2(7 / 8))
    assert events.surprise_bits(np.array([1, 5_000])) == pytest.approx(-np.log2(2 / 8) - np.log2(1 / 8))
    assert events.surprise_bits(np.zeros(0, np.int64)) == 0.0


@pytest.mark.parametrize("count", [1, 6, 10, 13, 199, 50_001])
def test_the_only_item_there_is_surprises_nobody(count: int) -> None:
    """Logarithms of two precisions made it less than nothing, which no counter takes."""
    events = RecentEvents()
    events.add(np.zeros(count, np.int64))
    assert 0.0 <= events.surprise_bits(np.zeros(20, np.int64)) < 1e-9


def test_items_beyond_the_table_are_unknown_even_where_its_last_one_is_popular() -> None:
    events = RecentEvents()
    events.add(np.full(7, 1_023))  # the last row of the table that it begins with
    full = RecentEvents()
    full.load_state_dict({"counts": np.full(1_024, 7.0), "total": np.array([7.0])})
    for each in (events, full):
        assert each.surprise_bits(np.array([1_023])) == 0.0
        assert each.surprise_bits(np.array([1_024, 90_000])) == pytest.approx(2 * np.log2(8))
        assert len(each.marks) == len(each.tables()["counts"])


def test_what_was_popular_long_ago_is_forgotten() -> None:
    events = RecentEvents(100)
    events.add(np.zeros(100, np.int64))
    before = events.surprise_bits(np.array([0]))
    for _ in range(20):
        events.add(np.full(100, 3_000))
    assert events.surprise_bits(np.array([0])) > before + 4.0
    assert events._total <= 200.0
