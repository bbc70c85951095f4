"""Calibration that is learned while the stream passes, and base rates beside it."""

from __future__ import annotations

import numpy as np
import pytest

from learners.base_rates import BaseRates, negative_importance
from learners.calibration import OnlineCalibration


def logistic(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def stream(
    seed: int, slope: float, shift: float, steps: int = 300, size: int = 64
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logits, and labels of probability sigmoid(slope z + shift)."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(steps):
        z = rng.normal(-2.0, 1.5, (size, 1)).astype(np.float32)
        made.append((z, (rng.random((size, 1)) < logistic(slope * z + shift)).astype(np.float32)))
    return made


def test_at_first_what_is_said_is_taken_at_its_word() -> None:
    z = np.array([[0.0, 2.0]], np.float32)
    assert OnlineCalibration(2).apply(z) == pytest.approx(logistic(z))


@pytest.mark.parametrize(("slope", "shift"), [(0.5, 0.0), (1.0, -1.0), (1.5, 0.5)])
def test_slope_and_shift_are_found(slope: float, shift: float) -> None:
    calibration, known = OnlineCalibration(1), np.ones((64, 1), np.bool_)
    foreseen, came = [], []
    for z, y in stream(0, slope, shift):
        foreseen.append(calibration.apply(z))
        came.append(y)
        calibration.learn_many(z, y, known)
    assert calibration.scale[0] == pytest.approx([slope, shift], abs=0.2)
    ratio = np.mean(foreseen[50:]) / np.mean(came[50:])
    assert ratio == pytest.approx(1.0, abs=0.05)


def test_who_says_the_truth_is_left_alone() -> None:
    calibration = OnlineCalibration(1)
    for z, y in stream(1, 1.0, 0.0):
        calibration.learn_many(z, y, np.ones_like(y, np.bool_))
    assert calibration.scale[0] == pytest.approx([1.0, 0.0], abs=0.1)


def test_a_few_labels_move_little_and_many_equal_ones_never_further_than_the_bounds() -> None:
    z, yes = np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32)
    calibration = OnlineCalibration(1)
    calibration.learn_many(z, yes, np.ones((3, 1), np.bool_))
    assert 0.0 < calibration.scale[0, 1] < 0.5
    for _ in range(3_000):
        calibration.learn_many(z, yes, np.ones((3, 1), np.bool_))
    assert calibration.scale[0, 1] <= 3.0


def test_a_change_is_followed() -> None:
    calibration = OnlineCalibration(1)
    for z, y in [*stream(2, 1.0, 0.0), *stream(3, 1.0, 1.0, steps=600)]:
        calibration.learn_many(z, y, np.ones_like(y, np.bool_))
    assert calibration.scale[0, 1] == pytest.approx(1.0, abs=0.2)


def test_labels_that_are_not_known_or_logits_that_are_no_number_change_nothing() -> None:
    calibration = OnlineCalibration(2)
    z = np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)
    calibration.learn_many(z, np.ones((2, 2), np.float32), np.array([[False, True], [True, False]]))
    assert calibration.scale.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert OnlineCalibration(1).apply(np.zeros((0, 1), np.float32)).shape == (0, 1)


def test_a_restored_calibration_goes_on_alike() -> None:
    one, other = OnlineCalibration(1), OnlineCalibration(1)
    rounds = stream(4, 0.5, 0.5, steps=20)
    for z, y in rounds[:10]:
        one.learn_many(z, y, np.ones_like(y, np.bool_))
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for z, y in rounds[10:]:
        for calibration in (one, other):
            calibration.learn_many(z, y, np.ones_like(y, np.bool_))
    assert one.scale.tolist() == other.scale.tolist()


# --- base rates


def counted(rates: BaseRates, labels: list[list[float]], late: bool = False) -> None:
    values = np.array(labels, np.float32)
    known = np.ones_like(values, np.bool_)
    rates.learn_many(values, known, known & late)


def test_a_tower_starts_from_the_rate_of_its_labels() -> None:
    rates = BaseRates(1, (-1,))
    assert rates.logits.tolist() == [0.0]
    counted(rates, [[1.0]] * 100 + [[0.0]] * 900)
    assert logistic(rates.logits)[0] == pytest.approx(0.1, abs=0.005)
    assert rates.positive_weight[0] == pytest.approx(3.0, abs=0.1)


def test_in_a_funnel_it_starts_from_the_share_of_the_former_one() -> None:
    rates = BaseRates(2, (-1, 0))
    counted(rates, [[1.0, 1.0]] * 100 + [[1.0, 0.0]] * 100 + [[0.0, 0.0]] * 800)
    assert logistic(rates.logits) == pytest.approx([0.2, 0.5], abs=0.02)


def test_late_positives_are_counted_once() -> None:
    rates = BaseRates(1, (-1,))
    counted(rates, [[1.0]] * 75 + [[0.0]] * 925)
    counted(rates, [[1.0]] * 25, late=True)
    assert rates.rates[0] == pytest.approx(0.1, abs=0.005)
    assert rates.late_share[0] == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_importance_makes_positives_and_negatives_weigh_as_if_all_had_come_in_time(share: float) -> None:
    """In the mean, sum of w over what is seen: p for positives, 1 - p for negatives."""
    p = np.array([[0.4]], np.float32)
    no, yes = np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32)
    shares, never = np.array([share], np.float32), np.zeros((1, 1), np.bool_)
    seen_negative = 1.0 - 0.4 + share * 0.4
    negative = negative_importance(p, no, never, shares)[0, 0]
    positive = negative_importance(p, yes, never, shares)[0, 0]
    late = negative_importance(p, yes, ~never, shares)[0, 0]
    assert negative * seen_negative == pytest.approx(0.6)
    assert positive * (1.0 - share) * 0.4 + late * share * 0.4 == pytest.approx(0.4)
    assert 0.0 < negative <= 1.0
