"""Ids to rows and back, held against a model of a few lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from learners.row_index import ABSENT, RowIndex

ids = st.sampled_from([f"id{n}" for n in range(40)] + ["", "\0", "💧"])


class AgainstModel(RuleBasedStateMachine):
    """`touched` is the model: which ids are in, and when each was last named."""

    @initialize(capacity=st.sampled_from([1, 2, 7, 30]))
    def start(self, capacity: int) -> None:
        self.capacity = capacity
        self.index = RowIndex(capacity)
        self.touched: dict[str, int] = {}
        self.clock = 0
        self.evictions = 0

    @rule(names=st.lists(ids, max_size=12))
    def admit(self, names: list[str]) -> None:
        if len(set(names)) > self.capacity:
            with pytest.raises(ValueError, match="raise the bound"):
                self.index.admit(names)
            self.clock += 1
            self.touched |= {name: self.clock for name in names if name in self.touched}
            return
        before = {name: self.index.row(name) for name in self.touched}
        rows = self.index.admit(names)
        evicted_rows = self.index.take_evicted().tolist()

        self.clock += 1
        gone = {name for name in before if name not in self.index}
        stayed = set(before) - gone - set(names)
        assert sorted(before[name] for name in gone) == sorted(evicted_rows)
        assert not gone & set(names), "what is asked for is not given up"
        oldest_left = min((self.touched[name] for name in stayed), default=self.clock)
        assert all(self.touched[name] <= oldest_left for name in gone)
        if gone:
            excess = len(set(before) | set(names)) - self.capacity
            old = len(set(before) - set(names))
            assert len(gone) == min(max(excess, int(0.05 * self.capacity)), old)
        assert all(self.index.row(name) == row for name, row in before.items() if name not in gone)
        self.evictions += len(gone)
        for name in gone:
            del self.touched[name]
        self.touched |= dict.fromkeys(names, self.clock)
        assert rows.tolist() == [self.index.row(name) for name in names]
        assert rows.dtype == np.int64

    @rule(name=ids)
    def look(self, name: str) -> None:
        assert (name in self.index) is (name in self.touched)
        assert (self.index.row(name) != ABSENT) is (name in self.touched)

    @rule()
    def restart(self) -> None:
        restored = RowIndex(self.capacity)
        restored.load_state_dict(self.index.state_dict())
        self.index = restored

    @invariant()
    def the_latest_are_found_by_their_beginnings(self) -> None:
        for prefix, most in (("id1", 4), ("", 3), ("none", 2), ("id", 0)):
            found = self.index.latest(prefix, most)
            stamps = sorted(
                (at for name, at in self.touched.items() if name.startswith(prefix)), reverse=True
            )
            assert all(name.startswith(prefix) for name in found)
            assert len(set(found)) == len(found)
            assert [self.touched[name] for name in found] == stamps[:most]

    @invariant()
    def rows_are_one_to_one_and_bounded(self) -> None:
        if not hasattr(self, "index"):
            return
        rows = self.index.rows(list(self.touched))
        assert (rows != ABSENT).all()
        assert len(set(rows.tolist())) == len(self.touched) == len(self.index) <= self.capacity
        assert [self.index.id(row) for row in rows.tolist()] == list(self.touched)
        assert sorted(self.index.live_rows().tolist()) == sorted(rows.tolist())
        assert self.index.size <= self.capacity, "given-up rows are used before new ones"
        assert self.index.evictions == self.evictions


AgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAgainstModel = AgainstModel.TestCase


class Twins(RuleBasedStateMachine):
    """A restored index gives the same rows to the same ids as the one it was saved from, for ever."""

    @initialize(capacity=st.sampled_from([3, 20]))
    def start(self, capacity: int) -> None:
        self.capacity = capacity
        self.one = RowIndex(capacity)
        self.other = RowIndex(capacity)

    @rule(names=st.lists(ids, max_size=3))
    def admit(self, names: list[str]) -> None:
        assert self.one.admit(names).tolist() == self.other.admit(names).tolist()
        assert self.one.take_evicted().tolist() == self.other.take_evicted().tolist()

    @rule(names=st.lists(ids, min_size=10, max_size=20, unique=True))
    def admit_many_at_once(self, names: list[str]) -> None:
        self.admit(names[: self.capacity])

    @rule()
    def restart_one(self) -> None:
        saved = self.one.state_dict()
        self.one = RowIndex(self.capacity)
        self.one.load_state_dict(saved)


Twins.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestTwins = Twins.TestCase


def test_rows_count_up_from_zero() -> None:
    index = RowIndex(10)
    assert index.admit(["a", "b", "a", "c"]).tolist() == [0, 1, 0, 2]
    assert index.rows(["c", "nobody", "a"]).tolist() == [2, ABSENT, 0]
    assert index.size == 3


def test_the_longest_untouched_row_is_given_up_and_used_again() -> None:
    index = RowIndex(3)
    for name in "abc":
        index.admit([name])
    index.admit(["a"])
    assert index.admit(["d"]).tolist() == [1]
    assert index.take_evicted().tolist() == [1]
    assert "b" not in index
    assert index.take_evicted().tolist() == [], "each eviction is told once"


def test_a_twentieth_leaves_at_once() -> None:
    index = RowIndex(100)
    index.admit([str(n) for n in range(100)])
    index.admit(["new"])
    assert len(index) == 96


def test_a_row_that_is_not_in_use_has_no_id() -> None:
    index = RowIndex(2)
    index.admit(["a"])
    for row in (-1, 1, 99):
        with pytest.raises(KeyError, match="not in use"):
            index.id(row)


def test_the_bound_of_a_restored_index_is_its_own() -> None:
    big, small = RowIndex(10), RowIndex(3)
    big.admit([str(n) for n in range(10)])
    big.admit(["8", "9"])
    small.load_state_dict(big.state_dict())
    assert len(small) == 10
    small.admit(["new"])
    assert len(small) == 3
    assert {"8", "9", "new"} == {small.id(row) for row in small.live_rows().tolist()}


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_bound_below_one_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RowIndex(capacity)


def test_the_state_is_a_copy() -> None:
    index = RowIndex(4)
    index.admit(["a"])
    saved = index.state_dict()
    kept: dict[str, Any] = {name: array.copy() for name, array in saved.items()}
    index.admit(["b", "a"])
    assert all((saved[name] == kept[name]).all() for name in saved)
