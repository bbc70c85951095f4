"""The list that a ranking shows agrees with its pessimistic ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.row_index import ABSENT
from learners.top_list import pessimistic_ranks, pessimistic_top


def top(rows: list[int], scores: list[float], chosen: int, size: int = 3) -> tuple[list[int], int]:
    lists, ranks = pessimistic_top(np.array([rows]), np.array([scores], np.float32), np.array([chosen]), size)
    return lists[0].tolist(), int(ranks[0])


def test_the_best_come_first() -> None:
    assert top([7, 8, 9], [1.0, 3.0, 2.0], chosen=9) == ([8, 9, 7], 1)


def test_ties_count_against_the_chosen_item() -> None:
    assert top([7, 8, 9], [1.0, 1.0, 1.0], chosen=7) == ([8, 9, 7], 2)


def test_what_may_not_be_shown_stands_in_no_list() -> None:
    assert top([7, 8, 9], [1.0, -np.inf, 2.0], chosen=8) == ([9, 7, ABSENT], -1)


def test_an_empty_slot_is_no_candidate_whatever_its_score() -> None:
    assert top([7, ABSENT, 9], [1.0, np.nan, 2.0], chosen=7) == ([9, 7, ABSENT], 1)


def test_what_is_no_candidate_has_no_rank() -> None:
    assert top([7, 8], [1.0, 2.0], chosen=5) == ([8, 7, ABSENT], -1)


@pytest.mark.parametrize("score", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        top([7, 8], [1.0, score], chosen=7)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, -np.inf]), min_size=1, max_size=30), st.data())
@law(200)
def test_place_and_rank_agree(scores: list[float], data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(len(scores))))
    chosen = data.draw(st.integers(0, len(scores)))
    shown, rank = top(list(rows), scores, chosen, size=20)
    score = dict(zip(rows, scores, strict=True))
    expected = (
        sum(other >= score[chosen] for row, other in score.items() if row != chosen)
        if score.get(chosen, -np.inf) > -np.inf
        else -1
    )
    assert rank == expected
    if score.get(chosen, -np.inf) > -np.inf:
        assert pessimistic_ranks(
            np.array([rows]), np.array([scores], np.float32), np.array([chosen])
        ).tolist() == [rank]
    assert (chosen in shown) == (0 <= rank < 20)
    if 0 <= rank < 20:
        assert shown.index(chosen) == rank
    there = [score[row] for row in shown if row != ABSENT]
    assert there == sorted((one for one in scores if one > -np.inf), reverse=True)[:20]


# --- ranks


def naive_rank(rows: list[int], scores: list[float], chosen: int) -> int:
    if chosen not in rows:
        return -1
    own = scores[rows.index(chosen)]
    return sum(score >= own for row, score in zip(rows, scores, strict=True) if row != chosen)


@given(st.integers(0, 10_000), st.integers(1, 8))
@law(100)
def test_every_tie_counts_against_the_chosen(seed: int, C: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.permutation(10)[:C] for _ in range(5)])
    scores = rng.integers(0, 3, (5, C)).astype(np.float32)
    empty = rng.random((5, C)) < 0.2
    rows[empty], scores[empty] = ABSENT, -np.inf
    chosen = rng.integers(0, 10, 5)
    expected = [naive_rank(*row) for row in zip(rows.tolist(), scores.tolist(), chosen.tolist(), strict=True)]
    assert pessimistic_ranks(rows, scores, chosen).tolist() == expected


def test_a_model_that_says_the_same_of_all_is_last() -> None:
    rows = np.arange(10)[None]
    assert pessimistic_ranks(rows, np.zeros((1, 10), np.float32), np.array([0])).tolist() == [9]


@pytest.mark.parametrize("place", [0, 2])
def test_no_rank_can_be_told_from_what_is_no_number(place: int) -> None:
    scores = np.zeros((1, 3), np.float32)
    scores[0, place] = np.nan
    with pytest.raises(FloatingPointError, match="not a number"):
        pessimistic_ranks(np.array([[0, 1, 2]]), scores, np.array([0]))


def test_no_choices_have_no_ranks() -> None:
    none = np.zeros((0, 4))
    assert (
        pessimistic_ranks(none.astype(np.int64), none.astype(np.float32), np.zeros(0, np.int64)).tolist()
        == []
    )
