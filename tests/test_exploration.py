"""Exploration keeps its word about propensities, and what they are for works: other policies can be valued."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.exploration import EXPLORED, NEW, RANKED, ExplorationRules, Explored, explore

SCORES = [3.0, 2.0, 1.5, 1.0, 0.2, -0.5]


def explored(
    *,
    rules: ExplorationRules,
    times: int = 1,
    empty: int = 0,
    new: tuple[int, ...] = (),
    size: int = 2,
    seed: int = 0,
) -> Explored:
    """The same candidates many times, in the order of `SCORES`; the last `empty` ones are none."""
    C = len(SCORES)
    tile = lambda row: np.tile(row, (times, 1))  # noqa: E731
    return explore(
        tile(np.arange(C)),
        tile(np.arange(C) < C - empty),
        tile(np.array(SCORES)),
        tile(np.isin(np.arange(C), new)),
        size,
        rules,
        np.random.default_rng(seed),
    )


@pytest.mark.parametrize(
    ("rules", "empty", "new"),
    [
        (ExplorationRules(probability=0.3, temperature=1.0), 0, ()),
        (ExplorationRules(probability=0.3, temperature=0.3), 2, ()),
        (ExplorationRules(probability=0.3, temperature=1e6), 0, ()),
        (ExplorationRules(probability=0.2, new_share=0.3), 0, (4, 5)),
        (ExplorationRules(new_share=0.4), 1, (0, 3, 5)),
        (ExplorationRules(probability=0.5, new_share=0.5), 3, (2,)),
    ],
    ids=["softmax", "cold, two empty", "even", "new ones too", "new ones only", "one below, and it is new"],
)
def test_propensities_are_frequencies_given_what_stands_above(
    rules: ExplorationRules, empty: int, new: tuple[int, ...]
) -> None:
    times = 100_000
    found = explored(rules=rules, times=times, empty=empty, new=new)
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    said: dict[tuple[int, ...], set[float]] = defaultdict(set)
    for slate, propensity in zip(found.order.tolist(), found.propensity.tolist(), strict=True):
        for r, item in enumerate(slate):
            counts[tuple(slate[:r])][item] += 1
            said[tuple(slate[: r + 1])].add(round(propensity[r], 5))
    for above, items in counts.items():
        total = sum(items.values())
        for item, count in items.items():
            told = said[(*above, item)]
            assert len(told) == 1, "one event has one probability"
            expected = told.pop()
            spread = (expected * (1.0 - expected) / total) ** 0.5
            assert count / total == pytest.approx(expected, abs=4.5 * spread + 1e-5)


def test_what_below_is_better_is_tried_more_often() -> None:
    found = explored(rules=ExplorationRules(probability=0.5, temperature=1.0), times=20_000)
    tried = Counter(found.order[found.placed == EXPLORED].tolist())
    assert [item for item, _ in tried.most_common()] == [2, 3, 4, 5]
    weights = np.exp(SCORES[2:])
    first = found.placed[:, 0] == EXPLORED
    assert found.propensity[first, 0] == pytest.approx(
        (0.5 * weights / weights.sum())[found.order[first, 0] - 2], rel=1e-5
    )


def test_places_are_marked_by_why_their_items_stand_there() -> None:
    found = explored(rules=ExplorationRules(probability=0.3, new_share=0.3), times=20_000, new=(5,))
    assert ((found.order < 2) == (found.placed == RANKED)).all()
    assert set(found.order[found.placed == NEW].tolist()) == {5}
    assert (found.placed == NEW).any(axis=1).mean() == pytest.approx(1 - 0.7 * 0.7, abs=0.02)


def test_without_exploration_the_composed_slate_stands_there_surely() -> None:
    found = explored(rules=ExplorationRules(), times=5, new=(4,))
    assert found.order.tolist() == [[0, 1]] * 5
    assert (found.propensity == 1.0).all()
    assert (found.placed == RANKED).all()


def test_new_items_that_stand_in_the_slate_already_are_no_reason_to_try_anything() -> None:
    found = explored(rules=ExplorationRules(new_share=0.9), times=5, new=(0, 1))
    assert found.order.tolist() == [[0, 1]] * 5
    assert (found.propensity == 1.0).all()


@pytest.mark.parametrize("empty", [4, 5, 6])
def test_where_nothing_is_below_nothing_is_tried(empty: int) -> None:
    found = explored(rules=ExplorationRules(probability=0.5, new_share=0.5), times=50, empty=empty, new=(5,))
    assert (found.propensity == 1.0).all()
    assert (found.placed == RANKED).all()


def test_nobody_gets_nothing() -> None:
    found = explored(rules=ExplorationRules(probability=0.5), times=0)
    assert found.order.shape == found.propensity.shape == (0, 2)


@given(
    st.floats(0.0, 0.5),
    st.floats(0.0, 0.5),
    st.floats(0.01, 1e3),
    st.sets(st.integers(0, 5)),
    st.integers(0, 6),
    st.integers(1, 8),
    st.integers(0, 99),
)
@law(100)
def test_a_slate_repeats_nothing_and_every_propensity_can_be_divided_by(
    probability: float,
    new_share: float,
    temperature: float,
    new: set[int],
    empty: int,
    size: int,
    seed: int,
) -> None:
    rules = ExplorationRules(probability=probability, new_share=new_share, temperature=temperature)
    found = explored(rules=rules, times=20, empty=empty, new=tuple(new), size=size, seed=seed)
    filled = found.order < len(SCORES) - empty
    for slate, there in zip(found.order.tolist(), filled, strict=True):
        assert len(set(slate)) == len(slate)
        assert there.tolist() == sorted(there.tolist(), reverse=True), "no empty place before a filled one"
    assert ((found.propensity > 0.0) & (found.propensity <= 1.0)).all()
    composed = found.placed == RANKED
    if probability + new_share < 1.0:  # else the last one below, if it is new, is a sure thing
        assert (found.propensity[~composed & filled] < 1.0).all()


def test_another_policy_is_valued_without_bias_by_what_this_one_has_logged() -> None:
    """Clicks by a cascade that knows what stands above; the other policy's value is known from playing it."""
    logging = ExplorationRules(probability=0.4, temperature=3.0, new_share=0.2)
    other = ExplorationRules(probability=0.3, temperature=0.5)
    appeal = np.array([0.3, 0.1, 0.6, 0.2, 0.5, 0.4])

    def clicked(order: np.ndarray) -> np.ndarray:
        """(S, 2) expected clicks; the second place is looked at less after an attractive first one."""
        first = appeal[order[:, 0]]
        return np.stack([first, appeal[order[:, 1]] * (1.0 - 0.5 * first)], axis=1)

    times = 200_000
    logged = explored(rules=logging, times=times, new=(3, 5), seed=1)
    rewards = np.random.default_rng(2).random((times, 2)) < clicked(logged.order)

    below = np.exp(np.array(SCORES) / other.temperature)
    below[:2] = 0.0
    wanted = np.empty((times, 2))
    for r in range(2):
        left = np.tile(below, (times, 1))
        if r:
            left[np.arange(times), logged.order[:, 0]] = 0.0
        tried = other.probability * left / left.sum(axis=1, keepdims=True)
        wanted[:, r] = tried[np.arange(times), logged.order[:, r]]
        wanted[logged.order[:, r] == r, r] = 1.0 - other.probability
    weights = np.cumprod(wanted / logged.propensity, axis=1)
    value = (weights * rewards).sum(axis=1)

    truth = clicked(explored(rules=other, times=times, seed=3).order).sum(axis=1).mean()
    naive = rewards.sum(axis=1).mean()
    error = value.std() / times**0.5
    assert value.mean() == pytest.approx(truth, abs=4.0 * error + 0.002)
    assert abs(naive - truth) > 10.0 * error, "the log alone says something else"
