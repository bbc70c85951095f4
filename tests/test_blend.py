"""From ranker score and probabilities to one score: parts that add up, and what shown places teach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.blend import Blend
from learners.task import Task

TASKS = (
    Task(name="click", value=2.0),
    Task(name="purchase", value=1.0),
    Task(name="rating", kind="regression", value=0.5),
)
EVIDENCE = np.array([600.0, 200.0, 0.0])


def places(
    count: int, seed: int = 0, weights: tuple[float, ...] = (1.0, -0.5, 0.0, 0.0), bias: float = -0.5
) -> dict[str, np.ndarray]:
    """Shown places whose clicks follow a logistic model of four inputs, less on lower places."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 4)).astype(np.float32)
    position = rng.integers(0, 10, count)
    logits = inputs @ np.array(weights) - 1.5 + bias * np.log1p(position)
    labels = np.zeros((count, 3), np.float32)
    labels[:, 0] = rng.random(count) < 1.0 / (1.0 + np.exp(-logits))
    mask = np.zeros((count, 3), np.bool_)
    mask[:, 0] = True
    return {
        "inputs": inputs,
        "foreseen": np.full((count, 3), 0.1, np.float32),
        "position": position,
        "labels": labels,
        "mask": mask,
        "late": np.zeros((count, 3), np.bool_),
    }


def taught(count: int = 20_000, **given: object) -> Blend:
    blend = Blend(TASKS, 4)
    shown = places(count, **given)  # type: ignore[arg-type]
    for begin in range(0, count, 100):
        blend.learn_many(
            **{name: array[begin : begin + 100] for name, array in shown.items()}, evidence=EVIDENCE
        )
    return blend


def test_before_anything_was_shown_the_formula_is_the_score() -> None:
    parts = Blend(TASKS, 4).parts(
        np.array([1.5], np.float32),
        np.array([[0.5, 0.25, 0.9]], np.float32),
        np.ones((1, 4), np.float32),
        EVIDENCE,
    )
    trust = EVIDENCE / (EVIDENCE + 200.0)
    assert parts[0] == pytest.approx([1.5, 2.0 * trust[0] * np.log(0.5), trust[1] * np.log(0.25), 0.0, 0.0])


def test_shown_places_teach_what_is_taken() -> None:
    blend = taught()
    assert blend.trust > 0.9
    assert blend.weights[:4] == pytest.approx([1.0, -0.5, 0.0, 0.0], abs=0.08)


def test_a_no_that_becomes_a_yes_counts_as_a_yes() -> None:
    shown, delay = places(20_000), 500
    known, blend = taught(), Blend(TASKS, 4)
    late = np.flatnonzero((shown["labels"][:, 0] > 0.0) & (np.arange(20_000) % 2 == 0))
    early = {**shown, "labels": shown["labels"].copy()}
    early["labels"][late] = 0.0
    for begin in range(0, 20_000 + delay, 100):
        blend.learn_many(
            **{name: array[begin : begin + 100] for name, array in early.items()}, evidence=EVIDENCE
        )
        due = late[(late >= begin - delay) & (late < begin - delay + 100)]
        again = {name: array[due] for name, array in shown.items()}
        blend.learn_many(**{**again, "late": again["mask"]}, evidence=EVIDENCE)
    assert blend.weights[:2] == pytest.approx(known.weights[:2], abs=0.05)
    intercept = 4 + len(TASKS)
    assert blend._weights[intercept] == pytest.approx(known._weights[intercept], abs=0.1)


def test_it_follows_when_what_is_taken_changes() -> None:
    blend = taught()
    shown = places(60_000, seed=1, weights=(-1.0, 0.5, 0.0, 0.0))
    for begin in range(0, 60_000, 100):
        blend.learn_many(
            **{name: array[begin : begin + 100] for name, array in shown.items()}, evidence=EVIDENCE
        )
    assert blend.weights[0] < -0.2


def test_a_tasks_own_log_odds_are_believed_at_first() -> None:
    blend = Blend(TASKS, 4)
    shown = places(256)
    shown["foreseen"][:, 0] = 1.0 / (1.0 + np.exp(-(shown["inputs"][:, 0] - 1.5)))
    shown["inputs"][:] = 0.0
    blend.learn_many(**shown, evidence=EVIDENCE)
    assert blend.weights[4:] == pytest.approx([1.0, 0.0, 0.0], abs=0.5)


def test_rows_without_a_position_and_values_say_nothing_of_places() -> None:
    blend = Blend(TASKS, 4)
    shown = places(1_000)
    blend.learn_many(**{**shown, "position": np.full(1_000, -1)}, evidence=EVIDENCE)
    ratings = {**shown, "mask": np.tile([False, False, True], (1_000, 1))}
    blend.learn_many(**ratings, evidence=EVIDENCE)
    assert blend.trust == 0.0


@given(st.lists(st.integers(1, 300), min_size=1, max_size=8))
@law(20)
def test_how_labels_are_cut_into_steps_does_not_matter(sizes: list[int]) -> None:
    total = sum(sizes)
    shown, whole, cut = places(total), Blend(TASKS, 4), Blend(TASKS, 4)
    whole.learn_many(**shown, evidence=EVIDENCE)
    for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        cut.learn_many(**{name: array[end - size : end] for name, array in shown.items()}, evidence=EVIDENCE)
    assert cut.weights.tolist() == whole.weights.tolist()


def test_a_restored_blend_goes_on_bit_for_bit() -> None:
    one, other = taught(1_000), Blend(TASKS, 4)
    other.load_state_dict(one.state_dict())
    for blend in (one, other):
        blend.learn_many(**places(700, seed=4), evidence=EVIDENCE)
    assert one.weights.tolist() == other.weights.tolist()
    assert one.trust == other.trust


def test_what_is_no_number_is_forgotten_at_once() -> None:
    blend, shown = taught(2_000), places(2_000, seed=1)
    before = blend.state_dict()["information"]
    poisoned = {name: array[:1_000].copy() for name, array in shown.items()}
    poisoned["inputs"][::100] = np.nan
    blend.learn_many(**poisoned, evidence=EVIDENCE)
    weights = blend.weights
    assert np.isfinite(blend.state_dict()["information"]).all()
    blend.learn_many(**{name: array[1_000:] for name, array in shown.items()}, evidence=EVIDENCE)
    assert np.isfinite(blend.weights).all()
    assert (blend.weights != weights).any(), "it learns on"
    assert (blend.state_dict()["information"] != before).any(), "from where it was"


def test_a_blend_of_other_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="saved with 11 weights, configured are 12"):
        Blend(TASKS, 5).load_state_dict(Blend(TASKS, 4).state_dict())
