"""Events are due by a schedule of their own, and each waits for the first slate that knows of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.freshness import bearable_s
from benchmarks.load.latencies import match, quantiles, summary
from benchmarks.load.schedule import due_times

NOBODY = np.zeros(0)


def test_as_many_events_are_due_as_the_pace_says_and_they_come_at_random() -> None:
    due_s = due_times(200.0, 10.0, np.random.default_rng(0))
    assert len(due_s) == 2_000
    assert due_s[-1] == pytest.approx(10.0)
    gaps = np.diff(due_s)
    assert (gaps >= 0.0).all()
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)  # as gaps of a Poisson process


def test_an_event_is_answered_by_its_users_first_slate_that_knows_of_it() -> None:
    users = np.array([7, 8, 7, 7])
    triggers = np.array([1, 2, 3])  # 0 was answered with 2
    answers = match(users, triggers, np.array([1.5, 2.5, 3.5]), np.array([1.0, 2.0, 3.0]))
    assert answers.read_s.tolist() == [2.5, 1.5, 2.5, 3.5]
    assert answers.made_s.tolist() == [2.0, 1.0, 2.0, 3.0]
    assert answers.own.tolist() == [False, True, True, True]


def test_of_a_slate_that_comes_twice_the_first_one_counts() -> None:
    answers = match(np.array([0]), np.array([0, 0]), np.array([9.0, 4.0]), np.array([8.0, 3.0]))
    assert answers.read_s.tolist() == [4.0]


def test_what_is_never_answered_is_infinitely_late() -> None:
    users = np.array([0, 1, 0])
    answers = match(users, np.array([0]), np.array([1.0]), np.array([0.5]))
    assert np.isnan(answers.read_s).tolist() == [False, True, True]
    found = summary(users, np.zeros(3), answers)
    assert found["unanswered"] == 2
    assert found["max_ms"] == np.inf
    assert found["answered_with_a_later_one"] == 0.0
    nothing = match(users, np.zeros(0, np.int64), NOBODY, NOBODY)
    assert np.isnan(nothing.read_s).all()


def test_quantiles_are_latencies_that_were_seen() -> None:
    found = quantiles(np.arange(1, 101) / 1e3)
    assert found == pytest.approx({"p50_ms": 51.0, "p95_ms": 96.0, "p99_ms": 100.0, "max_ms": 100.0})


def test_a_pace_that_cannot_be_kept_is_tried_for_half_a_minutes_work() -> None:
    assert bearable_s(20.0, 100.0, 1_000.0) == 20.0
    assert bearable_s(60.0, 3_000.0, 1_000.0) == pytest.approx(10.0)
