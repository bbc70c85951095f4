"""The second stage: what it compares, what it learns, and what it must not learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.ranker import Ranker
from learners.standardiser import Standardiser

torch.set_num_threads(1)  # the products are small
F = 3


def ranker(*, seed: int = 0, candidates: int = 10, prior: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Ranker:
    return Ranker(
        np.array(prior, np.float32),
        Standardiser(F),
        learning_rate=0.02,
        rng=np.random.default_rng(seed),
        candidates=candidates,
    )


def lesson(seed: int, T: int = 16, C: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, filled places, and a chosen column: the one with the largest product of the first two features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(T, C, F)).astype(np.float32)
    filled = rng.random((T, C)) < 0.8
    filled[:, 0] = True
    worth = np.where(filled, features[:, :, 0] * features[:, :, 1], -np.inf)
    return features, filled, worth.argmax(axis=1)


def hits(learned: Ranker, seed: int) -> float:
    features, filled, chosen = lesson(seed, T=200)
    return float((learned.score(features, filled).argmax(axis=1) == chosen).mean())


def test_it_learns_what_no_single_feature_tells() -> None:
    learned = ranker()
    losses = []
    for seed in range(150):
        features, filled, chosen = lesson(seed)
        losses.append(learned.learn_many(features, filled, learned.score(features, filled), chosen))
    assert hits(ranker(), 999) < 0.2
    assert hits(learned, 999) > 0.7
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_before_it_learns_the_prior_decides() -> None:
    features = np.random.default_rng(0).normal(size=(1, 9, F)).astype(np.float32)
    scores = ranker(prior=(1.0, 0.0, -2.0)).score(features, np.ones((1, 9), np.bool_))
    worth = features[0, :, 0] - 2.0 * features[0, :, 2]
    assert np.argsort(scores[0]).tolist() == np.argsort(worth).tolist()


def test_where_there_is_no_candidate_the_score_is_the_least() -> None:
    features, filled, _ = lesson(0)
    scores = ranker().score(features, filled)
    assert (np.isneginf(scores) == ~filled).all()
    assert scores.dtype == np.float32


def test_what_stands_in_an_empty_place_changes_nothing() -> None:
    features, filled, chosen = lesson(0)
    other_features = np.where(filled[:, :, None], features, np.float32(77.0))
    one, other = ranker(), ranker()
    for _ in range(3):
        scores = one.score(features, filled)
        assert one.learn_many(features, filled, scores, chosen) == other.learn_many(
            other_features, filled, scores, chosen
        )
    assert (one.score(features, filled) == other.score(features, filled)).all()


@given(st.integers(0, 500), st.integers(2, 30), st.integers(2, 25))
@law(80)
def test_the_compared_candidates_stand_for_all(seed: int, C: int, compared: int) -> None:
    """The chosen one first, nobody twice, and weights that add up to the number of candidates there are."""
    rng = np.random.default_rng(seed)
    filled = rng.random((6, C)) < 0.6
    chosen = rng.integers(0, C, 6)
    filled[np.arange(6), chosen] = True
    scores = rng.normal(size=(6, C)).astype(np.float32)
    columns, log_weight = ranker(seed=seed, candidates=compared)._contrast(filled, scores, chosen)
    assert columns.shape[1] == min(compared, C)
    assert (columns[:, 0] == chosen).all()
    for n in range(6):
        real = log_weight[n] > -1e8
        assert filled[n, columns[n][real]].all()
        assert len(set(columns[n][real].tolist())) == real.sum()
        assert np.exp(log_weight[n][real]).sum() == pytest.approx(filled[n].sum(), rel=1e-4)
        others = [c for c in np.argsort(-scores[n], kind="stable") if filled[n, c] and c != chosen[n]]
        top = int((min(compared, C) - 1) * 0.6)
        assert set(others[:top]) <= set(columns[n][real].tolist()), "its own best are among them"


@pytest.mark.parametrize(("T", "C"), [(0, 5), (3, 1)])
def test_where_there_is_nothing_to_compare_nothing_is_learned(T: int, C: int) -> None:
    features = np.zeros((T, C, F), np.float32)
    filled = np.ones((T, C), np.bool_)
    assert ranker().learn_many(features, filled, features[:, :, 0], np.zeros(T, np.int64)) is None


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_skipped_and_leave_no_trace(poison: float) -> None:
    one, clean = ranker(), ranker()
    features, filled, chosen = lesson(0)
    for learned in (one, clean):
        learned.learn_many(features, filled, learned.score(features, filled), chosen)
    bad = features.copy()
    bad[3, chosen[3], 0] = poison
    assert one.learn_many(bad, filled, one.score(features, filled), chosen) is None or np.isinf(poison)
    assert np.isfinite(one.score(features, filled)[filled]).all()


def test_a_restored_ranker_goes_on_alike() -> None:
    one, other = ranker(seed=1), ranker(seed=1)
    features, filled, chosen = lesson(0)
    other._rng.random(5)
    one._rng.random(5)
    scores = one.score(features, filled)
    one.learn_many(features, filled, scores, chosen)
    other._standardiser.load_state_dict(one._standardiser.state_dict())
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    assert (one.score(features, filled) == other.score(features, filled)).all()


def test_the_seed_decides_its_beginning() -> None:
    features, filled, chosen = lesson(0)

    def begun(seed: int) -> np.ndarray:
        learned = ranker(seed=seed)
        for n in range(2):
            learned.learn_many(features, filled, lesson(n)[0][:, :, 0], chosen)
        return learned.score(features, filled)

    assert (begun(1) == begun(1)).all()
    assert (begun(1) != begun(2)).any()
