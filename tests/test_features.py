"""What the ranker sees of a candidate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from batches import START_S, histories

from learners.candidates import CandidateRetrieval
from learners.covisitation import CoVisitation
from learners.features import NAMES, PAIR_FEATURES, PRIOR, ranking_features
from learners.popularity import Popularity
from learners.row_index import ABSENT

HOUR = 3_600.0


def features_of(history: list[int], neural: float = 0.0) -> dict[int, dict[str, float]]:
    """Features by item and name: 1 was chosen an hour and two hours ago, 2 after it; then `history` came."""
    popularity, covisitation = Popularity(), CoVisitation(4)
    popularity.learn_many(np.array([1, 1, 2]), START_S - HOUR * np.array([2.0, 1.0, 0.5]))
    popularity.ensure(20)
    covisitation.learn_many(np.array([[1]]), np.array([2]), np.array([START_S]))
    moments = histories([history])
    candidates = CandidateRetrieval(covisitation, popularity, 20).retrieve(moments, np.array([[9]]))
    scores = np.full(candidates.rows.shape, neural, np.float32)
    found = ranking_features(candidates, moments, popularity, scores)
    assert found.dtype == np.float32
    return {
        row: dict(zip(NAMES, found[0, c].tolist(), strict=True))
        for c, row in enumerate(candidates.rows[0].tolist())
        if row != ABSENT
    }


def test_axes_fit_together() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(PRIOR)
    assert len(NAMES) > PAIR_FEATURES
    assert "share" not in "".join(NAMES[:PAIR_FEATURES]), "what depends on the other candidates is left out"


def test_popularity_is_the_logarithm_of_the_decayed_count() -> None:
    one = features_of([])[1]
    assert one["popularity_1h"] == pytest.approx(math.log(0.5 + 0.25 + 1e-3), rel=1e-3)
    assert one["popularity_20y"] == pytest.approx(math.log(2.001), rel=1e-3)


def test_transitions_are_logarithms_of_shares() -> None:
    found = features_of([1])
    assert found[2]["from_last_1d"] == pytest.approx(math.log(1.0 / 1.5 + 1e-3), rel=1e-3)
    assert found[9]["from_last_1d"] == pytest.approx(math.log(1e-3), rel=1e-3)
    assert features_of([1, 3])[2]["from_last_1d"] == pytest.approx(math.log(1e-3), rel=1e-3)
    assert features_of([1, 3])[2]["from_recent_1d"] == pytest.approx(math.log(0.5 / 1.5 + 1e-3), rel=1e-3)


def test_the_users_own_choices_show() -> None:
    found = features_of([2, 1, 2])
    own = ("own", "own_count", "own_is_last")
    assert [found[2][name] for name in own] == pytest.approx([1.0, math.log(3.0), 1.0])
    assert [found[1][name] for name in own] == pytest.approx([1.0, math.log(2.0), 0.0])
    assert [found[9][name] for name in (*own, "own_age")] == [0.0] * 4
    assert found[2]["own_age"] == pytest.approx(math.log(2.0) / 10.0), "a minute ago"


def test_ages_count_in_time_and_in_events() -> None:
    one = features_of([])[1]
    assert one["first_age"] == pytest.approx(math.log1p(120.0) / 10.0)
    assert one["last_age"] == pytest.approx(math.log1p(60.0) / 10.0)
    assert one["first_age_events"] == pytest.approx(math.log1p(3.0) / 8.0)
    assert one["last_age_events"] == pytest.approx(math.log1p(2.0) / 8.0)


def test_the_user_shows_in_every_candidate() -> None:
    found = features_of([1, 2])
    assert len(found) > 1
    for one in found.values():
        assert one["user_length"] == pytest.approx(math.log(3.0) / 4.0)
        assert one["user_gap"] == pytest.approx(math.log(2.0) / 8.0)
    assert {one["user_gap"] for one in features_of([]).values()} == {0.0}


def test_the_neural_share_is_a_log_softmax_over_the_candidates_there_are() -> None:
    found = features_of([1], neural=300.0)
    for one in found.values():
        assert one["neural_share"] == pytest.approx(-math.log(len(found)), rel=1e-4)
        assert one["neural"] == 300.0


def test_everything_is_a_number_for_strangers_and_unknown_items() -> None:
    for history in ([], [15], [15, 15]):
        for one in features_of(history).values():
            assert all(math.isfinite(value) for value in one.values())


def test_nobody_has_no_features() -> None:
    popularity = Popularity()
    moments = histories([])
    candidates = CandidateRetrieval(CoVisitation(4), popularity, 20).retrieve(
        moments, np.zeros((0, 0), np.int64)
    )
    scores = np.zeros(candidates.rows.shape, np.float32)
    assert ranking_features(candidates, moments, popularity, scores).shape == (0, 1, len(NAMES))
