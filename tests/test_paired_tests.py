"""Paired statistics: what must hold whatever the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from scipy import stats

from monitoring.paired_tests import block_bootstrap, mcnemar, wilcoxon

pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80)


def columns(rows: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([a for a, _ in rows]), np.array([b for _, b in rows])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
@law(40)
def test_a_recommender_is_no_better_than_itself(hits: list[bool]) -> None:
    one = np.array(hits)
    assert mcnemar(one, one).p == 1.0
    assert wilcoxon(one.astype(float), one.astype(float)) == 1.0
    found = block_bootstrap(one, one, rng())
    assert (found.low, found.difference, found.high) == (0.0, 0.0, 0.0)


@given(pairs)
@law(40)
def test_who_is_named_first_changes_the_sign_alone(rows: list[tuple[bool, bool]]) -> None:
    one, other = columns(rows)
    first, second = mcnemar(one, other), mcnemar(other, one)
    assert first.p == pytest.approx(second.p)
    assert (first.only_one, first.only_other) == (second.only_other, second.only_one)
    there, back = block_bootstrap(one, other, rng()), block_bootstrap(other, one, rng())
    assert (there.low, there.difference, there.high) == pytest.approx(
        (-back.high, -back.difference, -back.low)
    )
    assert wilcoxon(one * 1.0, other * 1.0) == pytest.approx(wilcoxon(other * 1.0, one * 1.0))


@given(pairs)
@law(40)
def test_mcnemar_asks_only_those_events_that_tell_them_apart(rows: list[tuple[bool, bool]]) -> None:
    one, other = columns(rows)
    told = one != other
    assert mcnemar(one, other) == mcnemar(one[told], other[told])


def test_few_events_are_judged_exactly() -> None:
    found = mcnemar(np.array([True] * 9 + [False]), np.array([False] * 9 + [True]))
    assert (found.only_one, found.only_other) == (9, 1)
    assert found.p == pytest.approx(2 * 11 / 1024)


def test_many_events_are_judged_by_chi_square_and_alike() -> None:
    one = np.array([True] * 560 + [False] * 460)
    assert mcnemar(one, ~one).p == pytest.approx(stats.binomtest(560, 1_020).pvalue, rel=0.02)


def test_the_interval_holds_the_difference_and_finds_a_real_one() -> None:
    draws = np.random.default_rng(1)
    one, other = draws.random(5_000) < 0.5, draws.random(5_000) < 0.4
    found = block_bootstrap(one, other, rng())
    assert found.low < found.difference < found.high
    assert found.low > 0.0
    assert (found.block, found.resamples) == (50, 2_000)


def test_alike_neighbours_make_a_wider_interval() -> None:
    draws = np.random.default_rng(2)
    independent = draws.random(5_000) < 0.5
    clumped = np.repeat(draws.random(50) < 0.5, 100)
    nothing = np.zeros(5_000, np.bool_)
    widths = [(f.high - f.low) for f in (block_bootstrap(x, nothing, rng()) for x in (independent, clumped))]
    assert widths[1] > 3.0 * widths[0]


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draws = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        one, other = draws.random(600) < 0.45, draws.random(600) < 0.40
        found = block_bootstrap(one, other, draws, resamples=300)
        covered += found.low <= 0.05 <= found.high
    assert 0.87 <= covered / 200 <= 0.99


def test_few_events_do_not_make_a_certainty() -> None:
    found = block_bootstrap(np.array([1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]), np.zeros(8), rng())
    assert found.low < found.high


def test_of_nothing_nothing_is_said() -> None:
    nothing = np.zeros(0, np.bool_)
    assert mcnemar(nothing, nothing).p == 1.0
    assert np.isnan(block_bootstrap(nothing, nothing, rng()).difference)
