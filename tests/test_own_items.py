"""Pairs of users and items in a hash table, against a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts import own_items
from learners.counts.own_items import OwnItems, Pairs, find_pair, remember_pair

START_S = 1.7e9
NEVER = (0, -np.inf)

# (user, item, seconds since the event before)
choices = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 1.0, 60.0, -30.0])),
    min_size=1,
    max_size=40,
)
Steps = list[tuple[int, int, float]]


@dataclass
class NaivePairs:
    """A dictionary of (count, last) with the same bound."""

    capacity: int
    pairs: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)

    def learn_many(self, users: np.ndarray, rows: np.ndarray, now_s: np.ndarray) -> None:
        more = len(users)
        if len(self.pairs) + more > self.capacity:
            keep = max(min(int(0.75 * self.capacity), self.capacity - more), 0)
            newest = sorted(self.pairs, key=lambda pair: (-self.pairs[pair][1], pair))[:keep]
            self.pairs = {pair: self.pairs[pair] for pair in newest}
        for user, row, now in zip(users.tolist(), rows.tolist(), now_s.tolist(), strict=True):
            count, last = self.pairs.get((user, row), NEVER)
            self.pairs[user, row] = count + 1, max(last, now)


def columns(steps: Steps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    users, rows, elapsed = zip(*steps, strict=True)
    return np.array(users), np.array(rows), START_S + np.cumsum(elapsed)


def learned(steps: Steps, cut: int | None = None, capacity: int = 1_000) -> OwnItems:
    own = OwnItems(capacity)
    for some in parts(steps, cut):
        own.learn_many(*some)
    return own


def parts(steps: Steps, cut: int | None) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    whole, size = columns(steps), cut or len(steps)
    return [tuple(column[start : start + size] for column in whole) for start in range(0, len(steps), size)]


def as_dict(own: OwnItems) -> dict[tuple[int, int], tuple[int, float]]:
    saved = own.state_dict()
    found = {
        (key >> 32, key & 0xFFFFFFFF): (int(count), last)
        for key, count, last in zip(
            *(saved[f"pairs.{column}"].tolist() for column in ("keys", "counts", "last_s")), strict=True
        )
    }
    assert len(found) == own.pairs == len(saved["pairs.keys"])
    return found


@given(choices, st.integers(1, 40))
@law(60)
def test_pairs_are_those_of_a_dictionary(steps: Steps, cut: int) -> None:
    own, naive = learned(steps, cut), NaivePairs(1_000)
    naive.learn_many(*columns(steps))
    assert as_dict(own) == naive.pairs
    for user in range(7):
        for row in range(7):
            assert own.of(user, row) == naive.pairs.get((user, row), NEVER)


@given(choices, st.integers(1, 12), st.integers(1, 30))
@law(100)
def test_beyond_the_bound_what_was_chosen_longest_ago_is_let_go(
    steps: Steps, cut: int, capacity: int
) -> None:
    own, naive = learned(steps, cut, capacity), NaivePairs(capacity)
    for some in parts(steps, cut):
        naive.learn_many(*some)
        assert len(naive.pairs) <= max(capacity, cut)
    assert as_dict(own) == naive.pairs


def test_the_bound_is_kept_and_what_it_cost_is_counted() -> None:
    own = OwnItems(capacity=100)
    for n in range(250):
        own.learn_many(np.array([n]), np.array([3]), np.array([START_S + n]))
        assert own.pairs <= 100
    assert own.pairs + own.evicted == 250
    assert own.of(249, 3) == (1, START_S + 249)
    assert own.of(0, 3) == NEVER


@pytest.mark.parametrize("cut", [1, 500, 6_000])
def test_a_table_that_grows_loses_nobody(cut: int) -> None:
    rng = np.random.default_rng(0)
    steps = [(int(user), int(row), 1.0) for user, row in rng.integers(0, 2**31 - 1, (6_000, 2))]
    own = learned(steps, cut, capacity=100_000)
    assert own.pairs == len({(user, row) for user, row, _ in steps}) == 6_000
    assert len(own.arrays.keys) & (len(own.arrays.keys) - 1) == 0, "a power of two"
    assert own.pairs <= 0.6 * len(own.arrays.keys)
    now_s = START_S
    for user, row, elapsed in steps:
        now_s += elapsed
        assert own.of(user, row) == (1, now_s)
    assert own.evicted == 0


def probes(own: OwnItems) -> float:
    """How many slots are looked at to find a pair, on average."""
    keys = own.arrays.keys
    filled = np.flatnonzero(keys >= 0)
    alone = own_items._table(len(keys))  # where a pair stands when nobody is in its way
    begin = [own_items._slot(alone, keys[slot]) for slot in filled]
    return float(((filled - np.array(begin)) % len(keys)).mean() + 1.0)


@pytest.mark.parametrize("many", ["users", "items", "both", "far apart"])
def test_those_who_chose_one_item_do_not_stand_in_each_others_way(many: str) -> None:
    rng = np.random.default_rng(0)
    n = np.arange(600)
    users, rows = {
        "users": (n, np.full(600, 7)),
        "items": (np.full(600, 7), n),
        "both": (n % 25, n // 25),
        "far apart": (rng.integers(0, 2**31 - 1, 600), rng.integers(0, 2**31 - 1, 600)),
    }[many]
    own = OwnItems(10_000)
    own.learn_many(users, rows, np.full(600, START_S))
    assert own.pairs == 600
    assert probes(own) < 3.0


def test_masks_tell_most_pairs_that_are_not_there() -> None:
    own, rng = OwnItems(100_000), np.random.default_rng(0)
    users, rows = rng.integers(0, 2_000, 20_000), rng.integers(0, 50_000, 20_000)
    own.learn_many(users, rows, np.full(20_000, START_S))
    others = rng.integers(0, 50_000, 20_000)
    passed = 0
    for user, row in zip(users, others, strict=True):
        place, bit = own_items._masked(own.arrays, np.int64(user << 32 | row))
        passed += bool(own.arrays.masks[place] & bit)
    assert passed < 0.25 * len(others)


def test_pairs_that_meet_in_a_slot_are_told_apart_also_around_the_end() -> None:
    own = OwnItems(100)
    size = len(own.arrays.keys)
    wanted = size - 1
    met = [row for row in range(200_000) if own_items._slot(own.arrays, np.int64(row)) == wanted][:4]
    assert len(met) == 4
    for row in met:
        assert remember_pair(own.arrays, 0, row, START_S + row) == 1
    assert [find_pair(own.arrays, 0, row) for row in met] == [size - 1, 0, 1, 2]
    assert remember_pair(own.arrays, 0, met[2], START_S) == 0
    assert own.of(0, met[2]) == (2, START_S + met[2])


@given(choices, st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7)))
@law(60)
def test_pairs_of_the_forgotten_are_gone_and_the_others_found(
    steps: Steps, users: set[int], items: set[int]
) -> None:
    own = learned(steps)
    before = as_dict(own)
    own.forget(users=np.array(sorted(users), np.int64))
    own.forget(items=np.array(sorted(items), np.int64))
    expected = {pair: told for pair, told in before.items() if pair[0] not in users and pair[1] not in items}
    assert as_dict(own) == expected
    for user, row in before:
        assert own.of(user, row) == expected.get((user, row), NEVER)


def test_users_and_items_can_be_forgotten_at_once() -> None:
    own = learned([(1, 5, 0.0), (2, 6, 0.0), (3, 7, 0.0)])
    own.forget(users=np.array([1]), items=np.array([7, 900]))
    assert list(as_dict(own)) == [(2, 6)]


@given(choices, choices, st.integers(1, 12), st.integers(4, 30))
@law(60)
def test_a_restored_one_goes_on_alike_and_lets_go_of_the_same(
    before: Steps, after: Steps, cut: int, capacity: int
) -> None:
    one, other = learned(before, cut, capacity), OwnItems(capacity)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for own in (one, other):
        for some in parts(after, cut):
            own.learn_many(*some)
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


def test_a_restored_one_lets_go_at_the_same_moment_whatever_its_table() -> None:
    """A table that grew step by step has another size than one that is made for its pairs."""
    one = OwnItems(capacity=700)
    for n in range(600):
        one.learn_many(np.array([n]), np.array([n]), np.array([START_S + n]))
    other = OwnItems(capacity=700)
    other.load_state_dict(one.state_dict())
    assert len(one.arrays.keys) != len(other.arrays.keys)
    for n in range(600, 900):
        for own in (one, other):
            own.learn_many(np.array([n]), np.array([n]), np.array([START_S + n]))
        assert one.pairs == other.pairs
    assert as_dict(one) == as_dict(other)


# --- the compiled loops


@given(choices)
@law(40)
def test_compiled_and_interpreted_agree(steps: Steps) -> None:
    compiled, interpreted = (own_items._table(64) for _ in range(2))
    for user, row, now in zip(*columns(steps), strict=True):
        assert find_pair(compiled, user, row) == find_pair.py_func(interpreted, user, row)
        assert remember_pair(compiled, user, row, now) == remember_pair.py_func(interpreted, user, row, now)
    for one, other in zip(compiled, interpreted, strict=True):
        assert (one == other).all()


@given(st.lists(st.integers(0, 2**62), unique=True, max_size=40))
@law(60)
def test_the_slot_of_a_key_is_the_same_for_compiler_and_interpreter(keys: list[int]) -> None:
    compiled, interpreted = (own_items._table(64) for _ in range(2))
    ones = np.ones(len(keys), np.float32)
    pairs = Pairs(
        np.array(keys, np.int64), ones, ones.astype(np.float64), ones.astype(np.uint8), compiled.masks[:0]
    )
    own_items._insert(compiled, pairs)
    own_items._insert.py_func(interpreted, pairs)
    for one, other in zip(compiled, interpreted, strict=True):
        assert (one == other).all()
    with np.errstate(over="ignore"):  # an unsigned product wraps around
        for key in keys:
            assert own_items._slot(compiled, np.int64(key)) == own_items._slot.py_func(
                compiled, np.int64(key)
            )
            assert own_items._masked(compiled, np.int64(key)) == own_items._masked.py_func(
                compiled, np.int64(key)
            )
