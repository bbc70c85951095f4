"""Task weights from the gradients' inner products, against explicit vectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.task import Task
from learners.weightings import (
    WEIGHTINGS,
    BalancedWeighting,
    EqualWeighting,
    Weighting,
    project_conflicts,
    relatedness,
)

ALL = np.array([True, True])


def tasks(*values: float) -> list[Task]:
    return [Task(name=f"t{n}", value=value) for n, value in enumerate(values)]


def gram_of(*vectors: list[float]) -> np.ndarray:
    gradients = np.array(vectors)
    return gradients @ gradients.T


def naive_pcgrad(gradients: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Yu et al. (2020) on vectors, the other tasks in their order."""
    total = np.zeros(gradients.shape[1])
    for i, own in enumerate(gradients):
        projected = own.copy()
        for j, other in enumerate(gradients):
            if j != i and other @ other > 0.0 and projected @ other < 0.0:
                projected -= projected @ other / (other @ other) * other
        total += projected
    return total


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
@law(100)
def test_the_projection_is_pcgrad_of_the_weighted_gradients(seed: int, K: int, D: int) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(K, D))
    weights = np.where(rng.random(K) < 0.2, 0.0, rng.uniform(0.1, 3.0, K))
    coefficients = project_conflicts(gradients @ gradients.T, weights)
    there = weights > 0.0
    expected = naive_pcgrad(gradients[there] * weights[there, None])
    assert coefficients @ gradients == pytest.approx(expected, abs=1e-9)
    assert (coefficients[~there] == 0.0).all(), "an absent task takes no part"


def test_gradients_that_agree_are_left_alone() -> None:
    assert project_conflicts(gram_of([1.0, 0.0], [1.0, 1.0]), np.array([2.0, 0.5])).tolist() == [2.0, 0.5]


def test_opposite_gradients_lose_what_they_oppose() -> None:
    coefficients = project_conflicts(gram_of([1.0, 0.0], [-1.0, 1.0]), np.ones(2))
    assert coefficients @ np.array([[1.0, 0.0], [-1.0, 1.0]]) == pytest.approx([0.5, 1.5])


def test_a_task_without_gradient_changes_nothing() -> None:
    assert project_conflicts(gram_of([1.0, 0.0], [0.0, 0.0]), np.ones(2)).tolist() == [1.0, 1.0]


def test_equal_weights_are_the_business_values_of_present_tasks() -> None:
    weighting = EqualWeighting(tasks(1.0, 2.0))
    assert weighting.weigh(np.eye(2), np.array([True, False])).tolist() == [1.0, 0.0]
    assert weighting.weigh(np.eye(2), ALL).tolist() == [1.0, 2.0]


def test_norms_are_drawn_together_by_their_square_root() -> None:
    weighting = BalancedWeighting(tasks(1.0, 10.0))
    found = weighting.weigh(np.diag([1.0, 9.0]), ALL)  # norms 1 and 3, mean 2
    assert found == pytest.approx([2**0.5, 10.0 * (2 / 3) ** 0.5])
    assert weighting.weights == pytest.approx(found)


def test_balancing_has_bounds() -> None:
    weighting = BalancedWeighting(tasks(1.0, 1.0))
    assert weighting.weigh(np.diag([1e-12, 1e12]), ALL) == pytest.approx([3.0, 0.5**0.5])
    many = BalancedWeighting(tasks(*[1.0] * 30))
    assert many.weigh(np.diag([1e12] + [1e-12] * 29), np.ones(30, np.bool_))[0] == pytest.approx(1 / 3)


def test_norms_are_remembered_over_batches_in_which_a_task_is_present() -> None:
    weighting = BalancedWeighting(tasks(1.0, 1.0), decay=0.5)
    weighting.weigh(np.diag([1.0, 1.0]), ALL)
    found = weighting.weigh(np.diag([9.0, 1e9]), np.array([True, False]))  # norms 0.5 + 1.5 = 2, and still 1
    assert found == pytest.approx([0.75**0.5, 0.0])
    assert weighting.weights == pytest.approx([0.75**0.5, 1.5**0.5])


def test_a_task_that_was_never_present_keeps_its_value() -> None:
    weighting = BalancedWeighting(tasks(1.0, 7.0))
    weighting.weigh(np.diag([4.0, 0.0]), np.array([True, False]))
    assert weighting.weights == pytest.approx([1.0, 7.0])


def test_a_task_of_no_value_is_never_learned() -> None:
    assert BalancedWeighting(tasks(0.0, 1.0)).weigh(gram_of([1.0, 1.0], [-1.0, 0.0]), ALL)[0] == 0.0


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_restored_weighting_goes_on_alike(name: str) -> None:
    one: Weighting = WEIGHTINGS[name](tasks(1.0, 2.0))
    one.weigh(gram_of([1.0, 2.0], [-3.0, 1.0]), ALL)
    other: Weighting = WEIGHTINGS[name](tasks(1.0, 2.0))
    other.load_state_dict({key: array.copy() for key, array in one.state_dict().items()})
    assert one.weights.tolist() == other.weights.tolist()
    gram = gram_of([5.0, 0.0], [-1.0, 1.0])
    assert one.weigh(gram, ALL).tolist() == other.weigh(gram, ALL).tolist()


def test_relatedness_is_the_cosine() -> None:
    found = relatedness(gram_of([2.0, 0.0], [3.0, 3.0], [0.0, 0.0]))
    assert found == pytest.approx(np.array([[1.0, 0.5**0.5, 0.0], [0.5**0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize("fields", [{"value": -0.1}, {"window_s": 0.0}, {"window_s": -5.0}])
def test_a_task_without_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="task 'buy'"):
        Task(name="buy", **fields)
