"""From scored candidates to slates."""

from __future__ import annotations

import numpy as np
import pytest

from learners.candidates import NEW, SOURCES
from learners.composition import Composed, Scored, SlateRules, compose, first_source, shortlist
from learners.exploration import PLACED, ExplorationRules
from learners.row_index import ABSENT

POPULAR, REPEAT = 1 << SOURCES.index("popularity"), 1 << SOURCES.index("repeat")


def composed(
    parts: list[list[float]],
    sources: list[int] | None = None,
    *,
    rows: list[int] | None = None,
    vectors: list[list[float]] | None = None,
    size: int = 3,
    **rules: object,
) -> Composed:
    M = len(parts)
    scored = Scored(
        rows=np.array([rows or list(range(10, 10 + M))]),
        sources=np.array([sources or [POPULAR] * M], np.uint8),
        parts=np.array([parts]),
        vectors=np.array([vectors or [[1.0]] * M], np.float32),
    )
    return compose(scored, size, SlateRules(**rules), np.random.default_rng(0))  # type: ignore[arg-type]


def test_the_sum_of_the_parts_is_the_score_and_the_order() -> None:
    slate = composed([[1.0, 0.5], [0.0, 3.0], [2.0, -4.0]])
    assert slate.rows.tolist() == [[11, 10, 12]]
    assert slate.scores.tolist() == [[3.0, 1.5, -2.0]]
    assert slate.parts.tolist() == [[[0.0, 3.0, 0.0], [1.0, 0.5, 0.0], [2.0, -4.0, 0.0]]]
    assert (slate.propensity == 1.0).all()


@pytest.mark.parametrize("diversity", ["mmr", "dpp"])
def test_what_diversity_takes_off_is_a_part_too(diversity: str) -> None:
    vectors = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]
    slate = composed([[3.0], [2.9], [2.5]], vectors=vectors, diversity=diversity, diversity_strength=1.0)
    assert slate.rows.tolist() == [[10, 12, 11]]
    assert slate.parts.sum(axis=2) == pytest.approx(slate.scores)
    assert slate.parts[0, 0, 1] == 0.0
    assert slate.parts[0, 2, 1] < -0.9


def test_a_source_is_capped() -> None:
    sources = [REPEAT, REPEAT | POPULAR, REPEAT, POPULAR, POPULAR]
    slate = composed([[5.0], [4.0], [3.0], [2.0], [1.0]], sources, size=4, max_share_per_source=0.5)
    assert slate.rows.tolist() == [[10, 11, 13, 14]]
    assert [SOURCES[number] for number in slate.sources[0]] == ["repeat"] * 2 + ["popularity"] * 2


def test_slots_without_a_candidate_are_places_without_an_item() -> None:
    slate = composed([[9.0], [1.0], [2.0]], rows=[ABSENT, 4, 5])
    assert slate.rows.tolist() == [[5, 4, ABSENT]]
    assert slate.scores[0, 2] == -np.inf
    assert slate.parts[0, 2].tolist() == [0.0, 0.0]


def test_a_new_item_that_is_tried_is_named_so() -> None:
    sources = [POPULAR, POPULAR, POPULAR | 1 << NEW]
    rules = ExplorationRules(new_share=1.0)
    slate = composed([[5.0], [4.0], [1.0]], sources, size=1, exploration=rules)
    assert slate.rows.tolist() == [[12]]
    assert (SOURCES[slate.sources[0, 0]], PLACED[slate.placed[0, 0]]) == ("new", "new")
    assert slate.scores.tolist() == [[1.0]], "its score stays what it is"


def test_new_items_are_on_the_shortlist_before_anybody_knows_them() -> None:
    scores = np.array([[5.0, 4.0, 3.0, -9.0, -np.inf]], np.float32)
    sources = np.array([[POPULAR, POPULAR, POPULAR, 1 << NEW, 1 << NEW]], np.uint8)
    assert set(shortlist(scores, sources, 3)[0].tolist()) == {0, 1, 3}
    assert shortlist(scores, sources, 9).tolist() == [[0, 1, 2, 3, 4]]


def test_a_shortlist_has_others_where_one_source_may_not_have_everything() -> None:
    """The best four are of one source that may have two places: a slate of four would have found nobody else."""
    scores = np.array([[9.0, 8.0, 7.0, 6.0, 2.0, 1.0, -np.inf]], np.float32)
    sources = np.array([[POPULAR] * 4 + [REPEAT] * 3], np.uint8)
    assert set(shortlist(scores, sources, 4)[0].tolist()) == {0, 1, 2, 3}
    assert set(shortlist(scores, sources, 4, most=2)[0].tolist()) == {0, 1, 4, 5}
    assert set(shortlist(scores, sources, 5, most=1)[0].tolist()) == {0, 1, 2, 3, 4}, "the best of the rest"


def test_the_first_source_is_named() -> None:
    assert first_source(np.array([[0b000001, 0b010010, 0b100000, 0]], np.uint8)).tolist() == [[0, 1, 5, 0]]
