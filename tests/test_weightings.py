"""Task weights: each method on a problem whose answer is known, and the laws that all of them obey."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.task import Task
from learners.weightings.aligned import AlignedMtl, aligning
from learners.weightings.balanced import BalancedWeighting
from learners.weightings.cagrad import conflict_averse
from learners.weightings.dwa import DynamicWeightAverage
from learners.weightings.famo import Famo
from learners.weightings.fixed import FixedWeighting
from learners.weightings.gradnorm import GradNorm
from learners.weightings.mgda import Mgda, min_norm
from learners.weightings.pcgrad import project_conflicts
from learners.weightings.random import RandomWeighting
from learners.weightings.registry import WEIGHTINGS
from learners.weightings.stch import smooth_maximum_weights
from learners.weightings.uncertainty import UncertaintyWeighting
from learners.weightings.weighting import Weighting, relatedness

ALL = np.array([True, True])
ONES = np.ones(2)


def tasks(*values: float) -> list[Task]:
    return [Task(name=f"t{n}", value=value) for n, value in enumerate(values)]


def gram_of(*vectors: list[float]) -> np.ndarray:
    gradients = np.array(vectors)
    return gradients @ gradients.T


# --- laws


def random_rounds(seed: int, K: int, rounds: int = 6) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Gram matrices, losses and present tasks, of norms that differ by orders of magnitude."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(rounds):
        gradients = rng.normal(size=(K, 4)) * 10.0 ** rng.uniform(-3, 3, (K, 1))
        losses = 10.0 ** rng.uniform(-3, 1, K)
        present = rng.random(K) < 0.7
        made.append((gradients @ gradients.T, np.where(present, losses, np.nan), present))
    return made


every_weighting = pytest.mark.parametrize("name", sorted(WEIGHTINGS))


@every_weighting
@given(seed=st.integers(0, 10_000), K=st.integers(1, 5))
@law(25)
def test_absent_tasks_get_nothing_and_weights_stay_within_their_bounds(name: str, seed: int, K: int) -> None:
    values = np.random.default_rng(seed).uniform(0.1, 5.0, K)
    weighting: Weighting = WEIGHTINGS[name](tasks(*values))
    for gram, losses, present in random_rounds(seed, K):
        coefficients = weighting.weigh(gram, losses, present)
        assert coefficients.shape == (K,)
        assert np.isfinite(coefficients).all()
        assert (coefficients[~present] == 0.0).all()
        ratio = weighting.weights / values
        assert (ratio >= 1.0 / weighting.bound - 1e-9).all()
        assert (ratio <= weighting.bound + 1e-9).all()
        length = float(np.sqrt(max(coefficients @ gram @ coefficients, 0.0)))
        most = float((weighting.weights * np.sqrt(np.diag(gram)))[present].sum())
        assert length <= (1.0 + 1e-6) * most * max(present.sum(), 1) + 1e-12, (
            "no step is longer than its parts"
        )


@every_weighting
@given(seed=st.integers(0, 10_000), c=st.sampled_from([0.01, 3.0, 100.0]))
@law(15)
def test_what_every_task_is_worth_times_c_counts_times_c(name: str, seed: int, c: float) -> None:
    one, other = WEIGHTINGS[name](tasks(1.0, 0.5, 2.0)), WEIGHTINGS[name](tasks(c, 0.5 * c, 2.0 * c))
    for gram, losses, present in random_rounds(seed, 3):
        expected = c * one.weigh(gram, losses, present)
        assert other.weigh(gram, losses, present) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@every_weighting
@given(seed=st.integers(0, 10_000))
@law(15)
def test_a_tasks_own_value_multiplies_its_weight_and_is_never_undone(name: str, seed: int) -> None:
    one, other = WEIGHTINGS[name](tasks(1.0, 1.0, 1.0)), WEIGHTINGS[name](tasks(1.0, 7.0, 1.0))
    for round_ in random_rounds(seed, 3):
        one.weigh(*round_)
        other.weigh(*round_)
        assert other.weights == pytest.approx(one.weights * [1.0, 7.0, 1.0])


@every_weighting
def test_a_task_of_no_value_is_never_learned(name: str) -> None:
    weighting = WEIGHTINGS[name](tasks(0.0, 1.0))
    assert weighting.weigh(gram_of([1.0, 1.0], [-1.0, 0.0]), ONES, ALL)[0] == 0.0


@every_weighting
def test_nothing_present_is_nothing_learned(name: str) -> None:
    weighting = WEIGHTINGS[name](tasks(1.0, 2.0))
    assert weighting.weigh(np.zeros((2, 2)), np.full(2, np.nan), np.zeros(2, np.bool_)).tolist() == [0.0, 0.0]
    assert weighting.weights.tolist() == [1.0, 2.0]


@every_weighting
def test_gradients_of_length_zero_are_survived(name: str) -> None:
    weighting = WEIGHTINGS[name](tasks(1.0, 1.0))
    for _ in range(3):
        assert np.isfinite(weighting.weigh(np.zeros((2, 2)), np.zeros(2), ALL)).all()


@every_weighting
def test_a_restored_weighting_goes_on_alike(name: str) -> None:
    one, other = WEIGHTINGS[name](tasks(1.0, 2.0, 1.0)), WEIGHTINGS[name](tasks(1.0, 2.0, 1.0), 9)
    rounds = random_rounds(3, 3, 20)
    for round_ in rounds[:10]:
        one.weigh(*round_)
    other.load_state_dict({key: array.copy() for key, array in one.state_dict().items()})
    assert one.weights.tolist() == other.weights.tolist()
    assert other.explain() == one.explain(), "and says so"
    for round_ in rounds[10:]:
        assert one.weigh(*round_).tolist() == other.weigh(*round_).tolist()


def test_the_state_of_another_weighting_is_refused() -> None:
    with pytest.raises(ValueError, match="saved with another"):
        Famo(tasks(1.0)).load_state_dict(BalancedWeighting(tasks(1.0)).state_dict())


@every_weighting
def test_every_weight_has_a_reason(name: str) -> None:
    weighting = WEIGHTINGS[name](tasks(1.0, 2.0))
    assert [one.because for one in weighting.explain()] == ["it has had no labels yet"] * 2
    for gram, losses, _ in random_rounds(0, 2, 3):
        weighting.weigh(gram, losses, ALL)
    found = weighting.explain()
    assert [one.task for one in found] == ["t0", "t1"]
    assert [one.weight for one in found] == weighting.weights.tolist()
    assert all(one.because and np.isfinite(one.norm) and one.loss > 0.0 for one in found)


# --- equal, fixed, random


def test_equal_weights_are_the_business_values_of_present_tasks() -> None:
    weighting = WEIGHTINGS["equal"](tasks(1.0, 2.0))
    assert weighting.weigh(np.eye(2), ONES, np.array([True, False])).tolist() == [1.0, 0.0]
    assert weighting.weigh(np.eye(2), ONES, ALL).tolist() == [1.0, 2.0]


def test_fixed_weights_are_those_of_the_settings() -> None:
    weighting = FixedWeighting([Task(name="a", value=2.0, weight=0.5), Task(name="b", weight=3.0)])
    assert weighting.weigh(np.eye(2), ONES, ALL).tolist() == [1.0, 3.0]


def test_whatever_weight_was_chosen_is_meant() -> None:
    weighting = FixedWeighting([Task(name="off", weight=0.0), Task(name="much", weight=20.0)])
    assert weighting.weigh(np.eye(2), ONES, ALL).tolist() == [0.0, 20.0]
    assert weighting.weights.tolist() == [0.0, 20.0]
    assert "bounded" not in weighting.explain()[1].because


def test_random_weights_share_out_what_equal_ones_give() -> None:
    weighting = RandomWeighting(tasks(1.0, 1.0), 0)
    drawn = np.array([weighting.weigh(np.eye(2), ONES, ALL) for _ in range(400)])
    assert drawn.sum(axis=1) == pytest.approx(np.full(400, 2.0), abs=0.2), "but for the bounds"
    assert drawn.mean(axis=0) == pytest.approx([1.0, 1.0], abs=0.1)
    assert drawn[:, 0].std() > 0.3


# --- by losses


def test_uncertainty_comes_to_one_over_two_variances() -> None:
    weighting = UncertaintyWeighting(tasks(1.0, 1.0), rate=0.1)
    rng = np.random.default_rng(0)
    for _ in range(3_000):  # squared errors of noise with variances 0.25 and 1
        weighting.weigh(np.eye(2), np.array([0.25, 1.0]) * rng.chisquare(20, 2) / 20, ALL)
    assert weighting.weights == pytest.approx([1 / (2 * 0.25), 1 / 2], rel=0.1)


def test_dwa_favours_the_loss_that_falls_more_slowly() -> None:
    weighting = DynamicWeightAverage(tasks(1.0, 1.0), block=1)
    for losses in ([4.0, 4.0], [2.0, 4.0]):
        assert weighting.weigh(np.eye(2), np.array(losses), ALL).tolist() == [1.0, 1.0]
    found = weighting.weigh(np.eye(2), ONES, ALL)  # ratios 1/2 and 1, temperature 2
    shares = np.exp([0.25, 0.5])
    assert found == pytest.approx(2.0 * shares / shares.sum())


def test_dwa_looks_at_means_over_blocks() -> None:
    weighting = DynamicWeightAverage(tasks(1.0, 1.0), block=2)
    for losses in ([3.0, 1.0], [5.0, 1.0], [1.0, 1.0], [1.0, 1.0]):
        weighting.weigh(np.eye(2), np.array(losses), ALL)
    shares = np.exp([1.0 / 4.0 / 2.0, 0.5])
    assert weighting.weigh(np.eye(2), ONES, ALL) == pytest.approx(2.0 * shares / shares.sum())


def quadratic(weighting: Weighting, curvature: list[float], steps: int, rate: float) -> np.ndarray:
    """Two tasks, each a quadratic of a parameter of its own; returns the losses (steps, 2)."""
    a, x = np.array(curvature), np.ones(2)
    losses = np.zeros((steps, 2))
    for step in range(steps):
        losses[step] = 0.5 * a * x**2
        gradient = a * x
        coefficients = weighting.weigh(np.diag(gradient**2), losses[step], ALL)
        x = x - rate * coefficients * gradient
    return losses


def test_gradnorm_draws_the_weighted_norms_together() -> None:
    weighting = GradNorm(tasks(1.0, 1.0), alpha=0.0)
    for _ in range(400):
        weighting.weigh(np.diag([1.0, 16.0]), ONES, ALL)  # norms 1 and 4
    assert weighting.weights * [1.0, 4.0] == pytest.approx([1.6, 1.6], rel=0.1)
    assert weighting.weights.sum() == pytest.approx(2.0)


def test_gradnorm_lets_the_slower_task_have_the_longer_gradient() -> None:
    weighting = GradNorm(tasks(1.0, 1.0), alpha=1.0)
    for _ in range(50):
        weighting.weigh(np.eye(2), ONES, ALL)
    for _ in range(600):
        weighting.weigh(np.eye(2), np.array([0.5, 1.0]), ALL)
    assert weighting.weights[1] > 1.5 * weighting.weights[0]


def test_famo_makes_the_losses_fall_at_the_same_relative_pace() -> None:
    curvature = [1.0, 3.0]
    plain = quadratic(WEIGHTINGS["equal"](tasks(1.0, 1.0)), curvature, 60, 0.01)
    famo = quadratic(Famo(tasks(1.0, 1.0), rate=20.0, decay=0.0), curvature, 60, 0.01)

    def imbalance(losses: np.ndarray) -> float:
        fell = np.log(losses[0] / losses[-1])
        return float(abs(np.log(fell[0] / fell[1])))

    assert imbalance(plain) == pytest.approx(np.log(3.0), abs=0.05)
    assert imbalance(famo) < 0.2 * imbalance(plain)


def test_smooth_tchebycheff_attends_to_the_largest_loss_alone_as_mu_goes_to_zero() -> None:
    losses, all_three = np.array([0.5, 0.9, 0.7]), np.ones(3, np.bool_)
    assert smooth_maximum_weights(losses, 1e-3, all_three) == pytest.approx([0.0, 1.0, 0.0], abs=1e-9)
    assert smooth_maximum_weights(losses, 1e6, all_three) == pytest.approx(np.full(3, 1 / 3), rel=1e-3)
    shares = np.exp(losses / 0.2)
    assert smooth_maximum_weights(losses, 0.2, all_three) == pytest.approx(shares / shares.sum())
    absent = np.array([True, False, True])
    assert smooth_maximum_weights(losses, 1e-3, absent) == pytest.approx([0.0, 0.0, 1.0], abs=1e-9)


# --- by gradients


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
    coefficients = project_conflicts(gram_of([1.0, 0.0], [-1.0, 1.0]), ONES)
    assert coefficients @ np.array([[1.0, 0.0], [-1.0, 1.0]]) == pytest.approx([0.5, 1.5])


def test_a_task_without_gradient_changes_nothing() -> None:
    assert project_conflicts(gram_of([1.0, 0.0], [0.0, 0.0]), ONES).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0, 0.0], [0.0, 1.0], [0.5, 0.5]),
        ([1.0, 0.0], [0.0, 2.0], [0.8, 0.2]),
        ([1.0, 0.0], [3.0, 1.0], [1.0, 0.0]),  # the foot of the perpendicular lies beyond the first
        ([1.0, 0.0], [-1.0, 0.0], [0.5, 0.5]),
    ],
)
def test_mgda_finds_the_least_norm_between_two_vectors(
    first: list[float], second: list[float], expected: list[float]
) -> None:
    assert min_norm(gram_of(first, second)) == pytest.approx(expected)


@given(st.integers(0, 10_000), st.integers(2, 5))
@law(50)
def test_mgdas_direction_makes_no_task_worse(seed: int, K: int) -> None:
    """At the least norm, <g_k, d> >= |d|^2 for all k: the optimality condition."""
    gradients = np.random.default_rng(seed).normal(size=(K, 8))
    weights = min_norm(gradients @ gradients.T)
    direction = weights @ gradients
    assert weights.sum() == pytest.approx(1.0)
    assert (gradients @ direction >= direction @ direction - 1e-3).all()


@pytest.mark.parametrize("length", [1.0, 3.0])
def test_mgda_follows_that_direction_whatever_the_gradients_lengths(length: float) -> None:
    gradients = np.array([[1.0, 0.0], [-0.9 * length, 0.436 * length]])
    direction = Mgda(tasks(1.0, 1.0)).weigh(gradients @ gradients.T, ONES, ALL) @ gradients
    assert (gradients @ direction >= 0.0).all()
    assert direction[1] > abs(direction[0])


def test_mgda_sees_directions_not_lengths() -> None:
    coefficients = Mgda(tasks(1.0, 1.0)).weigh(gram_of([0.5, 0.0], [0.0, 2.0]), ONES, ALL)
    assert coefficients * [0.5, 2.0] == pytest.approx([1.25, 1.25])


def test_what_is_explained_is_a_cosine_though_tasks_seldom_come_together() -> None:
    weighting = WEIGHTINGS["gradnorm"](tasks(1.0, 1.0), 0)
    weighting.weigh(gram_of([10.0, 0.0], [-8.0, 6.0]), ONES, ALL)
    weighting.weigh(gram_of([0.1, 0.0], [0.0, 0.0]), ONES, np.array([True, False]))
    assert [one.cosine for one in weighting.explain()] == pytest.approx([-0.8, -0.8])
    assert [one.norm for one in weighting.explain()] == pytest.approx([0.1, 10.0])


@given(st.integers(0, 10_000), st.integers(2, 4))
@law(50)
def test_cagrad_stays_near_the_mean_and_helps_the_worst_task(seed: int, K: int) -> None:
    gradients = np.random.default_rng(seed).normal(size=(K, 6))
    mean = gradients.mean(axis=0)
    direction = conflict_averse(gradients @ gradients.T, 0.4) @ gradients
    assert np.linalg.norm(direction - mean) <= 0.4 * np.linalg.norm(mean) * (1.0 + 1e-6)
    assert (gradients @ direction).min() >= (gradients @ mean).min() - 1e-9


def test_cagrad_of_two_is_the_best_of_a_grid() -> None:
    gradients = np.array([[1.0, 0.2], [-0.6, 1.0]])
    mean = gradients.mean(axis=0)
    found = conflict_averse(gradients @ gradients.T, 0.4) @ gradients
    angles = np.linspace(0.0, 2.0 * np.pi, 2_000)
    ring = mean + 0.4 * np.linalg.norm(mean) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    best = (ring @ gradients.T).min(axis=1).max()
    assert (gradients @ found).min() == pytest.approx(best, rel=1e-2)


@given(st.integers(0, 10_000), st.integers(2, 4))
@law(50)
def test_aligned_gradients_have_condition_number_one(seed: int, K: int) -> None:
    gradients = np.random.default_rng(seed).normal(size=(K, 8)) * np.logspace(0, 2, K)[:, None]
    aligned = aligning(gradients @ gradients.T) @ gradients
    assert np.linalg.cond(aligned) == pytest.approx(1.0, abs=1e-3)
    least = np.linalg.svd(gradients, compute_uv=False)[-1]
    assert np.linalg.svd(aligned, compute_uv=False) == pytest.approx(np.full(K, least), rel=1e-3)


def test_aligned_tasks_that_were_never_apart_are_left_alone() -> None:
    assert AlignedMtl(tasks(1.0, 2.0)).weigh(np.eye(2), ONES, ALL) == pytest.approx([1.0, 2.0])


def test_aligned_gradients_do_not_shrink_to_the_shortest() -> None:
    found = AlignedMtl(tasks(1.0, 1.0)).weigh(np.diag([1.0, 1e-6]), ONES, ALL)  # norms 1 and 1/1000
    assert np.sqrt(found @ np.diag([1.0, 1e-6]) @ found) == pytest.approx(1.0, rel=1e-3)


# --- balanced


def test_norms_are_drawn_together_by_their_square_root() -> None:
    weighting = BalancedWeighting(tasks(1.0, 10.0))
    found = weighting.weigh(np.diag([1.0, 9.0]), ONES, ALL)  # norms 1 and 3, mean 2
    assert found == pytest.approx([2**0.5, 10.0 * (2 / 3) ** 0.5])
    assert weighting.weights == pytest.approx(found)


def test_balancing_has_bounds_and_says_so() -> None:
    weighting = BalancedWeighting(tasks(1.0, 1.0))
    assert weighting.weigh(np.diag([1e-12, 1e12]), ONES, ALL) == pytest.approx([3.0, 0.5**0.5])
    assert weighting.explain()[0].because == "its gradient norm is 0.00 x the mean (bounded at 3 x)"
    many = BalancedWeighting(tasks(*[1.0] * 30))
    gram, everybody = np.diag([1e12] + [1e-12] * 29), np.ones(30, np.bool_)
    assert many.weigh(gram, np.ones(30), everybody)[0] == pytest.approx(1 / 3)


def test_norms_are_remembered_over_batches_in_which_a_task_is_present() -> None:
    weighting = BalancedWeighting(tasks(1.0, 1.0), decay=0.5)
    weighting.weigh(np.diag([1.0, 1.0]), ONES, ALL)
    first = np.array([True, False])
    found = weighting.weigh(np.diag([9.0, 1e9]), ONES, first)  # norms 0.5 + 1.5 = 2, and still 1
    assert found == pytest.approx([0.75**0.5, 0.0])
    weighting.weigh(np.diag([4.0, 1.0]), ONES, ALL)
    assert weighting.weights == pytest.approx([0.75**0.5, 1.5**0.5])


def test_a_task_that_was_never_present_keeps_its_value() -> None:
    weighting = BalancedWeighting(tasks(1.0, 7.0))
    weighting.weigh(np.diag([4.0, 0.0]), ONES, np.array([True, False]))
    assert weighting.weights == pytest.approx([1.0, 7.0])


def test_a_reason_names_who_is_opposed() -> None:
    weighting = BalancedWeighting(tasks(2.0, 2.0))
    weighting.weigh(gram_of([1.0, 0.0], [-0.6, 0.8]), ONES, ALL)
    first = weighting.explain()[0]
    assert (first.value, first.opposes, first.cosine) == (2.0, "t1", pytest.approx(-0.6))
    assert first.because == (
        "its gradient norm is 1.00 x the mean, and what opposes t1 (cosine -0.60) was projected out"
    )


# --- what the matrix says


def test_relatedness_is_the_cosine() -> None:
    found = relatedness(gram_of([2.0, 0.0], [3.0, 3.0], [0.0, 0.0]))
    assert found == pytest.approx(np.array([[1.0, 0.5**0.5, 0.0], [0.5**0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    "fields",
    [
        {"value": -0.1},
        {"window_s": 0.0},
        {"window_s": -5.0},
        {"late_s": -1.0},
        {"weight": -1.0},
        {"loss": "huber"},
    ],
)
def test_a_task_without_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="task 'buy'"):
        Task(name="buy", **fields)
