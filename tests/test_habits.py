"""What kind of items a user chooses: a mean at first, a fading one later."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts.habits import AGE, POPULARITY, REPEATS, SILENCE, empty_habits, form_habit

# (age, silence, popularity, repeat)
told = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(0, 5_000), st.floats(0.0, 500.0), st.integers(0, 1)),
    min_size=1,
    max_size=25,
)
Told = list[tuple[int, int, float, int]]


def formed(choices: Told) -> np.ndarray:
    habits = empty_habits(3)
    for age, silence, popularity, repeat in choices:
        form_habit(habits, 1, float(age), float(silence), popularity, float(repeat))
    return habits


@given(told)
@law(60)
def test_the_first_ten_choices_make_a_plain_mean(choices: Told) -> None:
    some = choices[:10]
    found = formed(some)[1]
    assert found[AGE] == pytest.approx(np.mean([math.log1p(age) for age, *_ in some]), rel=1e-4)
    assert found[SILENCE] == pytest.approx(np.mean([math.log1p(of) for _, of, *_ in some]), rel=1e-4)
    assert found[POPULARITY] == pytest.approx(np.mean([math.log1p(of) for *_, of, _ in some]), rel=1e-4)
    assert found[REPEATS] == pytest.approx(np.mean([repeat for *_, repeat in some]), rel=1e-4)


@given(told)
@law(60)
def test_later_ones_count_a_tenth_each(choices: Told) -> None:
    mean = 0.0
    for before, (age, *_) in enumerate(choices):
        mean += max(0.1, 1.0 / (1.0 + before)) * (math.log1p(age) - mean)
    assert formed(choices)[1, AGE] == pytest.approx(mean, rel=1e-4)


def test_a_change_of_habit_is_followed_within_some_dozens() -> None:
    found = formed([(0, 0, 0.0, 0)] * 200 + [(1_000, 0, 0.0, 1)] * 30)[1]
    assert found[REPEATS] == pytest.approx(1.0 - 0.9**30, rel=1e-3)
    assert found[AGE] > 0.95 * math.log1p(1_000)


def test_other_users_keep_their_habits() -> None:
    habits = formed([(5, 5, 5.0, 1)])
    assert not habits[[0, 2]].any()


@given(told)
@law(40)
def test_compiled_and_interpreted_agree(choices: Told) -> None:
    interpreted = empty_habits(3)
    for age, silence, popularity, repeat in choices:
        form_habit.py_func(interpreted, 1, float(age), float(silence), popularity, float(repeat))
    assert formed(choices) == pytest.approx(interpreted, rel=1e-5, abs=1e-7)
