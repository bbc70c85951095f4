"""Rates of users and items against sums written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.label_rates import LabelRates, rates_width

DAY_S = 86_400.0


def taught(
    rates: LabelRates, users: list[int], items: list[int], labels: list[list[float]], at_s: float = 0.0
) -> None:
    values = np.array(labels, np.float32)
    known = np.ones_like(values, np.bool_)
    moments = np.full(len(users), at_s)
    rates.learn_many(np.array(users), np.array(items), values, known, np.zeros_like(known), moments)


def described(rates: LabelRates, user: int, item: int, at_s: float = 0.0) -> list[float]:
    one = np.array([0])
    found: list[float] = rates.describe(np.array([user]), np.array([item]), np.array([at_s]), one)[0].tolist()
    return found


def test_many_items_of_a_user_are_as_each_alone() -> None:
    rates = LabelRates(2)
    taught(rates, [0, 0, 1, 1], [4, 5, 5, 6], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    users, moments, sequence, items = np.array([0, 1]), np.array([5.0, 9.0]), [1, 0, 1, 1], [4, 6, 5, 99]
    found = rates.describe(users, np.array(items), moments, np.array(sequence))
    alone = [described(rates, s, item, moments[s]) for s, item in zip(sequence, items, strict=True)]
    assert found == pytest.approx(np.array(alone), rel=1e-6)


def test_a_busy_row_forgets_as_any_other() -> None:
    """What a moment takes of a large count is less than a float of 32 bits can tell."""
    rates, half_life_s, count, every_s = LabelRates(1), 60 * DAY_S, 3_000, 0.2
    taught(rates, [0], [0], [[1.0]], at_s=0.0)
    rates._items._rows["counts"][0] = [[5e4], [1e6]]
    for n in range(count):
        taught(rates, [0], [0], [[0.0]], at_s=n * every_s)
    later_s = 40 * DAY_S
    _, known = rates._items.at(np.array([0]), np.array([later_s]))
    came_s = np.arange(count) * every_s
    wanted = 1e6 * 0.5 ** (later_s / half_life_s) + (0.5 ** ((later_s - came_s) / half_life_s)).sum()
    assert known[0, 0] == pytest.approx(wanted, rel=2e-5)


def test_a_row_with_more_labels_than_floats_can_count_keeps_its_rate() -> None:
    rates = LabelRates(1)
    taught(rates, [0, 1], [0, 1], [[1.0], [0.0]])
    rates._items._rows["counts"][0] = [[0.05 * (1 << 24)], [1 << 24]]
    for n in range(40):
        yes = [[1.0]] * 100 + [[0.0]] * 100
        taught(rates, [1] * 200, [0] * 200, yes, at_s=float(n))
    positives, known = rates._items.at(np.array([0]), np.array([40.0]))
    before = 0.05 * (1 << 24), float(1 << 24)
    assert known[0, 0] < 1 << 21
    assert positives[0, 0] / known[0, 0] > before[0] / before[1], "half of the new labels were answered"


def test_strangers_have_no_lift() -> None:
    rates = LabelRates(2)
    taught(rates, [0] * 5, [0] * 5, [[1.0, 0.0]] * 5)
    assert described(rates, 999, 999) == [0.0] * 8
    assert rates_width(2) == 8


def test_a_lift_is_the_shrunk_rate_over_the_common_one() -> None:
    rates = LabelRates(1)
    taught(rates, [0] * 4 + [1] * 4, list(range(8)), [[1.0]] * 3 + [[0.0]] * 5)
    common = (0.5 + 3.0) / (1.0 + 8.0)
    user, item, _, _, labels_of_user, labels_of_item = described(rates, 0, 7)
    assert user == pytest.approx(math.log((3.0 + 10.0 * common) / (4.0 + 10.0) / common))
    assert item == pytest.approx(math.log((0.0 + 10.0 * common) / (1.0 + 10.0) / common))
    assert labels_of_user == pytest.approx(math.log1p(4.0) / 4.0)
    assert labels_of_item == pytest.approx(math.log1p(1.0) / 4.0)


def test_a_lift_over_all_tasks_compares_what_came_with_what_was_to_be_expected() -> None:
    rates = LabelRates(2)
    taught(rates, [0] * 4 + [1] * 4, list(range(8)), [[1.0, 0.0], [0.0, 1.0]] * 2 + [[0.0, 0.0]] * 4)
    common = (0.5 + 2.0) / (1.0 + 8.0)
    expected = math.log((4.0 + 1.0) / (2.0 * 4.0 * common + 1.0)), math.log(1.0 / (2.0 * common + 1.0))
    assert described(rates, 0, 7)[4:6] == pytest.approx(expected)


def test_after_a_half_life_a_label_counts_half() -> None:
    fresh, old = LabelRates(1, half_life_s=DAY_S), LabelRates(1, half_life_s=DAY_S)
    taught(fresh, [0] * 4, [0] * 4, [[1.0]] * 4)
    taught(old, [0] * 8, [0] * 8, [[1.0]] * 8)
    assert described(fresh, 0, 0)[4:] == pytest.approx(described(old, 0, 0, DAY_S)[4:])


def test_a_late_positive_takes_its_negative_back() -> None:
    in_time, late = LabelRates(1), LabelRates(1)
    taught(in_time, [0], [0], [[1.0]])
    taught(late, [0], [0], [[0.0]])
    yes = np.ones((1, 1), np.bool_)
    late.learn_many(np.array([0]), np.array([0]), np.ones((1, 1), np.float32), yes, yes, np.zeros(1))
    assert described(late, 0, 0) == pytest.approx(described(in_time, 0, 0))


def test_what_is_not_known_is_not_counted() -> None:
    rates = LabelRates(2)
    known = np.array([[True, False]])
    values = np.ones((1, 2), np.float32)
    rates.learn_many(np.array([0]), np.array([0]), values, known, np.zeros_like(known), np.zeros(1))
    assert described(rates, 0, 0)[1] == 0.0
    assert described(rates, 0, 0)[0] > 0.0


def test_who_is_forgotten_is_a_stranger() -> None:
    rates = LabelRates(1)
    taught(rates, [0, 1], [0, 1], [[1.0], [1.0]])
    rates.forget(users=np.array([0, 500]), items=np.array([1]))
    assert described(rates, 0, 1) == [0.0] * 6
    assert described(rates, 1, 0)[0] > 0.0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 10)), max_size=20)
)
@law(50)
def test_counts_are_decayed_sums_whatever_the_batches(acts: list[tuple[int, int, bool, int]]) -> None:
    one, by_one = LabelRates(1, half_life_s=DAY_S), LabelRates(1, half_life_s=DAY_S)
    days = np.cumsum([act[3] for act in acts]) if acts else np.zeros(0)
    users, items = (np.array([act[n] for act in acts], np.int64) for n in range(2))
    values = np.array([[float(act[2])] for act in acts], np.float32).reshape(-1, 1)
    known, moments = np.ones_like(values, np.bool_), days * DAY_S
    one.learn_many(users, items, values, known, np.zeros_like(known), moments)
    for n in range(len(acts)):
        some = slice(n, n + 1)
        by_one.learn_many(
            users[some], items[some], values[some], known[some], np.zeros((1, 1), np.bool_), moments[some]
        )
    for user in range(4):
        assert described(one, user, 0, 1e7) == pytest.approx(described(by_one, user, 0, 1e7), abs=1e-4)


def test_everybodys_rate_fades_as_each_ones_does() -> None:
    """Else whoever is new would stand out once a rate has changed for good."""
    rates, rng = LabelRates(1, half_life_s=60 * DAY_S), np.random.default_rng(0)
    for day in range(600):
        values = (rng.random((20, 1)) < (0.1 if day < 300 else 0.02)).astype(np.float32)
        everybody, known = np.arange(20), np.ones((20, 1), np.bool_)
        rates.learn_many(everybody, everybody, values, known, np.zeros_like(known), np.full(20, day * DAY_S))
    lifts = [described(rates, user, user, 600 * DAY_S)[0] for user in range(20)]
    assert abs(np.mean(lifts)) < 0.3


def test_restored_rates_go_on_alike() -> None:
    one, other = LabelRates(1), LabelRates(1)
    taught(one, [0, 3], [1, 2], [[1.0], [0.0]], 50.0)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for rates in (one, other):
        taught(rates, [40], [2], [[1.0]], 90.0)
    assert described(one, 0, 2, 100.0) == described(other, 0, 2, 100.0)
    assert described(one, 40, 1, 100.0) == described(other, 40, 1, 100.0)
