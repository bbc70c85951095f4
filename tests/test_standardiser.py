"""Features on a common scale."""

from __future__ import annotations

import numpy as np
import pytest

from learners.standardiser import Standardiser


def rows(mean: float, deviation: float, count: int = 1_000, seed: int = 0) -> np.ndarray:
    return (mean + deviation * np.random.default_rng(seed).standard_normal((count, 1))).astype(np.float32)


def test_before_anything_is_seen_features_pass_through() -> None:
    assert Standardiser(2).transform(np.array([[1.0, -2.0]], np.float32))[0] == pytest.approx(
        [1, -2], rel=0.02
    )


def test_what_was_seen_becomes_zero_and_one() -> None:
    scale = Standardiser(1)
    for seed in range(5):
        scale.learn_many(rows(50.0, 4.0, seed=seed))
    scaled = scale.transform(rows(50.0, 4.0, seed=9))
    assert scaled.dtype == np.float32
    assert (scaled.mean(), scaled.std()) == (pytest.approx(0.0, abs=0.1), pytest.approx(1.0, abs=0.1))


def test_it_follows_a_stream_that_moves() -> None:
    scale = Standardiser(1)
    for mean in [0.0] * 50 + [10.0] * 2_000:
        scale.learn_many(rows(mean, 1.0, count=20))
    assert scale.transform(np.array([[10.0]], np.float32))[0, 0] == pytest.approx(0.0, abs=0.5)


def test_what_batches_differ_by_is_no_outlier() -> None:
    """The rows of one user have the same in many columns."""
    scaled, rng = Standardiser(1), np.random.default_rng(0)
    for value in rng.normal(5.0, 2.0, 2_000):
        scaled.learn_many(np.full((16, 1), value, np.float32))
    found = scaled.transform(np.array([[3.0], [5.0], [7.0]], np.float32))[:, 0]
    assert found == pytest.approx([-1.0, 0.0, 1.0], abs=0.35)


def test_outliers_are_cut() -> None:
    scale = Standardiser(1)
    scale.learn_many(rows(0.0, 1.0))
    assert scale.transform(np.array([[1e9], [-1e9]], np.float32)).ravel().tolist() == [6.0, -6.0]


def test_a_constant_feature_does_not_explode() -> None:
    scale = Standardiser(1)
    scale.learn_many(np.full((10, 1), 3.0, np.float32))
    assert scale.transform(np.full((1, 1), 3.0, np.float32)).tolist() == [[0.0]]
    assert np.isfinite(scale.transform(np.full((1, 1), 3.1, np.float32))).all()


def test_what_knows_the_first_features_only_leaves_the_others_alone() -> None:
    scale, alone = Standardiser(2), Standardiser(1)
    for seed in range(50):
        both = np.concatenate([rows(5.0, 2.0, seed=seed), rows(-6.0, 1.5, seed=100 + seed)], axis=1)
        if seed % 10 == 0:
            scale.learn_many(both)
            alone.learn_many(both[:, 1:])
        else:
            scale.learn_many(both[:, :1])
    asked = np.array([[5.0, -6.0], [7.0, -4.5]], np.float32)
    found = scale.transform(asked)
    assert found[:, 0] == pytest.approx([0.0, 1.0], abs=0.1)
    assert found[:, 1] == pytest.approx(alone.transform(asked[:, 1:])[:, 0], abs=1e-4)


def test_no_rows_teach_nothing() -> None:
    scale = Standardiser(1)
    scale.learn_many(rows(5.0, 1.0))
    before = scale.transform(rows(5.0, 1.0))
    scale.learn_many(np.zeros((0, 1), np.float32))
    assert (scale.transform(rows(5.0, 1.0)) == before).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_does_not_stay(poison: float) -> None:
    """One bad row must not make every later score a NaN."""
    scale, clean = Standardiser(1), Standardiser(1)
    for learned in (scale, clean):
        learned.learn_many(rows(5.0, 1.0))
    scale.learn_many(np.array([[poison]], np.float32))
    scale.learn_many(np.concatenate([rows(5.0, 1.0, seed=1), [[np.float32(poison)]]]))
    clean.learn_many(rows(5.0, 1.0, seed=1))
    probe = rows(5.0, 1.0, seed=2)
    assert (scale.transform(probe) == clean.transform(probe)).all()


def test_a_restored_one_goes_on_alike() -> None:
    one, other = Standardiser(1), Standardiser(1)
    one.learn_many(rows(5.0, 1.0))
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for learned in (one, other):
        learned.learn_many(rows(9.0, 2.0, seed=1))
    probe = rows(5.0, 1.0, seed=2)
    assert (one.transform(probe) == other.transform(probe)).all()
