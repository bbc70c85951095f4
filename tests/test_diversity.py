"""Slates of items that are not too alike, against naive references and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.diversity import Diversity, choose


def chosen(
    scores: list[float],
    vectors: np.ndarray | None = None,
    sources: list[int] | None = None,
    *,
    size: int = 3,
    kind: Diversity = "none",
    strength: float = 1.0,
    most: int = 99,
) -> tuple[list[int], list[float]]:
    C = len(scores)
    order, adjustment = choose(
        np.array([scores]),
        np.zeros((1, C, 1), np.float32) if vectors is None else vectors[None].astype(np.float32),
        np.array([sources or [0] * C]),
        size,
        kind=kind,
        strength=strength,
        most_of_a_source=most,
    )
    return order[0].tolist(), adjustment[0].tolist()


def units(seed: int, items: int = 9, dimension: int = 4) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((items, dimension))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def log_det(scores: np.ndarray, vectors: np.ndarray, slate: list[int], strength: float) -> float:
    """log det of L over a slate, L_ij = q_i q_j (1 + cos) / 2 with q = exp(score / (2 strength))."""
    q = np.exp(scores / (2.0 * strength))
    kernel = q[:, None] * q * (1.0 + vectors @ vectors.T) / 2.0
    return float(np.linalg.slogdet(kernel[np.ix_(slate, slate)])[1])


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
@law(60)
def test_dpp_takes_the_item_that_raises_the_determinant_most(seed: int, strength: float) -> None:
    vectors = units(seed, dimension=8)
    scores = np.random.default_rng(seed + 1).normal(size=9)
    order, adjustment = chosen(scores.tolist(), vectors, size=5, kind="dpp", strength=strength)
    slate: list[int] = []
    for n, item in enumerate(order):
        gains = {
            other: log_det(scores, vectors, [*slate, other], strength)
            for other in range(9)
            if other not in slate
        }
        assert gains[item] == pytest.approx(max(gains.values()), abs=1e-3)
        before = log_det(scores, vectors, slate, strength) if slate else 0.0
        assert scores[item] + adjustment[n] == pytest.approx(strength * (gains[item] - before), abs=1e-2)
        slate.append(item)


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
@law(60)
def test_mmr_takes_the_best_after_what_it_has_in_common(seed: int, strength: float) -> None:
    vectors = units(seed)
    scores = np.random.default_rng(seed + 1).normal(size=9)
    order, adjustment = chosen(scores.tolist(), vectors * 3.0, size=6, kind="mmr", strength=strength)
    for n, item in enumerate(order):
        above = order[:n]
        values = {
            other: scores[other]
            - strength * max([0.0, *(float(vectors[other] @ vectors[one]) for one in above)])
            for other in range(9)
            if other not in above
        }
        assert values[item] == pytest.approx(max(values.values()), abs=1e-5)
        assert scores[item] + adjustment[n] == pytest.approx(values[item], abs=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("none", [0, 1, 2]), ("mmr", [0, 2, 1]), ("dpp", [0, 2, 1])])
def test_a_twin_has_to_wait_for_what_is_different(kind: Diversity, expected: list[int]) -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert chosen([3.0, 2.9, 2.5], vectors, kind=kind)[0] == expected


def test_opposite_items_are_as_different_as_can_be() -> None:
    vectors = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    order, adjustment = chosen([3.0, 2.0, 2.0], vectors, kind="dpp", size=2)
    assert (order, adjustment[1]) == ([0, 1], pytest.approx(0.0, abs=1e-6))


def test_known_determinants() -> None:
    """After an equal item 1e-6 is left; after one at a right angle 1 - 1/4."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    _, adjustment = chosen([3.0, 2.0, 1.0], vectors, kind="dpp", strength=2.0)
    assert adjustment == pytest.approx([0.0, 2.0 * np.log(0.75), 2.0 * np.log(1e-6)], abs=1e-4)


def test_a_source_gets_no_more_than_its_share_while_there_are_others() -> None:
    order, _ = chosen([5.0, 4.0, 3.0, 2.0, 1.0], sources=[0, 0, 0, 1, 2], size=4, most=1)
    assert order == [0, 3, 4, 1], "and where there is nothing else, the best of what was passed over"
    assert chosen([5.0, 4.0, 3.0, 2.0], sources=[0, 0, 0, 1], size=3, most=2)[0] == [0, 1, 3]


def test_empty_slots_come_last_and_count_for_no_source() -> None:
    order, adjustment = chosen(
        [1.0, -np.inf, 2.0], units(0, 3), [0, 0, 0], size=3, kind="dpp", strength=0.5, most=1
    )
    assert order == [2, 0, 1]
    assert adjustment[2] == 0.0


def test_nobody_gets_nothing() -> None:
    order, _ = choose(
        np.zeros((0, 4)),
        np.zeros((0, 4, 2), np.float32),
        np.zeros((0, 4), np.int64),
        3,
        kind="mmr",
        strength=1.0,
        most_of_a_source=9,
    )
    assert order.shape == (0, 3)
