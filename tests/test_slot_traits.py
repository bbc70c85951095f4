"""What a slot says beside its item."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from learners.slot_traits import TRAITS, SumOfRows, _fill, slot_traits, trait_rows

AGE, HOUR, WEEKDAY, PLACE, TYPE = range(TRAITS)


def of(age_s: list[float], *, now_s: float = 1_700_000_000.0, filled: list[bool] | None = None) -> np.ndarray:
    """(H, P) of one history, counted from each trait's first row."""
    S = (1, len(age_s))
    rows = slot_traits(
        np.zeros(S, np.int64),
        np.array([age_s], np.float32),
        np.array([now_s]),
        np.array([filled or [True] * len(age_s)]),
    )
    least = slot_traits(
        np.zeros((1, 1), np.int64),
        np.zeros((1, 1), np.float32),
        np.array([4 * 86_400.0]),
        np.ones((1, 1), bool),
    )
    return rows[0] - least[0]  # newborn, at midnight of a Monday, begins a session, type 0


def test_ages_are_on_a_logarithmic_scale() -> None:
    assert of([1e30, 1e12, 3_600.0, 90.0, 30.0, 29.0, 0.0, -5.0])[:, AGE].tolist() == [
        31,
        31,
        6,
        2,
        1,
        0,
        0,
        0,
    ]


def test_hours_and_weekdays_are_those_of_the_calendar() -> None:
    for moment in ("1970-01-01T00:00", "2024-02-29T23:59", "2026-11-22T12:00", "2026-11-23T00:00"):
        time = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        [traits] = of([0.0], now_s=time.timestamp())
        assert traits[HOUR] == time.hour
        assert traits[WEEKDAY] == time.weekday()


def test_places_in_a_session_begin_anew_after_half_an_hour() -> None:
    places = of([9_000.0, 8_000.0, 2_000.0, 1_000.0, 10.0])[:, PLACE]
    assert places.tolist() == [0, 1, 0, 1, 2]
    assert of([float(age) for age in range(40, 0, -1)])[-1, PLACE] == 15


def test_a_session_begins_after_a_slot_that_says_nothing() -> None:
    places = of([40.0, 30.0, 20.0, 10.0], filled=[True, True, False, True])[:, PLACE]
    assert places[[0, 1, 3]].tolist() == [0, 1, 0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_every_trait_has_rows_of_its_own_in_the_table(seed: int) -> None:
    rng = np.random.default_rng(seed)
    S, H, types = 20, 7, 4
    said = (
        rng.integers(0, types, (S, H)),
        (10.0 ** rng.uniform(-1, 9, (S, H))).astype(np.float32),
        rng.uniform(0.0, 4e9, S),
        rng.random((S, H)) < 0.8,
    )
    rows = slot_traits(*said)
    assert rows.min() >= 0
    assert rows.max() < trait_rows(types)
    filled = rows[said[3]]
    ends = [32, 32 + 24, 32 + 24 + 7, 32 + 24 + 7 + 16, trait_rows(types)]
    for trait, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
        assert (filled[:, trait] >= first).all()
        assert (filled[:, trait] < end).all()
    interpreted = np.zeros_like(rows)
    _fill.py_func(*said, interpreted)
    assert (interpreted == rows).all()


def test_a_sum_of_rows_and_its_gradient_are_those_of_single_look_ups() -> None:
    torch.manual_seed(0)
    table = torch.randn(9, 4, requires_grad=True)
    rows = torch.randint(0, 9, (50, 3))
    by_rows = F.embedding(rows, table).sum(dim=1)
    said = SumOfRows.apply(rows, table)
    torch.testing.assert_close(said, by_rows)
    gradient = torch.randn_like(said)
    [expected] = torch.autograd.grad(by_rows, table, gradient)
    [found] = torch.autograd.grad(said, table, gradient)
    torch.testing.assert_close(found, expected)
    assert SumOfRows.apply(rows[:0], table).shape == (0, 4)
