"""Histories, slates and offsets of users, against a list for each user."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from builders import NOW_MS
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.context_fields import NO_CONTEXT, ContextFields
from learners.row_index import ABSENT
from learners.state_arrays import Arrays
from learners.state_changes import Taken, changed, load_marks
from stream.event_columns import EventColumns
from stream.user_states import NOWHERE, UserStates

R = 4
USERS = ["ann", "bob", "cat"]

Happening = tuple[int, int, int, bool, int]
"""User, item, type, whether it enters the history, milliseconds since the event before."""

happenings = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 2]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from([True, True, False]),
        st.integers(-2_000, 9_000),
    ),
    max_size=30,
)
cuts = st.sets(st.integers(1, 29))


FIELDS = ContextFields(names=("device", "country"), buckets=64)


def states(max_users: int = 100, slate_size: int = 3, context: ContextFields = FIELDS) -> UserStates:
    return UserStates(
        history_length=R, max_users=max_users, slate_size=slate_size, max_pending=100, context=context
    )


def said(item: int, at_ms: int) -> list[int]:
    """The context of an event: which event it is, as well as two small numbers can tell."""
    return [item, at_ms % 61]


def columns_of(users: UserStates, events: list[Happening], times_ms: list[int]) -> EventColumns:
    rows = users.admit([USERS[user] for user, *_ in events])
    remembered = np.array([enters for *_, enters, _ in events], np.bool_)
    return EventColumns(
        users=rows,
        items=np.array([item for _, item, *_ in events], np.int64),
        types=np.array([kind for _, _, kind, *_ in events], np.int64),
        times_ms=np.array(times_ms, np.int64),
        remembered=remembered,
        as_of=users.as_of(rows, remembered),
        context=np.array(
            [said(item, at_ms) for (_, item, *_), at_ms in zip(events, times_ms, strict=True)], np.uint16
        ),
    )


def batches(events: list[Happening], cut: set[int]) -> list[list[Happening]]:
    edges = [0, *sorted(at for at in cut if at < len(events)), len(events)]
    return [events[start:end] for start, end in pairwise(edges) if end > start]


Slots = list[tuple[int, int, float, list[int]]]


def slots_of(users: UserStates, columns: EventColumns) -> list[Slots]:
    """The history that each event of a batch was met with: item, type, age, context."""
    found = users.histories(columns.users, columns.as_of, columns.times_ms, columns)
    assert found.item_rows.shape == (len(columns.users), R)
    assert (found.lengths == columns.as_of).all()
    for mask in found.mask.tolist():
        assert mask == sorted(mask), "filled slots stand at the right end"
    return [
        [
            (
                int(found.item_rows[n, h]),
                int(found.types[n, h]),
                float(found.age_s[n, h]),
                found.context[n, h].tolist(),
            )
            for h in range(R)
            if found.mask[n, h]
        ]
        for n in range(len(columns.users))
    ]


@given(happenings, cuts)
@law(120)
def test_histories_are_the_users_latest_events_however_the_stream_is_cut(
    events: list[Happening], cut: set[int]
) -> None:
    users = states()
    lists: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    now_ms = NOW_MS
    for batch in batches(events, cut):
        times_ms, expected, as_of = [], [], []
        for user, item, kind, enters, elapsed in batch:
            now_ms += elapsed
            times_ms.append(now_ms)
            as_of.append(len(lists[user]))
            expected.append(
                [
                    (i, k, pytest.approx(max(now_ms - at, 0) / 1000.0), said(i, at))
                    for i, k, at in lists[user][-R:]
                ]
            )
            counts[user] += 1
            if enters:
                lists[user].append((item, kind, now_ms))
        columns = columns_of(users, batch, times_ms)
        assert columns.as_of.tolist() == as_of
        assert slots_of(users, columns) == expected
        users.apply(columns)
    for number, name in enumerate(USERS):
        user = users.user(name)
        if user is None:
            assert not counts[number]
            continue
        assert (user.events, user.partition, user.pending) == (counts[number], NOWHERE, ([], []))
        kept = list(zip(user.item_rows, user.types, user.times_ms, strict=True))
        assert kept == lists[number][-R:]
        assert users.remembered(users.index.rows([name])).tolist() == [len(lists[number])]


@given(st.integers(0, 14), cuts, st.integers(0, 14))
@law(80)
def test_a_past_moment_sees_what_had_been_by_then_as_far_as_it_is_kept(
    count: int, cut: set[int], as_of: int
) -> None:
    users, items = states(), [n % 6 for n in range(count)]
    for batch in batches([(0, item, 0, True, 0) for item in items], cut):
        users.apply(columns_of(users, batch, [NOW_MS] * len(batch)))
    as_of = min(as_of, count)
    found = users.histories(users.admit(["ann"]), np.array([as_of]), np.array([NOW_MS]))
    first = max(as_of - R, count - R, 0)
    assert found.item_rows[0][found.mask[0]].tolist() == items[first:as_of]


@given(happenings, cuts, st.sets(st.integers(0, 5), max_size=3))
@law(60)
def test_forgotten_items_leave_gaps_that_close(
    events: list[Happening], cut: set[int], gone: set[int]
) -> None:
    users, lists = states(), defaultdict(list)
    for batch in batches(events, cut):
        users.apply(columns_of(users, batch, [NOW_MS] * len(batch)))
        for user, item, _, enters, _ in batch:
            if enters:
                lists[user].append(item)
    users.forget_items(np.array(sorted(gone), np.int64))
    for user, items in lists.items():
        row = users.index.rows([USERS[user]])
        left = [item for item in items[-R:] if item not in gone]
        found = users.histories(row, users.remembered(row), np.array([NOW_MS]))
        assert found.item_rows[0].tolist() == [ABSENT] * (R - len(left)) + left
        told = found.context[0][found.mask[0]].tolist()
        assert told == [said(item, NOW_MS) for item in left], "the context closes up with its event"
        assert found.lengths.tolist() == [len(items)], "how much there was is not forgotten"
        shown = users.user(USERS[user])
        assert shown is not None
        assert shown.item_rows == left


def test_ages_never_run_backwards() -> None:
    users = states()
    users.apply(columns_of(users, [(0, 1, 0, True, 0)], [NOW_MS + 5_000]))
    found = users.histories(users.index.rows(["ann"]), np.array([1]), np.array([NOW_MS]))
    assert found.age_s[0, -1] == 0.0
    assert found.now_s.tolist() == [NOW_MS / 1000.0]


def test_nobody_has_no_histories() -> None:
    none = np.zeros(0, np.int64)
    found = states().histories(none, none, none)
    assert found.item_rows.shape == (0, R)
    assert len(found) == 0


def test_the_latest_slate_replaces_the_one_before() -> None:
    users = states(slate_size=3)
    rows = users.admit(["ann", "bob"])
    users.remember_slates(
        rows, np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([7, 2**64 - 1], np.uint64), 5
    )
    users.remember_slates(rows[:1], np.array([[9, ABSENT]]), np.array([8], np.uint64), 6)
    ann, bob = users.user("ann"), users.user("bob")
    assert ann is not None
    assert bob is not None
    assert (ann.slate_rows, ann.slate_id, ann.slate_at_ms) == ([9], 8, 6)
    assert (bob.slate_rows, bob.slate_id, bob.slate_at_ms) == ([5, 6, 7], 2**64 - 1, 5)
    users.forget_items(np.array([5, 9]))
    assert users.user("ann").slate_rows == []  # type: ignore[union-attr]
    assert users.user("bob").slate_rows == [6, 7]  # type: ignore[union-attr]


def test_somebody_unknown_is_none() -> None:
    assert states().user("nobody") is None


def test_partitions_are_remembered() -> None:
    users = states()
    rows = users.admit(["ann", "bob"], [3, 1])
    assert users.partition_of(rows).tolist() == [3, 1]
    users.admit(["ann"])
    assert users.partition_of(rows).tolist() == [3, 1], "no partition named, none changed"


def test_a_user_who_is_given_up_leaves_nothing_in_the_row() -> None:
    users = states(max_users=2)
    users.admit(["ann", "bob"], [0, 0])
    users.apply(columns_of(users, [(0, 1, 2, True, 0), (1, 1, 2, True, 0), (1, 2, 2, True, 0)], [NOW_MS] * 3))
    rows = users.index.rows(["ann"])
    users.remember_slates(rows, np.array([[1, 2, 3]]), np.array([7], np.uint64), 5)
    users.pending_of(0).open(int(rows[0]), 1, 0, NOW_MS, -1, 0)
    users.admit(["bob"])
    new = users.admit(["cat"], [0])
    assert new.tolist() == rows.tolist(), "the row is used again"
    cat = users.user("cat")
    assert cat is not None
    assert (cat.events, cat.item_rows, cat.pending, cat.slate_rows) == (0, [], ([], []), [])
    assert (cat.slate_id, cat.slate_at_ms) == (0, 0)
    assert users.user("ann") is None
    assert users.user("bob").item_rows == [1, 2]  # type: ignore[union-attr]


@given(happenings, happenings, cuts)
@law(40)
def test_restored_states_go_on_alike(before: list[Happening], after: list[Happening], cut: set[int]) -> None:
    one = states()
    for batch in batches(before, cut):
        one.apply(columns_of(one, batch, [NOW_MS] * len(batch)))
    one.applied = {0: 17, 12: 3}
    one.pending_of(12).open(0, 1, 0, NOW_MS, 2, 0)
    one.pending_of(1)
    if len(one):
        one.remember_slates(np.array([0]), np.array([[1, 2]]), np.array([9], np.uint64), 4)
    saved = one.state_dict()
    kept = {name: array.copy() for name, array in saved.items()}
    other = states()
    other.load_state_dict(saved)
    assert other.applied == one.applied
    for batch in batches(after, cut):
        found = []
        for users in (one, other):
            columns = columns_of(users, batch, [NOW_MS + 1] * len(batch))
            found.append(slots_of(users, columns))
            users.apply(columns)
        assert found[0] == found[1]
    assert [one.user(name) for name in USERS] == [other.user(name) for name in USERS]
    end, other_end = one.state_dict(), other.state_dict()
    assert end.keys() == other_end.keys()
    for name, array in end.items():
        assert (array == other_end[name]).all(), name
    for name, array in saved.items():
        assert (array == kept[name]).all(), f"{name} was saved as a copy"


def test_many_users_fit() -> None:
    users = states(max_users=1_000)
    users.admit([str(n) for n in range(100)], [n % 4 for n in range(100)])
    users.admit([str(n) for n in range(100, 500)], [9] * 400)
    assert users.partition_of(np.array([0, 1, 99, 100, 499])).tolist() == [0, 1, 3, 9, 9]
    restored = states()
    restored.load_state_dict(users.state_dict())
    assert restored.partition_of(np.array([99, 499])).tolist() == [3, 9]


def test_a_smaller_slate_keeps_the_best_of_a_saved_one() -> None:
    one, other = states(slate_size=3), states(slate_size=2)
    one.admit(["ann"])
    one.remember_slates(np.array([0]), np.array([[4, 5, 6]]), np.array([1], np.uint64), 2)
    other.load_state_dict(one.state_dict())
    assert other.user("ann").slate_rows == [4, 5]  # type: ignore[union-attr]


# --- another context


def remembering(names: tuple[str, ...], buckets: int = 64) -> UserStates:
    return states(context=ContextFields(names=names, buckets=buckets))


def told_of_ann(users: UserStates) -> list[list[int]]:
    row = users.index.rows(["ann"])
    found = users.histories(row, users.remembered(row), np.array([NOW_MS]))
    return found.context[0][found.mask[0]].tolist()


def saved_of_ann() -> UserStates:
    users = states()
    users.apply(columns_of(users, [(0, 1, 0, True, 0), (0, 2, 0, True, 0)], [61, 62]))
    return users


@pytest.mark.parametrize(
    ("names", "buckets", "kept"),
    [
        (("device", "country"), 64, [[1, 0], [2, 1]]),
        (("country", "device"), 64, [[0, 1], [1, 2]]),
        (("country", "channel", "device"), 64, [[0, 0, 1], [1, 0, 2]]),
        (("device",), 64, [[1], [2]]),
        (("device", "country"), 32, [[0, 0], [0, 0]]),
        ((), 64, [[], []]),
    ],
    ids=["same", "turned", "more", "fewer", "other buckets", "none"],
)
def test_histories_keep_what_they_know_of_the_same_fields(
    names: tuple[str, ...], buckets: int, kept: list[list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    before, after = saved_of_ann().state_dict(), remembering(names, buckets)
    after.load_state_dict(before)
    assert told_of_ann(after) == kept
    same = (names, buckets) == (FIELDS.names, FIELDS.buckets)
    assert ("events.context" in caplog.text) != same, "a change is told"
    changes = take_changes(after, before)
    assert changes == ([] if same else [0]), "and saved, since the rows are not what they were"


def take_changes(users: UserStates, saved: Arrays) -> list[int]:
    """Rows that the first checkpoint after a restart holds."""
    load_marks(users.live_state(), saved)
    taken = Taken()
    taken.choose([users.live_state()])
    rows: list[int] = changed(users.live_state(), taken)["items:rows"].tolist()
    return rows


def test_states_that_knew_of_no_context_begin_to() -> None:
    old = states(context=NO_CONTEXT)
    old.admit(["ann"])
    row = old.index.rows(["ann"])
    empty = EventColumns(
        users=row,
        items=np.array([3]),
        types=np.array([0]),
        times_ms=np.array([NOW_MS]),
        remembered=np.array([True]),
        as_of=np.array([0]),
        context=NO_CONTEXT.empty(1),
    )
    old.apply(empty)
    saved = {name: array for name, array in old.state_dict().items() if not name.startswith("context_fields")}
    assert "context" not in saved, "where nothing is declared nothing is saved"
    new = states()
    new.load_state_dict(saved)
    assert told_of_ann(new) == [[0, 0]]
    new.apply(columns_of(new, [(0, 5, 0, True, 0)], [61]))
    assert told_of_ann(new) == [[0, 0], [5, 0]]
