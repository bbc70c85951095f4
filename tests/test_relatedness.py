"""How tasks go together, against numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from learners.event_batch import Outcomes
from learners.relatedness import MEASURES, Relatedness, mutual_information


def outcomes(labels: np.ndarray, known: np.ndarray | None = None) -> Outcomes:
    yes = labels.astype(np.bool_)
    return Outcomes(labels=yes, known=np.ones_like(yes) if known is None else known.astype(np.bool_))


def test_nothing_is_known_at_first() -> None:
    found = Relatedness(2).matrices
    assert tuple(found) == MEASURES
    assert all(np.isnan(matrix).all() for matrix in found.values())


def test_labels_are_correlated_as_numpy_says() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((500, 3)) < 0.3
    labels[:, 1] |= labels[:, 0]
    related = Relatedness(3)
    related.learn_outcomes(outcomes(labels[:200]))
    related.learn_outcomes(outcomes(labels[200:]))
    assert related.matrices["label"] == pytest.approx(np.corrcoef(labels.T.astype(float)), abs=0.01)


def test_only_impressions_in_which_both_took_part_count() -> None:
    labels = np.array([[1, 1], [0, 0], [1, 0], [1, 0]])
    known = np.array([[1, 1], [1, 1], [1, 0], [1, 0]])
    related = Relatedness(2)
    related.learn_outcomes(outcomes(labels & known, known))
    assert related.matrices["label"][0, 1] == pytest.approx(1.0)


def test_a_label_tells_everything_of_itself_and_nothing_of_a_coin() -> None:
    quarter = np.full((4, 1, 1), 25.0)
    assert mutual_information(quarter)[0, 0] == pytest.approx(0.0)
    same = np.array([50.0, 0.0, 0.0, 50.0])[:, None, None]
    assert mutual_information(same)[0, 0] == pytest.approx(1.0)
    skewed = np.array([30.0, 10.0, 20.0, 40.0]) / 100.0
    sides = [(0.4, 0.5), (0.4, 0.5), (0.6, 0.5), (0.6, 0.5)]
    expected = sum(p * np.log2(p / (a * b)) for p, (a, b) in zip(skewed, sides, strict=True))
    assert mutual_information(skewed[:, None, None])[0, 0] == pytest.approx(expected)


def test_errors_are_correlated_over_rows_in_which_both_are_known() -> None:
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(400, 2)).astype(np.float32)
    errors[:, 1] = 0.6 * errors[:, 0] + 0.8 * errors[:, 1]
    mask = rng.random((400, 2)) < 0.7
    related = Relatedness(2)
    related.learn_errors(errors, mask)
    both = mask.all(axis=1)
    expected = np.corrcoef(errors[both].T)[0, 1]
    assert related.matrices["error"][0, 1] == pytest.approx(expected, abs=1e-3)
    assert related.matrices["error"] == pytest.approx(related.matrices["error"].T)


def test_cosines_and_affinities_are_averages_over_steps_in_which_both_were_there() -> None:
    related = Relatedness(2)
    cosines = np.array([[1.0, -0.5], [-0.5, 1.0]], np.float32)
    related.learn_gradients(cosines, np.array([True, True]))
    related.learn_gradients(np.zeros((2, 2), np.float32), np.array([True, False]))
    related.learn_affinity(np.array([[0.1, np.nan], [0.3, np.nan]], np.float32))
    found = related.matrices
    assert found["gradient"][0, 1] == pytest.approx(-0.5)
    assert found["gradient"][0, 0] < 1.0
    assert found["affinity"][:, 0] == pytest.approx([0.1, 0.3])
    assert np.isnan(found["affinity"][:, 1]).all()


def test_a_restart_changes_nothing() -> None:
    one, other = Relatedness(2), Relatedness(2)
    rng = np.random.default_rng(2)
    one.learn_outcomes(outcomes(rng.random((50, 2)) < 0.5))
    one.learn_errors(rng.normal(size=(50, 2)).astype(np.float32), np.ones((50, 2), np.bool_))
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for name, matrix in one.matrices.items():
        assert np.array_equal(matrix, other.matrices[name], equal_nan=True)
