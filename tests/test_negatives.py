"""Shared negatives and the logQ correction."""

from __future__ import annotations

import numpy as np
import pytest

from learners.negatives import NegativeSampler


def sampler(*rows: int, negatives: int = 6, seed: int = 0) -> NegativeSampler:
    """A sampler that has counted `rows`."""
    made = NegativeSampler(negatives, np.random.default_rng(seed))
    made.learn_many(np.array(rows, np.int64))
    return made


def test_nothing_is_drawn_before_anything_is_known() -> None:
    assert sampler().sample().tolist() == []


def test_negatives_are_uniform_over_known_items() -> None:
    drawn = sampler(5, 5, 5, 5, 900, 17, negatives=30_000).sample()
    rows, counts = np.unique(drawn, return_counts=True)
    assert rows.tolist() == [5, 17, 900]
    assert counts == pytest.approx([10_000] * 3, rel=0.05), "however often each was chosen"


def test_log_expected_is_targets_plus_negatives() -> None:
    made = sampler(1, 1, 1, 2)
    expected = [(3 + 0.5) / 4 * 10 + 6 / 2, (1 + 0.5) / 4 * 10 + 6 / 2, 0.5 / 4 * 10 + 6 / 2]
    assert np.exp(made.log_expected(np.array([1, 2, 99_999]), 10)) == pytest.approx(expected, rel=1e-6)


def test_log_expected_is_how_often_a_sample_holds_an_item() -> None:
    """Draw batches of targets from the counted shares, add negatives, and count."""
    made = sampler(*[1] * 600, *[2] * 300, *[3] * 100, negatives=9)
    rng = np.random.default_rng(3)
    T, trials = 20, 2_000
    held = np.zeros(4)
    for _ in range(trials):
        sample = np.concatenate([rng.choice([1, 2, 3], T, p=[0.6, 0.3, 0.1]), made.sample()])
        held += np.bincount(sample, minlength=4)
    assert np.exp(made.log_expected(np.array([1, 2, 3]), T)) == pytest.approx(held[1:] / trials, rel=0.03)


def test_a_forgotten_item_is_not_drawn_again_until_it_is_chosen() -> None:
    made = sampler(1, 2, 2, negatives=50)
    made.forget(np.array([2, 99_999]))
    assert set(made.sample().tolist()) == {1}
    made.learn_many(np.array([2]))
    assert set(made.sample().tolist()) == {1, 2}
    assert made.log_expected(np.array([2]), 4) == pytest.approx(np.log(1.5 / 2 * 4 + 50 / 2), rel=1e-6)


def test_a_restored_sampler_draws_what_the_other_would_have_drawn() -> None:
    one, other = sampler(1, 2, 3, seed=1), sampler(seed=2)
    one.sample()
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    assert one.sample().tolist() == other.sample().tolist()
    assert one.log_expected(np.array([1]), 3) == other.log_expected(np.array([1]), 3)


def test_how_often_an_item_comes_is_how_often_it_comes_now() -> None:
    rng = np.random.default_rng(0)
    made = NegativeSampler(256, rng)
    for _ in range(20):
        made.learn_many(rng.integers(0, 5_000, 25_000))
    restored = NegativeSampler(256, np.random.default_rng(1))
    restored.load_state_dict(made.state_dict())
    favourite, batch = 5_000, 64
    for one in (made, restored):
        for _ in range(50):
            one.learn_many(np.where(rng.random(4_000) < 0.1, favourite, rng.integers(0, 5_000, 4_000)))
        expected = 0.1 * batch + 256 / 5_001
        assert np.exp(one.log_expected(np.array([favourite]), batch)) == pytest.approx(expected, rel=0.15)
        assert len(np.unique(one._known)) == len(one._known) == 5_001
