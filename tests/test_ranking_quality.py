"""Figures of ranks, written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from monitoring.ranking_quality import ranking_quality, variety, window_means


def test_ranks_count_from_zero_and_below_zero_is_a_miss() -> None:
    found = ranking_quality(np.array([0, 9, 10, 19, 20, -1, -2, 1]))
    assert (found.n, found.hr10, found.hr20) == (8, 3 / 8, 5 / 8)
    assert found.mrr20 == pytest.approx((1 + 1 / 10 + 1 / 11 + 1 / 20 + 1 / 2) / 8)
    assert found.ndcg10 == pytest.approx((1 + 1 / math.log2(11) + 1 / math.log2(3)) / 8)


def test_of_nothing_nothing_is_said() -> None:
    found = ranking_quality(np.zeros(0, np.int64))
    assert found.n == 0
    assert math.isnan(found.hr10)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=60), st.integers(1, 50))
@law(80)
def test_windows_hold_everything_once(values: list[float], windows: int) -> None:
    means = window_means(np.array(values), windows)
    edges = np.linspace(0, len(values), min(windows, len(values)) + 1).astype(int)
    assert len(means) == min(windows, len(values))
    assert (means * np.diff(edges)).sum() == pytest.approx(sum(values), abs=1e-9)


def test_one_item_for_everybody_is_no_variety() -> None:
    found = variety(np.zeros((50, 1), np.int64), 100)
    assert (found.coverage, found.gini) == (0.01, pytest.approx(0.99))


def test_all_items_alike_are_all_variety() -> None:
    found = variety(np.arange(100).reshape(10, 10), 100)
    assert (found.coverage, found.gini) == (1.0, pytest.approx(0.0))


def test_empty_places_are_no_item() -> None:
    assert variety(np.array([[1, -1], [1, -1]]), 2).coverage == 0.5
    assert variety(np.array([[-1, -1]]), 2).coverage == 0.0
