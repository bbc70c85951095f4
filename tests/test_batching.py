"""Rows become columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from batches import START_S, histories
from builders import NOW_MS, event, numbered
from fakes import user_states
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from connectors.event_types import STANDARD_TYPES
from learners.event_batch import EventBatch, Outcomes
from learners.row_index import RowIndex
from stream.attribution import LabelRows, nothing_settled
from stream.batching import Arrivals, Batcher
from stream.user_states import UserStates

K = 2


def batcher() -> Batcher:
    return Batcher(STANDARD_TYPES, frozenset({"click", "purchase"}))


def no_labels() -> LabelRows:
    none = np.zeros(0, np.int64)
    return LabelRows(
        users=none,
        items=none,
        as_of=none,
        moments_ms=none,
        position=none,
        labels=np.zeros((0, K), np.float32),
        mask=np.zeros((0, K), np.bool_),
        late=np.zeros((0, K), np.bool_),
        outcomes=Outcomes(labels=np.zeros((0, K), np.bool_), known=np.zeros((0, K), np.bool_)),
        settled=nothing_settled(K),
        delay_s=np.zeros(0, np.float32),
        shown=np.zeros((0, 0), np.float32),
    )


def labels(*rows: tuple[int, int, int, int]) -> LabelRows:
    """First-task positives of (user, item, as_of, seconds after the start)."""
    users, items, as_of, at_s = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    values, mask = np.zeros((len(rows), K), np.float32), np.zeros((len(rows), K), np.bool_)
    values[:, 0], mask[:, 0] = 1.0, True
    return LabelRows(
        users=users,
        items=items,
        as_of=as_of,
        moments_ms=NOW_MS + 1_000 * at_s,
        position=np.full(len(rows), 4),
        labels=values,
        mask=mask,
        late=np.zeros_like(mask),
        outcomes=no_labels().outcomes,
        settled=nothing_settled(K),
        delay_s=np.zeros(len(rows), np.float32),
        shown=np.zeros((len(rows), 0), np.float32),
    )


def columns(events: Sequence[Event], users: UserStates | None = None) -> Arrivals:
    return batcher().arrivals(events, user_states() if users is None else users, RowIndex(100))


def batch_of(events: Sequence[Event], known: LabelRows | None = None) -> EventBatch:
    users = user_states()
    return batcher().batch(columns(events, users), known or no_labels(), users, K)


def test_events_become_columns_in_their_order() -> None:
    found = columns(
        [
            event("ann", "tea", "impression", position=2),
            event("bob", "oat", "rating", value=4.5, occurred_at_ms=NOW_MS + 7),
            event("ann", "oat", "click", position=0),
        ]
    )
    assert found.columns.users.tolist() == [0, 1, 0]
    assert found.columns.items.tolist() == [0, 1, 1]
    assert [STANDARD_TYPES[kind] for kind in found.columns.types] == ["impression", "rating", "click"]
    assert found.columns.times_ms.tolist() == [NOW_MS, NOW_MS + 7, NOW_MS]
    assert found.columns.remembered.tolist() == [False, True, True]
    assert found.columns.as_of.tolist() == [0, 0, 0], "an impression does not lengthen a history"
    assert found.position.tolist() == [2, -1, 0]
    assert found.values.tolist() == pytest.approx([np.nan, 4.5, np.nan], nan_ok=True)
    assert found.target.tolist() == [False, False, True]


def test_absurd_places_and_values_stay_within_what_columns_hold() -> None:
    found = columns(
        [
            event(position=-7, value=1e300),
            event(position=2**31 - 1, value=-1e300),
        ]
    )
    assert found.position.tolist() == [-1, 1_000_000]
    assert np.isfinite(found.values).all()


def test_a_declared_type_has_the_number_of_its_place() -> None:
    assert Batcher(["impression", "listen"], frozenset()).number("listen") == 1


# --- what is learned


def test_each_choice_has_the_history_before_it() -> None:
    events = numbered([event(item="a"), event(item="b", kind="like"), event(item="c"), event("bob", "d")])
    found = batch_of(events)
    histories = found.histories.take(found.sequence)
    assert [rows[rows >= 0].tolist() for rows in histories.item_rows] == [[], [0, 1], []]
    assert histories.age_s[1, -2:].tolist() == [2.0, 1.0]
    assert found.item_rows.tolist() == [0, 2, 3]
    assert found.target.all()
    assert not found.label_mask.any()


def test_what_is_neither_choice_nor_label_is_no_row() -> None:
    found = batch_of([event(kind="impression"), event(kind="like")])
    assert (len(found), len(found.histories)) == (0, 0)
    assert found.labels.shape == (0, K)


def test_labels_come_after_the_choices_with_their_own_moment() -> None:
    events = numbered([event(item="a"), event(item="b"), event(item="c")])
    found = batch_of(events, labels((0, 1, 1, 1), (0, 0, 0, 0)))
    assert found.item_rows.tolist() == [0, 1, 2, 1, 0]
    assert found.target.tolist() == [True, True, True, False, False]
    assert found.labels[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert found.label_mask[:, 0].tolist() == [False, False, False, True, True]
    assert found.position.tolist() == [-1, -1, -1, 4, 4]
    histories = found.histories.take(found.sequence)
    assert [rows[rows >= 0].tolist() for rows in histories.item_rows] == [[], [0], [0, 1], [0], []]


def test_rows_of_one_moment_share_a_history() -> None:
    found = batch_of([event(item="a")], labels((0, 5, 0, 0), (0, 6, 0, 0), (0, 7, 0, 1)))
    assert len(found.histories) == 2
    assert found.sequence[0] == found.sequence[1] == found.sequence[2] != found.sequence[3]


def test_every_choice_is_ranked_also_of_the_item_in_hand() -> None:
    events = numbered([event(item="a"), event(item="a", kind="purchase"), event(item="a", kind="purchase")])
    assert batch_of(events).target.tolist() == [True, True, True]


def test_simultaneous_events_have_none_of_each_other_in_their_histories() -> None:
    users, items, made = user_states(), RowIndex(100), batcher()
    users.apply(made.arrivals([event(item="a")], users, items).columns)
    arrivals = made.arrivals([event(item="b"), event(item="c")], users, items, simultaneous=True)
    found = made.batch(arrivals, no_labels(), users, K)
    assert [rows[rows >= 0].tolist() for rows in found.histories.item_rows[found.sequence]] == [[0], [0]]


acts = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["impression", "click", "purchase", "like"]),
    ),
    min_size=1,
    max_size=20,
)


@given(acts, st.sets(st.integers(1, 19)))
@law(80)
def test_choices_and_their_histories_do_not_depend_on_the_cut(
    steps: list[tuple[str, str, str]], cut: set[int]
) -> None:
    events = numbered([event(*step) for step in steps])

    def learned(edges: list[int]) -> list[tuple[int, list[int], list[float], int, bool]]:
        users, items, made = user_states(), RowIndex(100), batcher()
        found = []
        for start, end in pairwise(edges):
            arrivals = made.arrivals(events[start:end], users, items)
            batch = made.batch(arrivals, no_labels(), users, K)
            users.apply(arrivals.columns)
            histories = batch.histories.take(batch.sequence)
            found += [
                (
                    int(batch.item_rows[n]),
                    histories.item_rows[n].tolist(),
                    histories.age_s[n].tolist(),
                    int(histories.lengths[n]),
                    bool(batch.target[n]),
                )
                for n in range(len(batch))
            ]
        return found

    edges = [0, *sorted(at for at in cut if at < len(events)), len(events)]
    assert learned(edges) == learned(list(range(len(events) + 1)))


def test_what_a_page_logs_place_by_place_is_one_list() -> None:
    """Otherwise no list would have two rows, and a ranking task nothing to learn."""
    moments = histories([[]] * 7, users=[1, 2, 1, 1, 2, 1, 1])
    now_s = START_S + np.array([0.0, 0.0, 0.001, 0.002, 1.9, 60.0, 61.5])
    lists = replace(moments, now_s=now_s).lists(np.arange(7)).tolist()
    first, others, later = lists[0], lists[1], lists[5]
    assert lists == [first, others, first, first, others, later, later]
    assert len({first, others, later}) == 3
