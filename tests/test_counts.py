"""All counts together, against dictionaries and one choice at a time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts import counts as module
from learners.counts.companions import HALF_LIVES_S as COMPANION_HALF_LIVES_S
from learners.counts.counts import (
    ACCOMPANIED,
    FOLLOWED,
    TOGETHER_HALF_LIVES_S,
    TRANSITION_HALF_LIVES_S,
    TRANSITIONS_KEPT,
    Counts,
    latest_distinct,
)
from learners.counts.neighbours import PRIOR, NeighbourTable
from learners.counts.popularity import HALF_LIVES_S
from learners.row_index import ABSENT

START_S = 1.7e9
USERS, ITEMS, SLOTS = 5, 9, 40

# (user, item, seconds since the event before)
choices = st.lists(
    st.tuples(
        st.integers(0, USERS - 1),
        st.integers(0, ITEMS - 1),
        st.sampled_from([0.0, 1.0, 600.0, 90_000.0, 1e7, -20.0]),
    ),
    min_size=1,
    max_size=50,
)
Steps = list[tuple[int, int, float]]
Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def columns(steps: Steps) -> Columns:
    """Users, items, moments, and what each user had chosen before."""
    own: dict[int, list[int]] = defaultdict(list)
    histories = np.full((len(steps), SLOTS), ABSENT, np.int64)
    for n, (user, item, _) in enumerate(steps):
        before = own[user][-SLOTS:]
        histories[n, SLOTS - len(before) :] = before
        own[user].append(item)
    users, items, elapsed = zip(*steps, strict=True)
    return np.array(users), np.array(items), START_S + np.cumsum(elapsed), histories


def learned(steps: Steps, cut: int | None = None) -> Counts:
    counts, size = Counts(max_pairs=1_000), cut or len(steps)
    for start in range(0, len(steps), size):
        counts.learn_many(*(column[start : start + size] for column in columns(steps)))
    return counts


@dataclass
class Naive:
    """Sums over lists: what each count adds up, by (row, neighbour), as (amount, moment)."""

    own: Counter[tuple[int, int]] = field(default_factory=Counter)
    transitions: dict[int, list[tuple[int, float, float]]] = field(default_factory=lambda: defaultdict(list))
    together: dict[int, list[tuple[int, float, float]]] = field(default_factory=lambda: defaultdict(list))
    companions: dict[int, list[tuple[int, float, float]]] = field(default_factory=lambda: defaultdict(list))
    choosers: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    chosen: list[tuple[int, float]] = field(default_factory=list)
    habits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0] * 5))

    def learn(self, user: int, item: int, now: float, history: list[int]) -> None:
        before = list(dict.fromkeys(reversed(history)))
        for distance, source in enumerate(before[:FOLLOWED]):
            if source != item:
                self.transitions[source].append((item, 1 / (1 + distance), now))
        if not self.own[user, item]:
            for distance, other in enumerate(before[:ACCOMPANIED]):
                if other != item:
                    self.together[other].append((item, 1 / (1 + distance), now))
                    self.together[item].append((other, 1 / (1 + distance), now))
            for other in self.choosers[item][-16:]:
                self.companions[user].append((other, 1.0, now))
            self.choosers[item].append(user)
        of_item = [n for n, (row, _) in enumerate(self.chosen) if row == item]
        if of_item:
            last_s = max(self.chosen[n][1] for n in of_item)  # out of order there is no growing back
            popularity = sum(
                2 ** (-(max(now, last_s) - self.chosen[n][1]) / HALF_LIVES_S[-1]) for n in of_item
            )
            told = [
                math.log1p(len(self.chosen) - of_item[0]),
                math.log1p(len(self.chosen) - of_item[-1]),
                math.log1p(popularity),
                float(self.own[user, item] > 0),
            ]
            *means, formed = self.habits[user]
            rate = max(0.1, 1 / (1 + formed))
            means = [old + rate * (new - old) for old, new in zip(means, told, strict=True)]
            self.habits[user] = [*means, formed + 1]
        self.own[user, item] += 1
        self.chosen.append((item, now))


def naive(steps: Steps) -> Naive:
    counts = Naive()
    for user, item, now, history in zip(*(column.tolist() for column in columns(steps)), strict=True):
        counts.learn(user, item, now, [row for row in history if row != ABSENT])
    return counts


def must_agree(
    table: NeighbourTable,
    told: dict[int, list[tuple[int, float, float]]],
    rows: int,
    half_lives_s: np.ndarray,
    later: float,
    kept: tuple[float, ...] = (),
) -> None:
    for row in range(rows):
        sums: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(len(half_lives_s) + len(kept)))
        for n, (other, amount, at) in enumerate(told[row]):
            by_time = 2 ** (-(later - at) / half_lives_s)
            by_touch = np.array(kept) ** (len(told[row]) - 1 - n)
            sums[other] += amount * np.concatenate([by_time, by_touch])
        total = sum(sums.values())
        others, shares = table.shares(row, later)
        found = dict(zip(others.tolist(), shares, strict=True))
        assert found.keys() == sums.keys()
        for other, share in found.items():
            assert share == pytest.approx(sums[other] / (total + PRIOR), rel=1e-3, abs=1e-6)


@given(choices)
@law(60)
def test_a_choice_is_counted_once_in_every_count(steps: Steps) -> None:
    counts, expected = learned(steps), naive(steps)
    later = float(columns(steps)[2].max()) + 100.0
    of = counts.arrays
    assert counts.popularity.events == len(steps)
    assert counts.own.pairs == len(expected.own)
    for (user, item), times in expected.own.items():
        assert counts.own.of(user, item)[0] == times
    must_agree(
        counts.transitions,
        expected.transitions,
        ITEMS,
        TRANSITION_HALF_LIVES_S,
        later,
        TRANSITIONS_KEPT,
    )
    must_agree(counts.together, expected.together, ITEMS, TOGETHER_HALF_LIVES_S, later)
    must_agree(counts.companions.of_users, expected.companions, USERS, COMPANION_HALF_LIVES_S, later)
    assert of.companions.chosen[:ITEMS].tolist() == [len(expected.choosers[item]) for item in range(ITEMS)]


@given(choices)
@law(40)
def test_habits_are_those_of_a_list_when_choices_come_one_by_one(steps: Steps) -> None:
    counts, expected = learned(steps, cut=1), naive(steps)
    for user in range(USERS):
        assert counts.arrays.habits[user] == pytest.approx(expected.habits[user], rel=1e-3, abs=1e-4)


@given(choices, st.integers(1, 20))
@law(60)
def test_how_the_choices_are_cut_does_not_matter_but_to_habits(steps: Steps, cut: int) -> None:
    """Habits are about how popular an item was before the batch; everything else knows no batches."""
    one, other = learned(steps).state_dict(), learned(steps, cut).state_dict()
    for name, array in one.items():
        if name != "habits":
            assert (array == other[name]).all(), name


def test_an_item_that_nobody_had_chosen_before_the_batch_forms_no_habit() -> None:
    steps: Steps = [(0, 1, 0.0), (1, 1, 0.0), (1, 1, 0.0)]
    assert not learned(steps).arrays.habits.any()
    one_by_one = learned(steps, cut=1).arrays.habits
    assert not one_by_one[0].any()
    assert one_by_one[1].any()


def test_companies_are_counted_once_a_pair_and_in_both_directions() -> None:
    counts = learned([(0, 1, 0.0), (0, 2, 0.0), (0, 1, 0.0), (0, 2, 0.0)])
    for row, other in ((1, 2), (2, 1)):
        others, shares = counts.together.shares(row, START_S)
        assert others.tolist() == [other]
        assert shares[0] == pytest.approx([1 / (1 + PRIOR)] * 2)


def test_transitions_look_back_so_far_and_no_further() -> None:
    users, items = np.array([0]), np.array([30])
    history = np.arange(30, dtype=np.int64)[None]
    counts = Counts(max_pairs=100)
    counts.learn_many(users, items, np.array([START_S]), history)
    followed = [row for row in range(30) if counts.transitions.of(row).tolist() == [30]]
    assert followed == list(range(30 - FOLLOWED, 30))
    together = [row for row in range(30) if counts.together.of(row).tolist() == [30]]
    assert together == list(range(30 - ACCOMPANIED, 30))


def test_no_choices_teach_nothing() -> None:
    counts, none = Counts(max_pairs=100), np.zeros(0, np.int64)
    before = counts.state_dict()
    counts.learn_many(none, none, none.astype(np.float64), np.zeros((0, 4), np.int64))
    for name, array in counts.state_dict().items():
        assert (array == before[name]).all(), name


def test_the_arrays_have_room_for_everybody_that_was_announced() -> None:
    counts = Counts(max_pairs=100)
    counts.ensure(users=1_000, items=3_000)
    of = counts.arrays
    assert len(of.habits) >= 1_000
    assert len(of.companions.of_users.filled) >= 1_000
    assert len(of.companions.closeness) >= len(of.companions.of_users.filled)
    for array in (of.popularity.weights, of.transitions.filled, of.together.filled, of.companions.choosers):
        assert len(array) >= 3_000
    assert len(of.expectations.expected) >= 3_000


# --- forgetting and restoring


def neighbours(table: NeighbourTable) -> np.ndarray:
    return np.concatenate([table.of(row) for row in range(len(table))])


def mentioned(counts: Counts, users: bool) -> set[int]:
    """The rows of users or items of which anything is counted."""
    of = counts.arrays
    keys = of.own.keys[of.own.keys >= 0]
    if users:
        found = [keys >> 32, neighbours(counts.companions.of_users), of.companions.choosers]
        found += [
            np.flatnonzero(of.habits.any(axis=1)),
            np.flatnonzero(of.companions.of_users.totals.any(axis=1)),
        ]
    else:
        found = [keys & 0xFFFFFFFF, counts.popularity.known_rows, counts.popularity.leaders()]
        found += [neighbours(counts.transitions), neighbours(counts.together)]
        found += [np.flatnonzero(of.companions.chosen)]
        found += [np.flatnonzero(of.popularity.weights.any(axis=1))]
        found += [
            np.flatnonzero(of.transitions.totals.any(axis=1)),
            np.flatnonzero(of.expectations.chosen.any(1)),
        ]
        found += [np.flatnonzero((of.companions.choosers != ABSENT).any(axis=1))]
    return {int(row) for rows in found for row in rows.ravel()} - {ABSENT}


@given(choices, st.sets(st.integers(0, ITEMS + 3)), st.sets(st.integers(0, USERS + 3)))
@law(40)
def test_of_the_forgotten_nothing_is_counted(steps: Steps, items: set[int], users: set[int]) -> None:
    counts = learned(steps, cut=1)
    _, rows, _, _ = columns(steps)
    counts.expectations.learn_many(rows[:, None], np.zeros((len(rows), 1), np.float32), rows)
    before = mentioned(counts, users=False), mentioned(counts, users=True)
    counts.forget_items(np.array(sorted(items), np.int64))
    counts.forget_users(np.array(sorted(users), np.int64))
    assert not mentioned(counts, users=False) & items
    assert not mentioned(counts, users=True) & users
    assert set(counts.popularity.known_rows.tolist()) == before[0] - items


@given(choices, choices)
@law(30)
def test_restored_counts_go_on_alike(before: Steps, after: Steps) -> None:
    one, other = learned(before), Counts(max_pairs=1_000)
    saved = one.state_dict()
    kept = {name: array.copy() for name, array in saved.items()}
    other.load_state_dict({name: array.copy() for name, array in saved.items()})
    users, rows, now_s, histories = columns(after)
    for counts in (one, other):
        counts.learn_many(users, rows, now_s + 1e8, histories)
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name
    assert all((array == kept[name]).all() for name, array in saved.items()), "the state is a copy"


def test_other_bounds_are_refused() -> None:
    saved = Counts(max_pairs=10, neighbours=8).state_dict()
    with pytest.raises(ValueError, match=r"saved with learner.neighbours = 8"):
        Counts(max_pairs=10, neighbours=4).load_state_dict(saved)


# --- the latest different items


@given(st.lists(st.integers(-1, 5), max_size=10), st.integers(1, 12))
@law(80)
def test_latest_distinct_is_a_reversed_list_without_repeats(items: list[int], count: int) -> None:
    expected = [item for item in dict.fromkeys(reversed(items)) if item != ABSENT][:count]
    for look in (latest_distinct, latest_distinct.py_func):
        out = np.full(count, 77)
        assert look(np.array(items, np.int64), out) == len(expected)
        assert out.tolist() == expected + [77] * (count - len(expected))


@given(choices)
@law(20)
def test_compiled_and_interpreted_agree(steps: Steps) -> None:
    given_columns = columns(steps)
    compiled, interpreted = Counts(max_pairs=1_000), Counts(max_pairs=1_000)
    learn = module._learn_pairwise
    for counts, pairwise in ((compiled, learn), (interpreted, learn.py_func)):
        half = len(steps) // 2
        counts.ensure(USERS, ITEMS, len(steps))
        counts.popularity.learn_many(given_columns[1][:half], given_columns[2][:half])
        done, new = pairwise(counts.arrays, *given_columns, counts.popularity.events, 0)
        assert done == len(steps)
        counts.own.pairs += new
    for name, array in compiled.state_dict().items():
        assert array == pytest.approx(interpreted.state_dict()[name], rel=1e-5, abs=1e-8), name
