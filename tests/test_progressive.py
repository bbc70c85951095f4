"""Progressive validation: windows and smoothed averages, against lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from monitoring.progressive import ProgressiveRanking, Smoothed

chunks = st.lists(
    st.lists(st.tuples(st.integers(-1, 30), st.booleans(), st.booleans()), max_size=6),
    min_size=1,
    max_size=15,
)
Chunk = list[tuple[int, bool, bool]]
"""Rank, whether the item was known, and whether the ranker compared it."""


def update(ranking: ProgressiveRanking, chunk: Chunk) -> None:
    ranks, known, compared = np.array(chunk, np.int64).reshape(-1, 3).T
    ranking.update(ranks, known.astype(np.bool_), compared.astype(np.bool_))


def expected(choices: Chunk) -> tuple[float, float, float]:
    """HR@10, MRR@20 and recall of known items, written out."""
    known = [was_compared for _, is_known, was_compared in choices if is_known]
    return (
        sum(0 <= rank < 10 for rank, *_ in choices) / len(choices) if choices else math.nan,
        sum(1 / (rank + 1) for rank, *_ in choices if 0 <= rank < 20) / len(choices) if choices else math.nan,
        sum(known) / len(known) if known else math.nan,
    )


@given(chunks, st.integers(1, 12))
@law(80)
def test_figures_are_those_of_the_last_choices_and_of_all(steps: list[Chunk], window: int) -> None:
    ranking = ProgressiveRanking(window)
    inside: list[Chunk] = []
    for chunk in steps:
        update(ranking, chunk)
        inside += [chunk] if chunk else []
        while sum(len(one) for one in inside[1:]) >= window:  # whole steps, and at least the window
            del inside[0]
        recent = [choice for one in inside for choice in one]
        found = ranking.hit_rate(), ranking.reciprocal_rank(), ranking.recall()
        assert found == pytest.approx(expected(recent), nan_ok=True, abs=1e-9)
    everything = [choice for chunk in steps for choice in chunk]
    assert ranking.scored == len(everything)
    found = ranking.hit_rate(whole=True), ranking.reciprocal_rank(whole=True), ranking.recall(whole=True)
    assert found == pytest.approx(expected(everything), nan_ok=True, abs=1e-9)


@pytest.mark.parametrize(
    ("rank", "hit", "reciprocal"),
    [(0, 1.0, 1.0), (9, 1.0, 0.1), (10, 0.0, 1 / 11), (19, 0.0, 0.05), (20, 0.0, 0.0), (-1, 0.0, 0.0)],
)
def test_ranks_count_from_zero(rank: int, hit: float, reciprocal: float) -> None:
    ranking = ProgressiveRanking(5)
    update(ranking, [(rank, True, True)])
    assert (ranking.hit_rate(), ranking.reciprocal_rank()) == (hit, pytest.approx(reciprocal))


def test_before_the_first_choice_nothing_is_said() -> None:
    assert math.isnan(ProgressiveRanking(5).hit_rate())


def test_an_average_begins_at_the_first_value() -> None:
    smoothed = Smoothed(2)
    assert np.isnan(smoothed.values).all()
    smoothed.update(np.array([5.0, np.nan]))
    assert smoothed.values.tolist() == [5.0, pytest.approx(np.nan, nan_ok=True)]


def test_half_is_forgotten_after_a_half_life() -> None:
    smoothed = Smoothed(1, half_life=3)
    smoothed.update(np.array([1.0]))
    for _ in range(3):
        smoothed.update(np.array([0.0]))
    weights = [0.5 ** (n / 3) for n in range(4)]
    assert smoothed.values[0] == pytest.approx(weights[3] / sum(weights))


def test_what_is_missing_neither_counts_nor_forgets() -> None:
    smoothed = Smoothed(2, half_life=1)
    smoothed.update(np.array([4.0, 4.0]))
    for value in (np.nan, np.inf, -np.inf):
        smoothed.update(np.array([value, 1.0]))
    assert smoothed.values[0] == 4.0
    assert smoothed.values[1] < 2.0
    smoothed.update(np.array([0.0, 0.0]))
    assert smoothed.values[0] == pytest.approx(4.0 * 0.5 / 1.5), (
        "as if the missing ones had never been asked for"
    )


def test_weights_weigh() -> None:
    smoothed = Smoothed(1, half_life=1e9)
    smoothed.update(np.array([1.0]), np.array([3.0]))
    smoothed.update(np.array([5.0]), np.array([1.0]))
    assert smoothed.values[0] == pytest.approx(2.0, rel=1e-6)
