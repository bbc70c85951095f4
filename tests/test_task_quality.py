"""Figures of forecasts, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from monitoring.operating_threshold import best_threshold, progressive_decisions
from monitoring.task_quality import auc, binary_quality, calibration_error, log_loss, regression_quality

cases = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.5, 0.9]), st.booleans()), min_size=2, max_size=40
)


def columns(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p for p, _ in rows]), np.array([y for _, y in rows])


@given(cases)
@law(80)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[float, bool]]) -> None:
    p, y = columns(rows)
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y] for b in p[~y]]
    assert auc(p, y) == pytest.approx(sum(pairs) / len(pairs) if pairs else math.nan, nan_ok=True)


@given(cases)
@law(80)
def test_log_loss_is_mean_cross_entropy(rows: list[tuple[float, bool]]) -> None:
    p, y = columns(rows)
    expected = -sum(math.log(a if b else 1 - a) for a, b in rows) / len(rows)
    assert log_loss(p, y) == pytest.approx(expected)


def test_knowing_the_base_rate_alone_has_an_entropy_of_one() -> None:
    y = np.array([1.0, 0.0, 0.0, 0.0])
    found = binary_quality(np.full(4, 0.25), y, np.ones(4, np.bool_))
    assert (found.normalised_entropy, found.calibration, found.auc) == (pytest.approx(1.0), 1.0, 0.5)


def test_calibration_is_foreseen_over_observed() -> None:
    found = binary_quality(np.array([0.9, 0.6]), np.array([1.0, 0.0]), np.ones(2, np.bool_))
    assert found.calibration == pytest.approx(1.5)


def test_calibration_error_is_the_mean_gap_of_bins_of_equal_count() -> None:
    p, y = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, False])
    assert calibration_error(p, y, bins=2) == pytest.approx((0.3 + 0.7) / 4)
    assert calibration_error(p[::-1], y[::-1], bins=2) == pytest.approx((0.3 + 0.7) / 4)


def test_equal_forecasts_are_judged_together() -> None:
    y = np.repeat([False, True], 50)
    assert calibration_error(np.full(100, 0.5), y) == pytest.approx(0.0)
    assert calibration_error(np.full(100, 0.2), y) == pytest.approx(0.3)


def test_labels_of_the_warm_up_do_not_count() -> None:
    p, y = np.array([0.99, 0.5, 0.5]), np.array([0.0, 1.0, 0.0])
    found = binary_quality(p, y, np.array([False, True, True]))
    assert (found.n, found.base_rate, found.log_loss) == (2, 0.5, pytest.approx(math.log(2.0)))


@pytest.mark.parametrize("labels", [[], [1.0, 1.0], [0.0, 0.0]])
def test_what_cannot_be_told_is_no_number(labels: list[float]) -> None:
    y = np.array(labels)
    found = binary_quality(np.full(len(y), 0.5), y, np.ones(len(y), np.bool_))
    assert math.isnan(found.auc)
    assert math.isnan(found.normalised_entropy)


def test_a_certain_mistake_costs_much_and_not_everything() -> None:
    assert 15.0 < log_loss(np.array([0.0]), np.array([True])) < 17.0


def test_regression_figures_are_their_definitions() -> None:
    found = regression_quality(np.array([0.5, 0.5, 0.8]), np.array([0.4, 0.8, 0.9]))
    assert found.mae == pytest.approx(0.5 / 3)
    assert found.rmse == pytest.approx(math.sqrt(0.11 / 3))
    assert found.r2 == pytest.approx(1 - 0.11 / 0.14)
    assert found.calibration == pytest.approx(1.8 / 2.1)


def test_the_mean_explains_nothing() -> None:
    assert regression_quality(np.full(2, 0.5), np.array([0.0, 1.0])).r2 == pytest.approx(0.0)
    assert math.isnan(regression_quality(np.array([0.5]), np.array([0.5])).r2)


# --- the operating threshold


@given(cases)
@law(80)
def test_no_threshold_has_a_larger_f1_than_the_best(rows: list[tuple[float, bool]]) -> None:
    p, y = columns(rows)

    def f1(threshold: float) -> float:
        yes = p >= threshold
        return 2 * float((yes & y).sum()) / max(float(yes.sum() + y.sum()), 1.0)

    if y.any():
        assert f1(best_threshold(p, y.astype(float))) == pytest.approx(max(f1(one) for one in p))


def test_without_a_positive_the_threshold_stays() -> None:
    assert best_threshold(np.array([0.1, 0.2]), np.zeros(2), otherwise=0.7) == 0.7


def test_decisions_never_look_ahead() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = (rng.random(500) < p).astype(float)
    decisions, _ = progressive_decisions(p, y)
    for end in (1, 99, 100, 101, 250, 499):
        other = np.concatenate([y[:end], 1.0 - y[end:]])
        assert progressive_decisions(p, other)[0][: end + 1].tolist() == decisions[: end + 1].tolist()


def test_a_threshold_set_in_hindsight_would_be_found_out() -> None:
    p, y = np.linspace(0.0, 0.4, 300), np.concatenate([np.zeros(150), np.ones(150)])
    decisions, _ = progressive_decisions(p, y)
    hindsight = p >= best_threshold(p, y)
    assert not decisions[:150].any()
    assert (hindsight == (y > 0)).all()
    assert (decisions != hindsight).any()
