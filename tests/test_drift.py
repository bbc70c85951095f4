"""Drift of many signals: found when there is one, silent when there is none, the same after a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from monitoring.detectors.registry import Kind
from monitoring.drift import DriftFinding, DriftWatch, findings_of
from monitoring.signals import Signal

SIGNALS = (
    Signal("loss", 32, worse=1, task="click"),
    Signal("slates", 32, worse=-1, weight=5.0),
    Signal("labels", 32, task="click"),
)
LABELS = 64


def new_watch(kind: Kind = "page_hinkley") -> DriftWatch:
    return DriftWatch(SIGNALS, kind, 0.1)


def watched(
    levels: Iterable[float],
    *,
    s: int = 0,
    labels: int = LABELS,
    noise: float = 0.05,
    watch: DriftWatch | None = None,
    seed: int = 0,
    every_ms: int = 1,
) -> list[DriftFinding]:
    """Findings over steps of one signal's mean values, a little noisy."""
    watch = watch or new_watch()
    rng = np.random.default_rng(seed)
    counts = np.zeros(len(SIGNALS))
    counts[s] = labels
    return [
        finding
        for step, level in enumerate(levels)
        for finding in watch.update(
            counts * (level + noise * rng.normal()),
            counts,
            events=10 * step,
            now_ms=1_000 + step,
            event_time_ms=every_ms * step,
            model_step=step,
        )
    ]


def test_a_rise_of_a_loss_is_worse_and_told_with_its_beginning() -> None:
    first = watched([0.2] * 300 + [0.6] * 100)[0]
    assert 300 <= first.model_step < 310
    assert (first.signal, first.task, first.direction, first.detector) == (
        "loss",
        "click",
        "worse",
        "page_hinkley",
    )
    assert first.before == pytest.approx(0.2, abs=0.05)
    assert first.after > 0.5
    assert (first.events, first.found_at_ms) == (10 * first.model_step, 1_000 + first.model_step)
    assert 290 <= first.since_ms <= 301
    assert (first.number, first.kind) == (1, "finding")


@pytest.mark.parametrize(
    ("s", "up", "direction"),
    [
        (0, True, "worse"),
        (0, False, "better"),
        (1, True, "better"),
        (1, False, "worse"),
        (2, True, "changed"),
    ],
)
def test_the_side_that_is_worse_depends_on_the_signal(s: int, up: bool, direction: str) -> None:
    after = 0.6 if up else 0.0
    found = watched([0.3] * 300 + [after] * 30, s=s)
    assert [finding.direction for finding in found] == [direction]
    assert (direction, found[0].verdict) in findings_of(SIGNALS[s])


def test_a_change_is_told_once_and_what_came_of_it_is_usual_then() -> None:
    watch = new_watch()
    assert len(watched([0.2] * 300 + [0.6] * 300, watch=watch)) == 1
    assert {finding.direction for finding in watched([0.2] * 50, watch=watch)} == {"better"}


def test_a_stationary_signal_is_left_in_peace() -> None:
    assert watched([0.3] * 5_000) == []


def test_a_slow_learning_curve_is_no_harm() -> None:
    found = watched([0.3 + 0.3 * 0.99**n for n in range(2_000)])
    assert not [finding for finding in found if finding.direction == "worse"]


HOURS = np.arange(24 * 21).repeat(12)


def test_what_a_model_learns_in_its_first_week_is_not_expected_of_its_second() -> None:
    """There were eight findings a worker when a single week told what an hour is like."""
    found = watched(0.3 + 0.3 * 0.98**HOURS, every_ms=5 * 60_000)
    assert [finding for finding in found if finding.model_step >= 7 * 24 * 12] == []


def test_what_comes_back_every_day_is_found_on_the_first_days_alone() -> None:
    """Each finding made it forget what it knew of the hours, so it never knew enough."""
    daily = 0.3 + 0.2 * np.sin(HOURS / 24.0 * 2.0 * np.pi)
    found = [finding.model_step / (24 * 12) for finding in watched(daily, every_ms=5 * 60_000)]
    assert found
    assert max(found) < 4.0
    changed = [
        finding.model_step / (24 * 12)
        for finding in watched(daily + 0.3 * (HOURS >= 24 * 10), every_ms=5 * 60_000)
        if finding.model_step >= 4 * 24 * 12
    ]
    assert 10.0 <= changed[0] < 10.05, "and what does not is found"


def test_rare_values_are_gathered_before_they_are_judged() -> None:
    assert watched([0.2] * 3_200 + [5.0] * 31, labels=1, noise=0.01) == []
    found = watched([0.2] * 3_200 + [0.9] * 1_600, labels=1)
    assert found
    assert found[0].model_step % 32 == 31


def test_a_slower_detector_finds_what_has_become_usual_meanwhile() -> None:
    """What is usual follows the signal within a hundred groups, and there is no more deviation then."""
    found = watched([0.2] * 300 + [0.6] * 300, watch=new_watch("adwin"))
    assert [finding.direction for finding in found] == ["worse"]
    assert 300 <= found[0].model_step < 450
    back = watched([0.2] * 300 + [0.6] * 300 + [0.2] * 300, watch=new_watch("adwin"))
    assert [finding.direction for finding in back] == ["worse", "better"]


@given(
    st.sampled_from(get_args(Kind)),
    st.integers(0, 2**31),
    st.lists(st.integers(1, 120), min_size=1, max_size=4),
)
@law(15)
def test_a_restart_changes_nothing_that_is_found_later(kind: Kind, seed: int, lives: list[int]) -> None:
    undisturbed = restarted = new_watch(kind)
    levels = iter([0.2] * 150 + [0.9] * 1_000)
    for n, life in enumerate(lives):
        saved = restarted.state_dict()
        restarted = new_watch(kind)
        restarted.load_state_dict({name: array.copy() for name, array in saved.items()})
        some = [next(levels) for _ in range(life)]
        assert watched(some, watch=restarted, seed=seed + n) == watched(
            some, watch=undisturbed, seed=seed + n
        )
    one, other = restarted.state_dict(), undisturbed.state_dict()
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
