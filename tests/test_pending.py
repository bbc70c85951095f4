"""The circular buffer of impressions, against a list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import NOW_MS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from laws import law

from stream.pending import PendingImpressions

WINDOWS_MS = (1_000, 5_000)

pairs = st.tuples(st.integers(0, 3), st.integers(0, 3))


class AgainstList(RuleBasedStateMachine):
    """`held` is the model: what was opened and not let go, oldest first, with its number."""

    @initialize(capacity=st.sampled_from([1, 5, 300]))
    def start(self, capacity: int) -> None:
        self.capacity = capacity
        self.pending = PendingImpressions(capacity)
        self.held: list[dict[str, Any]] = []
        self.opened = 0
        self.early = 0
        self.now_ms = NOW_MS
        self.closed = dict.fromkeys(WINDOWS_MS, 0)

    @rule(pair=pairs, elapsed=st.sampled_from([0, 100, 900, 3_000, -2_000]))
    def open(self, pair: tuple[int, int], elapsed: int) -> None:
        self.now_ms += elapsed
        user, item = pair
        if len(self.held) == self.capacity:
            dropped = max(1, self.capacity // 100)
            del self.held[:dropped]
            self.early += dropped
        order_ms = max(self.now_ms, self.held[-1]["order_ms"] if self.held else 0)
        number = self.pending.open(user, item, self.opened, self.now_ms, self.opened % 7, 0)
        self.pending.note(number, np.array([self.opened % 5, 0.5], np.float32))
        assert number == self.opened
        self.held.append(
            {"user": user, "item": item, "at": self.now_ms, "order_ms": order_ms, "number": number}
        )
        self.opened += 1

    @rule(pair=pairs, times=st.integers(100, 400))
    def open_many(self, pair: tuple[int, int], times: int) -> None:
        for n in range(times):
            self.open((pair[0], (pair[1] + n) % 4), 1)

    @rule(window_ms=st.sampled_from(WINDOWS_MS), elapsed=st.sampled_from([0, 500, 5_000]))
    def close(self, window_ms: int, elapsed: int) -> None:
        self.now_ms += elapsed
        slots = self.pending.close(window_ms, self.now_ms)
        due = []
        for one in self.held:  # in order, so the first that is not due ends it
            if one["number"] >= self.closed[window_ms]:
                if one["order_ms"] >= self.now_ms - window_ms:
                    break
                due.append(one["number"])
        assert [self.pending.slot(number) for number in due] == slots.tolist()
        if due:
            self.closed[window_ms] = due[-1] + 1

    @rule()
    def release(self) -> None:
        self.pending.release(WINDOWS_MS)
        first = min(self.closed.values())
        self.held = [one for one in self.held if one["number"] >= first]

    @rule(user=st.none() | st.integers(0, 3), item=st.none() | st.integers(0, 3))
    def forget(self, user: int | None, item: int | None) -> None:
        self.pending.forget(
            users=None if user is None else np.array([user]), items=None if item is None else np.array([item])
        )
        for one in self.held:
            if one["user"] == user or one["item"] == item:
                one["user"] = one["item"] = None

    @rule()
    def restart(self) -> None:
        restored = PendingImpressions(self.capacity)
        restored.load_state_dict(self.pending.state_dict())
        self.pending = restored

    @invariant()
    def what_is_held_is_what_the_list_holds(self) -> None:
        if not hasattr(self, "pending"):
            return
        assert len(self.pending) == len(self.held) <= self.capacity
        assert self.pending.expired_early == self.early
        for user in range(4):
            items = [one["item"] for one in self.held if one["user"] == user]
            times = [one["at"] for one in self.held if one["user"] == user]
            assert self.pending.of_user(user) == (items, times)
            for item in range(4):
                numbers = [one["number"] for one in self.held if (one["user"], one["item"]) == (user, item)]
                assert self.pending.latest(user, item) == (numbers[-1] if numbers else None)
                for number in numbers:
                    slot = self.pending.slot(number)
                    assert (self.pending.user[slot], self.pending.item[slot]) == (user, item)
                    assert (self.pending.as_of[slot], self.pending.position[slot]) == (number, number % 7)
                    assert self.pending.shown[slot].tolist() == [number % 5, 0.5]


AgainstList.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestAgainstList = AgainstList.TestCase


def test_the_newest_stay_where_the_restored_bound_is_smaller() -> None:
    big, small = PendingImpressions(10), PendingImpressions(3)
    for n in range(6):
        big.open(n, 0, 0, NOW_MS + n, -1, 0)
    small.load_state_dict(big.state_dict())
    assert [small.latest(user, 0) for user in range(6)] == [None, None, None, 3, 4, 5]
    assert small.expired_early == 3, "what left without its labels is counted"
    small.open(9, 0, 0, NOW_MS + 9, -1, 0)
    assert [small.latest(user, 0) for user in (3, 4, 5, 9)] == [None, 4, 5, 6]


@pytest.mark.parametrize(("elapsed_ms", "due"), [(999, 0), (1_000, 0), (1_001, 1)])
def test_a_window_includes_its_last_millisecond(elapsed_ms: int, due: int) -> None:
    pending = PendingImpressions(5)
    pending.open(0, 0, 0, NOW_MS, -1, 0)
    assert len(pending.close(1_000, NOW_MS + elapsed_ms)) == due


def test_each_impression_is_closed_once_by_each_window() -> None:
    pending = PendingImpressions(5)
    pending.open(0, 0, 0, NOW_MS, -1, 0)
    assert len(pending.close(1_000, NOW_MS + 2_000)) == 1
    assert len(pending.close(1_000, NOW_MS + 9_000)) == 0
    assert len(pending.close(5_000, NOW_MS + 9_000)) == 1


def test_an_impression_that_is_forgotten_waits_for_nothing() -> None:
    pending = PendingImpressions(5)
    pending.open(1, 2, 0, NOW_MS, -1, 0)
    pending.forget(items=np.array([2]))
    slots = pending.close(1_000, NOW_MS + 2_000)
    assert pending.resolved[slots].tolist() == [-1], "every bit is set"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-50, 50)), max_size=40),
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.sampled_from([1, 3, 7, 100]),
)
@law(100)
def test_impressions_that_come_together_are_as_one_after_the_other(
    shown: list[tuple[int, int, int]], cuts: list[int], capacity: int
) -> None:
    one, many = PendingImpressions(capacity), PendingImpressions(capacity)
    columns = np.array(shown, np.int64).reshape(-1, 3)
    users, items, times_ms = columns[:, 0], columns[:, 1], NOW_MS + columns[:, 2]
    described = np.arange(2 * len(users), dtype=np.float32).reshape(-1, 2)
    for n in range(len(users)):
        one.watermark_ms = max(one.watermark_ms, int(times_ms[n]))
        number = one.open(int(users[n]), int(items[n]), n, int(times_ms[n]), n % 7, 5)
        one.note(number, described[n])
    begin, turn = 0, 0
    while begin < len(users):
        some = slice(begin, begin + cuts[turn % len(cuts)])
        order = np.arange(len(users))[some]
        many.open_many(users[some], items[some], order, times_ms[some], order % 7, 5, described[some])
        begin, turn = some.stop, turn + 1
    expected, found = one.state_dict(), many.state_dict()
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)
    for user in range(4):
        assert [one.latest(user, item) for item in range(4)] == [many.latest(user, item) for item in range(4)]
        assert one.of_user(user) == many.of_user(user)
