"""Decayed choices, against dictionaries and one event at a time."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts import popularity as module
from learners.counts.popularity import (
    DECAYS,
    HALF_LIVES_EVENTS,
    HALF_LIVES_S,
    TIMED,
    Popularity,
    popularity_of,
)
from learners.row_index import ABSENT

START_S = 1.7e9

# (item, seconds since the event before): minutes to years, and a little back now and then
choices = st.lists(
    st.tuples(
        st.integers(0, 24), st.sampled_from([0.0, 1.0, 60.0, 3_600.0, 86_400.0, 3e6, 5e7, -5.0, -4_000.0])
    ),
    min_size=1,
    max_size=40,
)

simultaneous = st.lists(
    st.tuples(st.integers(0, 24), st.sampled_from([0.0, 0.0, 0.0, 60.0])), min_size=1, max_size=20
)


def log_of(steps: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array([row for row, _ in steps], np.int64)
    return rows, START_S + np.cumsum([elapsed for _, elapsed in steps])


def learned(steps: list[tuple[int, float]], cut: int | None = None, leaders: int = 40) -> Popularity:
    """Learned in calls of `cut` choices; all at once when None."""
    rows, now_s = log_of(steps)
    popularity = Popularity(leaders)
    for start in range(0, len(rows), cut or len(rows)):
        some = slice(start, start + (cut or len(rows)))
        popularity.learn_many(rows[some], now_s[some])
    return popularity


def test_what_is_chosen_all_the_time_is_forgotten_all_the_same() -> None:
    """A second takes less of a large count than its floats can tell, so it must not be taken second by second."""
    count, every_s = 400_000, 5.0
    popularity = learned([(0, every_s)] * count)
    moments = every_s * np.arange(count)
    wanted = np.exp2(-moments / HALF_LIVES_S[:, None]).sum(axis=1)
    found = popularity.scores(np.array([0]), np.array([START_S + every_s * count]))[:TIMED, 0]
    assert found == pytest.approx(wanted, rel=2e-3)


@given(choices)
@law(80)
def test_scores_and_ages_are_those_of_a_list_of_choices(steps: list[tuple[int, float]]) -> None:
    popularity = learned(steps)
    rows, now_s = log_of(steps)
    later = float(now_s.max()) + 500.0
    times: dict[int, list[float]] = defaultdict(list)
    numbers: dict[int, list[int]] = defaultdict(list)
    for number, (row, at) in enumerate(zip(rows.tolist(), now_s.tolist(), strict=True)):
        times[row].append(at)
        numbers[row].append(number)
    for row in range(25):
        asked, moment = np.array([row]), np.array([later])
        expected = [sum(2 ** (-(later - at) / h) for at in times[row]) for h in HALF_LIVES_S]
        expected += [
            sum(2 ** (-(len(rows) - 1 - number) / h) for number in numbers[row]) for h in HALF_LIVES_EVENTS
        ]
        assert popularity.is_known(asked)[0] == bool(times[row])
        if not times[row]:
            continue
        assert popularity.scores(asked, moment)[:, 0] == pytest.approx(expected, rel=1e-3, abs=1e-6)
        assert popularity.ages(asked, moment)[:, 0] == pytest.approx(
            [
                later - times[row][0],
                later - max(times[row]),
                len(rows) - numbers[row][0],
                len(rows) - numbers[row][-1],
            ],
            rel=1e-6,
        )
    assert popularity.events == len(rows)
    assert popularity.known_rows.tolist() == list(dict.fromkeys(rows.tolist()))


@given(choices)
@law(60)
def test_many_at_once_are_as_one_by_one(steps: list[tuple[int, float]]) -> None:
    together, apart = learned(steps), learned(steps, cut=1)
    assert together.known_rows.tolist() == apart.known_rows.tolist()
    one, other = together.state_dict(), apart.state_dict()
    for name, array in one.items():
        assert (array == other[name]).all(), name


@given(choices, st.integers(1, 7))
@law(60)
def test_leaders_are_the_best_of_all(steps: list[tuple[int, float]], cut: int) -> None:
    n = 3
    popularity = learned(steps, cut, leaders=n)
    known = popularity.known_rows
    later = np.full(len(known), log_of(steps)[1].max())
    scores, ages = popularity.scores(known, later), popularity.ages(known, later)
    expected = min(n, len(known))
    for half_life in range(TIMED):
        found = popularity.arrays.leaders.best_first(half_life)
        mine = popularity.scores(found, later[: len(found)])[half_life]
        best = np.sort(scores[half_life])[::-1][:expected]
        assert mine == pytest.approx(best, rel=1e-3), "best first, and none better left out"
    by_recency = known[np.argsort(ages[3], kind="stable")][:expected]
    by_novelty = known[np.argsort(ages[2], kind="stable")][:expected]
    assert popularity.arrays.leaders.best_first(TIMED).tolist() == by_recency.tolist()
    assert popularity.arrays.leaders.best_first(TIMED + 1).tolist() == by_novelty.tolist()
    assert set(by_recency.tolist()) | set(by_novelty.tolist()) <= set(popularity.leaders().tolist())
    assert len(popularity.leaders()) <= n * (TIMED + 2)


def test_an_item_that_nobody_chose_is_not_known() -> None:
    popularity = learned([(3, 0.0)])
    assert popularity.is_known(np.array([3, 2, 9_999])).tolist() == [True, False, False]
    assert popularity.scores(np.array([2]), np.array([START_S])).tolist() == [[0.0]] * DECAYS
    assert popularity.ages(np.array([2]), np.array([START_S]))[:2, 0].tolist() == [0.0, 0.0]


def test_nothing_learned_means_no_leaders() -> None:
    popularity = Popularity()
    popularity.learn_many(np.zeros(0, np.int64), np.zeros(0))
    assert popularity.leaders().tolist() == []
    assert popularity.events == 0


def test_a_forgotten_item_is_as_if_it_had_never_been() -> None:
    popularity = learned([(1, 0.0), (2, 1.0), (1, 1.0), (3, 1.0)])
    popularity.forget(np.array([1, 77]))
    assert popularity.known_rows.tolist() == [2, 3]
    assert popularity.leaders().tolist() == [2, 3]
    assert not popularity.is_known(np.array([1]))[0]
    popularity.learn_many(np.array([1]), np.array([START_S + 10.0]))
    fresh = learned([(1, 10.0)])
    now = np.array([START_S + 20.0])
    assert (popularity.scores(np.array([1]), now) == fresh.scores(np.array([1]), now)).all()
    assert popularity.leaders().tolist() == [1, 2, 3]
    assert popularity.ages(np.array([1]), now)[:, 0].tolist() == [10.0, 10.0, 1.0, 1.0]


@given(simultaneous, simultaneous, st.integers(1, 9))
@law(60)
def test_a_restored_one_goes_on_alike(
    before: list[tuple[int, float]], after: list[tuple[int, float]], cut: int
) -> None:
    one = learned(before, cut, leaders=2)
    other = Popularity(leaders=2)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    assert one.leaders().tolist() == other.leaders().tolist(), "where keys tie, too"
    rows, now_s = log_of(after)
    for popularity in (one, other):
        popularity.learn_many(rows, now_s + 1e6)
    assert one.leaders().tolist() == other.leaders().tolist()
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


# --- out of order, and in numbers of events


def test_an_event_out_of_order_counts_as_much_as_is_left_of_it() -> None:
    popularity, hour = Popularity(), HALF_LIVES_S.tolist().index(3_600.0)
    popularity.learn_many(np.array([1, 1]), START_S + np.array([3_600.0, 0.0]))
    found = popularity.scores(np.array([1]), np.array([START_S + 3_600.0]))[:, 0]
    assert found[hour] == pytest.approx(1.5), "one now, and one of an hour ago"
    assert popularity.ages(np.array([1]), np.array([START_S + 3_600.0]))[:2, 0].tolist() == [0.0, 0.0]


def test_half_lives_in_events_know_no_clock() -> None:
    quick, slow = (
        learned([(1, 0.0), *[(2, gap)] * 20, (1, gap), *[(3, gap)] * 100]) for gap in (1.0, 86_400.0)
    )
    asked, moment = np.array([1, 2, 3]), np.full(3, START_S + 1e9)
    assert (quick.scores(asked, moment)[TIMED:] == slow.scores(asked, moment)[TIMED:]).all()
    assert quick.scores(asked, moment)[TIMED, 0] == pytest.approx(2**-5 + 2 ** (-121 / 20), rel=1e-4)


def test_another_number_of_leaders_is_refused() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        Popularity(leaders=3).load_state_dict(Popularity(leaders=2).state_dict())


# --- the compiled loops


@given(choices, st.integers(1, 4))
@law(30)
def test_compiled_and_interpreted_agree(steps: list[tuple[int, float]], n: int) -> None:
    compiled, interpreted = Popularity(n), Popularity(n)
    rows, now_s = log_of(steps)
    for popularity, learn in ((compiled, module._learn_many), (interpreted, module._learn_many.py_func)):
        popularity.ensure(25)
        learn(popularity.arrays, rows, now_s, 0)
    for name, array in compiled.arrays._asdict().items():
        if name != "leaders":
            assert array == pytest.approx(interpreted.arrays._asdict()[name], rel=1e-6, abs=1e-9), name
    # of two that are alike but for rounding either may lead, but each by what is counted of it
    for each in (compiled, interpreted):
        for group, leader in np.argwhere(each.arrays.leaders.rows != ABSENT).tolist():
            own = each._keys(each.arrays.leaders.rows[group, leader, None])[0, group]
            assert each.arrays.leaders.keys[group, leader] == pytest.approx(own, rel=1e-6, abs=1e-9)
    leading = [np.sort(each.arrays.leaders.keys, axis=1) for each in (compiled, interpreted)]
    assert leading[0] == pytest.approx(leading[1], rel=1e-6, abs=1e-9)
    for decay in range(DECAYS):
        asked = (compiled.arrays, int(rows[0]), decay, START_S + 1e4, len(rows) + 3)
        assert popularity_of(*asked) == pytest.approx(popularity_of.py_func(*asked), rel=1e-6, abs=1e-9)


def test_an_item_that_nobody_has_chosen_is_not_the_oldest_of_all() -> None:
    popularity = learned([(row % 3, 60.0) for row in range(30)])
    popularity.ensure(9)
    assert popularity.ages(np.array([7]), np.array([START_S + 1e6]))[:, 0].tolist() == [0.0] * 4
