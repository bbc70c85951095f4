"""Choices over expected choices, against sums over lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts import expectations as module
from learners.counts.expectations import HALF_LIVES_CHOICES, Expectations
from learners.row_index import ABSENT

PRIOR = 0.5
ITEMS = 8


def ranked(seed: int, T: int = 12, C: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates, scores and choices; now and then a place is empty or the chosen item is no candidate."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(ITEMS)[:C] for _ in range(T)])
    scores = (3.0 * rng.normal(size=(T, C))).astype(np.float32)
    empty = rng.random((T, C)) < 0.2
    empty[:, 0] &= rng.random(T) < 0.3
    rows[empty], scores[empty] = ABSENT, -np.inf
    return rows, scores, rng.integers(0, ITEMS, T)


def learned(rows: np.ndarray, scores: np.ndarray, chosen: np.ndarray, cut: int | None = None) -> Expectations:
    expectations = Expectations()
    expectations.ensure(ITEMS)
    for start in range(0, len(rows), cut or max(len(rows), 1)):
        some = slice(start, start + (cut or len(rows)))
        expectations.learn_many(rows[some], scores[some], chosen[some])
    return expectations


def ratios(expectations: Expectations) -> list[list[float]]:
    found: list[list[float]] = expectations.exceeded(np.arange(ITEMS)).T.tolist()
    return found


@given(st.integers(0, 10_000), st.integers(1, 12))
@law(60)
def test_ratios_are_those_of_sums_over_a_list(seed: int, cut: int) -> None:
    rows, scores, chosen = ranked(seed)
    found = ratios(learned(rows, scores, chosen, cut))
    T = len(rows)
    expected, chosen_of = np.zeros((2, ITEMS, 2))
    for t in range(T):
        real = rows[t] != ABSENT
        if not real.any():
            continue
        share = np.exp(scores[t][real] - scores[t][real].max())
        share /= share.sum()
        fade = 2 ** (-(T - t) / HALF_LIVES_CHOICES)
        for row, part in zip(rows[t][real].tolist(), share.tolist(), strict=True):
            if part >= 1e-4 or row == chosen[t]:
                expected[row] += part * fade
                chosen_of[row] += (row == chosen[t]) * fade
    assert np.array(found) == pytest.approx((chosen_of + PRIOR) / (expected + PRIOR), rel=1e-4)


def test_of_what_nothing_is_known_one_is_told() -> None:
    expectations = Expectations()
    expectations.learn_many(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32), np.zeros(0, np.int64))
    assert expectations.ranked == 0
    assert ratios(expectations) == [[1.0, 1.0]] * ITEMS


def test_who_is_chosen_as_often_as_expected_stays_near_one() -> None:
    rng = np.random.default_rng(0)
    share = np.array([0.6, 0.3, 0.1])
    rows = np.tile(np.arange(3), (4_000, 1))
    scores = np.tile(np.log(share).astype(np.float32), (4_000, 1))
    found = ratios(learned(rows, scores, rng.choice(3, 4_000, p=share)))
    assert np.array(found)[:3, 1] == pytest.approx(1.0, abs=0.12)


def test_who_is_chosen_more_often_than_expected_rises_above_one_and_the_others_sink() -> None:
    rows = np.tile(np.arange(4), (300, 1))
    found = np.array(ratios(learned(rows, np.zeros((300, 4), np.float32), np.zeros(300, np.int64))))
    assert found[0, 0] == pytest.approx(4.0, rel=0.03), "a quarter was expected"
    assert (found[1:4] < 0.03).all()
    assert (found[4:] == 1.0).all()


def test_what_is_expected_of_each_adds_up_to_the_choices() -> None:
    rows = np.tile(np.arange(4), (50, 1))
    scores = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    of = learned(rows, scores, np.full(50, 2)).arrays
    assert of.expected[:4].sum(axis=0) == pytest.approx(of.chosen[:4].sum(axis=0), rel=1e-4)


def test_scores_that_differ_by_a_constant_say_the_same() -> None:
    rows, scores, chosen = ranked(3)
    assert np.array(ratios(learned(rows, scores + 50.0, chosen))) == pytest.approx(
        np.array(ratios(learned(rows, scores, chosen))), rel=1e-3
    )


def test_a_score_that_is_no_number_teaches_nothing() -> None:
    rows = np.array([[0, 1, 2], [0, 1, ABSENT]])
    scores = np.array([[np.nan, 0.0, 0.0], [np.nan, -np.inf, 0.0]], np.float32)
    found = ratios(learned(rows, scores, np.array([1, 9])))
    assert found[0] == [1.0, 1.0]
    assert np.isfinite(found).all()
    assert found[1][0] > 1.0 > found[2][0]


def test_a_memory_fades_with_what_is_ranked_after_it() -> None:
    rows = np.zeros((1, 2), np.int64) + np.arange(2)
    expectations = learned(rows, np.zeros((1, 2), np.float32), np.array([0]))
    for ranked, expected in ((0, 1.5), (300, (0.5 + PRIOR) / (0.25 + PRIOR)), (10**6, 1.0)):
        expectations.ranked = ranked
        assert expectations.exceeded(np.array([0]))[0, 0] == pytest.approx(expected)


def test_a_forgotten_item_is_as_if_nothing_was_known() -> None:
    expectations = learned(*ranked(1))
    before = ratios(expectations)
    expectations.forget(np.array([2, 99]))
    after = ratios(expectations)
    assert after[2] == [1.0, 1.0]
    assert [one for row, one in enumerate(after) if row != 2] == [
        one for row, one in enumerate(before) if row != 2
    ]


@given(st.integers(0, 10_000))
@law(20)
def test_a_restored_one_goes_on_alike(seed: int) -> None:
    one, other = learned(*ranked(seed)), Expectations()
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for expectations in (one, other):
        expectations.learn_many(*ranked(seed + 1))
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


@given(st.integers(0, 10_000))
@law(40)
def test_compiled_and_interpreted_agree(seed: int) -> None:
    rows, scores, chosen = ranked(seed)
    compiled, interpreted = learned(rows, scores, chosen), Expectations()
    interpreted.ensure(ITEMS)
    module._learn_many.py_func(interpreted.arrays, rows, module._shares(rows, scores), chosen, 0)
    for one, other in zip(compiled.arrays, interpreted.arrays, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-9)
