"""Signals made comparable: groups, deviations, when a change began, and what comes back every week."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.task import Task
from monitoring.false_alarms import EVENTS, run_lengths
from monitoring.guards import second_signals, verdict
from monitoring.seasons import DAY, WEEK, Seasons
from monitoring.signals import Signal, Signals
from stream.signal_columns import watched

HOUR_MS = 3_600_000


def fed(
    signals: Signals, values: Iterable[float], *, s: int = 0, every_ms: int = 1_000
) -> list[float | None]:
    """Deviations of groups with these means, one after the other."""
    S, found = len(signals.signals), []
    for n, value in enumerate(values):
        counts = np.zeros(S)
        counts[s] = signals.signals[s].group
        sums = counts * value
        found += [group.deviation for group in signals.add(sums, counts, every_ms * (n + 1))]
    return found


def test_values_wait_until_their_group_is_full() -> None:
    signals = Signals([Signal("a", 10), Signal("b", 4)])
    assert signals.add(np.array([3.0, 2.0]), np.array([6.0, 3.0]), 1) == []
    assert [group.signal for group in signals.add(np.array([1.0, 1.0]), np.array([4.0, 0.0]), 2)] == [0]
    assert [group.signal for group in signals.add(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 3)] == [1]


def test_deviations_are_of_one_size_whatever_the_signal_is_measured_in() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    for scale in (1e-3, 1.0, 1e4):
        found = fed(Signals([Signal("a", 1)]), 7.0 * scale + scale * values)
        assert found[:24] == [None] * 24
        later = np.array(found[100:], float)
        assert later.std() == pytest.approx(1.0, abs=0.15)
        assert later.mean() == pytest.approx(0.0, abs=0.2)


def test_an_absurd_value_counts_four_deviations_and_teaches_no_more() -> None:
    signals = Signals([Signal("a", 1)])
    fed(signals, np.random.default_rng(0).normal(size=200))
    usual = signals.usual(0)
    assert fed(signals, [1e12]) == [4.0]
    assert abs(signals.usual(0) - usual) < 0.2


def test_what_a_signal_was_like_while_it_began_is_soon_no_measure() -> None:
    rng = np.random.default_rng(0)
    began = np.linspace(10.0, 0.0, 30)
    signals = Signals([Signal("a", 1)])
    fed(signals, np.concatenate([began, np.zeros(70)]) + 0.1 * rng.normal(size=100))
    assert abs(signals.usual(0)) < 0.2
    shifted = np.array(fed(signals, 0.5 + 0.1 * rng.normal(size=5)), float)
    assert shifted.min() > 1.0  # five times as far as it scatters now, a tenth of what it began with


def test_the_beginning_of_a_change_is_told_by_its_groups() -> None:
    signals = Signals([Signal("a", 1)])
    fed(signals, [1.0] * 50)
    assert signals.began_ms(0, 3) == 47_000  # the end of the group before the last three
    assert signals.began_ms(0, 10**6) == 1_000


def test_where_a_signal_leans_is_told_and_forgotten_when_it_begins_anew() -> None:
    rng = np.random.default_rng(0)
    signals = Signals([Signal("a", 1)])
    fed(signals, rng.normal(size=200))
    assert abs(signals.leaning(0)) < 2.5
    fed(signals, 2.0 + rng.normal(size=8))
    assert signals.leaning(0) > 3.0
    assert signals.present(0, 8) > signals.usual(0) + 1.0
    signals.begin_anew(0, 8)
    assert signals.leaning(0) == 0.0
    assert signals.usual(0) == signals.present(0, 8) > 1.0
    assert None not in fed(signals, [2.0]), "it is watched on at once"


def test_how_a_signal_scatters_that_never_did_is_learned_anew() -> None:
    """Such as clicks where nobody sent any: chance would count four deviations for ever, a finding every few groups."""
    signals = Signals([Signal("a", 1)])
    fed(signals, np.zeros(40))
    clicks = np.random.default_rng(0).binomial(128, 0.01, 200) / 128
    fed(signals, clicks[:8])
    signals.begin_anew(0, 8)
    found = fed(signals, clicks[8:])
    assert found[:20] == [None] * 20
    later = np.array([deviation for deviation in found if deviation is not None])
    assert np.abs(later).mean() < 1.5


def left_by(seasons: Seasons, values: np.ndarray) -> np.ndarray:
    """What was not expected of values, four an hour from the first hour on; (days, 96)."""
    expected = [seasons.expect(0, value, n * HOUR_MS // 4) for n, value in enumerate(values.tolist())]
    return (values - [each or 0.0 for each in expected]).reshape(-1, 24 * 4)


@pytest.mark.parametrize(("hours", "days"), [(DAY, 1), (WEEK, 7)])
def test_an_hour_that_comes_back_is_expected_once_it_has_come_twice(hours: int, days: int) -> None:
    at = np.arange(24 * 28).repeat(4)
    left = left_by(Seasons(1, hours), np.where(at % 24 < 12, 1.0, 0.0))
    assert left[:days].std(axis=1) == pytest.approx([0.5] * days)
    assert left[2 * days + 1 :].std() < 0.01
    assert left[2 * days + 1 :].mean() == pytest.approx(0.5, abs=0.05)


@given(st.integers(0, 1_000), st.sampled_from([DAY, WEEK]))
@law(20)
def test_of_chance_little_is_expected_and_most_of_what_comes_back(seed: int, hours: int) -> None:
    rng, at = np.random.default_rng(seed), np.arange(24 * 35)
    chance = rng.normal(size=len(at)).repeat(4)
    assert left_by(Seasons(1, hours), chance)[21:].std() < 1.15 * chance.std()
    daily = 2.0 * np.sin(at / 24.0 * 2.0 * np.pi).repeat(4)
    assert left_by(Seasons(1, hours), daily + chance)[21:].std() < 0.85 * (daily + chance).std()


def test_a_steady_rise_is_no_season() -> None:
    seasons = Seasons(1, DAY)
    rise = np.arange(24 * 7).repeat(4) / 24.0
    assert left_by(seasons, rise) == pytest.approx(rise.reshape(7, -1))


def test_an_hour_that_has_not_ended_excuses_nothing() -> None:
    seasons = Seasons(1, DAY)
    left_by(seasons, np.zeros(2 * DAY * 4))
    at = 2 * DAY * HOUR_MS
    assert [seasons.expect(0, 1.0, at + n) for n in range(20)] == [0.0] * 20


def test_the_day_is_expected_until_the_week_is_known() -> None:
    """Weekends are quiet from the sixth day on; two weeks tell it, two days do not."""
    hours = np.arange(24 * 28).repeat(4)
    signals = Signals([Signal("a", 1)])
    busy = np.where((hours % 24 < 12) & (hours // 24 % 7 < 5), 1.0, 0.0)
    noisy = busy + np.random.default_rng(0).normal(scale=0.1, size=len(busy))
    deviations = np.array(fed(signals, noisy, every_ms=HOUR_MS // 4), np.float64)
    left = np.abs(deviations).reshape(28, -1).mean(axis=1)
    assert left[2:5].max() < 0.6
    assert left[[5, 7, 12]].min() > 1.1, "a weekend is no such day, nor a Monday after one"
    assert left[15:].max() < 0.9, "of chance it is 0.8"


def test_what_is_kept_of_seasons_expects_the_same() -> None:
    at = np.arange(8 * 24)
    values = np.random.default_rng(0).normal(size=len(at)) + 3.0 * np.sin(at / 24.0 * 2.0 * np.pi)
    one, other = Seasons(1, DAY), Seasons(1, DAY)
    left_by(one, values[: 3 * 24].repeat(4))
    other.load_state_dict(one.state_dict())
    for n, value in enumerate(values[3 * 24 :].repeat(4).tolist()):
        at_ms = 3 * DAY * HOUR_MS + n * HOUR_MS // 4
        expected = one.expect(0, value, at_ms)
        assert other.expect(0, value, at_ms) == expected != 0.0


# --- many tests at once


SIGNALS = [
    Signal("slates", 64, worse=-1, weight=5.0),
    Signal("loss", 32, worse=1, task="click"),
    Signal("loss", 32, worse=1, task="buy"),
    Signal("rate", 512),
]


def test_all_detectors_together_give_as_many_false_alarms_as_are_allowed() -> None:
    alarms = 0.0
    for signal, lengths in zip(SIGNALS, run_lengths(SIGNALS, 0.5), strict=True):
        alarms += EVENTS / signal.group * (1.0 / lengths.up + 1.0 / lengths.down)
    assert alarms == pytest.approx(0.5)
    more = run_lengths([*SIGNALS, *SIGNALS], 0.5)
    assert all(two.up > one.up for one, two in zip(run_lengths(SIGNALS, 0.5), more, strict=False))


def test_most_is_spent_on_what_becomes_worse() -> None:
    slates, loss, _, rate = run_lengths(SIGNALS, 0.5)
    assert slates.down < slates.up
    assert loss.up < loss.down
    assert rate.up == rate.down


# --- guards


def leaning(**directions: float) -> Signals:
    """Signals that have been usual for long, and of which some lean by so many deviations."""
    signals = Signals(SIGNALS)
    rng = np.random.default_rng(0)
    for s in range(len(SIGNALS)):
        fed(signals, rng.normal(size=100), s=s)
        fed(signals, [0.0] * 20, s=s)
    for name, value in directions.items():
        s = [f"{signal.name}{signal.task}" for signal in SIGNALS].index(name)
        fed(signals, [value] * 6, s=s)
    return signals


def test_only_worse_and_never_alone_is_reason_to_act() -> None:
    found = 0
    assert verdict(leaning(lossclick=2.0), found, "worse") == "act"
    assert verdict(leaning(lossclick=2.0), found, "better") == "better"
    assert verdict(leaning(lossclick=2.0), found, "changed") == "neutral"
    assert verdict(leaning(), found, "worse") == "alone"
    assert verdict(leaning(lossclick=-2.0), found, "worse") == "alone", (
        "a loss that falls is no second sign of harm"
    )


@pytest.mark.parametrize("tasks", [2, 10])
def test_however_many_signals_there_are_a_second_one_is_seldom_there_by_chance(tasks: int) -> None:
    watched_ = watched([Task(name=f"t{n}") for n in range(tasks)])
    signals, rng = Signals(watched_), np.random.default_rng(tasks)
    sizes = np.array([signal.group for signal in watched_], np.float64)
    seconded, looks = 0, range(1, 2_000)
    for n in looks:
        signals.add(sizes * (1.0 + 0.1 * rng.normal(size=len(sizes))), sizes.copy(), n)
        seconded += n > 200 and bool(second_signals(signals, 0))
    assert 0.02 < seconded / len(looks) < 0.2


def test_what_people_answer_is_reason_enough() -> None:
    signals = Signals([replace(SIGNALS[0], enough=True), *SIGNALS[1:]])
    assert verdict(signals, 0, "worse") == "act"
    assert verdict(signals, 1, "worse") == "alone"
    assert [signal.name for signal in watched([]) if signal.enough] == ["slates"]


def test_a_second_signal_is_of_another_kind_and_not_another_tasks() -> None:
    loss_of_click = 1
    assert verdict(leaning(lossbuy=2.0), loss_of_click, "worse") == "alone"
    assert verdict(leaning(slates=-2.0), loss_of_click, "worse") == "act"
    assert verdict(leaning(rate=-2.0), loss_of_click, "worse") == "act", "what is neither counts either way"
