"""Rows that wait for a gradient step: each is learned once, in its turn, however the stream was cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from batches import choices, shop
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.backlog import Backlog, Load
from learners.context_fields import ContextFields
from learners.event_batch import EventBatch
from learners.row_index import ABSENT

Row = tuple[Any, ...]

FIELDS = ContextFields(names=("device", "country"), buckets=100)

# Whether a row is a choice; the others have labels
kinds = st.lists(st.booleans(), min_size=1, max_size=60)


def stream(rows: list[bool], **columns: Any) -> EventBatch:
    """Rows that can be told apart by their items: a history of the two items before, with contexts of their own."""
    items = np.arange(len(rows)) + 10
    batch = choices([[item - 2, item - 1] for item in items], items)
    slots = batch.histories.item_rows[:, :, None]
    context = np.where(slots == ABSENT, 0, slots + np.arange(2)).astype(np.uint16)
    target = np.array(rows)
    labels = (items[:, None] % np.array([2, 3, 5]) == 0).astype(np.float32)
    return replace(
        batch,
        histories=replace(batch.histories, context=context),
        target=target,
        labels=np.where(target[:, None], 0.0, labels).astype(np.float32),
        label_mask=np.tile(~target[:, None], (1, 3)),
        **columns,
    )


def added(backlog: Backlog, batch: EventBatch) -> list[Load]:
    return backlog.add(batch, np.flatnonzero(batch.target), np.flatnonzero(~batch.target))


def in_parts(backlog: Backlog, batch: EventBatch, sizes: list[int]) -> list[Load]:
    loads, start, n = [], 0, 0
    while start < len(batch):
        end = min(start + sizes[n % len(sizes)], len(batch))
        loads += added(backlog, batch.take(np.arange(start, end)))
        start, n = end, n + 1
    return loads


def backlog_of(choices_per_step: int = 4, labels_per_step: int = 6) -> Backlog:
    return Backlog(choices_per_step=choices_per_step, labels_per_step=labels_per_step, context=FIELDS)


def rows_of(batch: EventBatch, rows: np.ndarray) -> list[Row]:
    """Everything that a row says, its history included."""
    return [
        (
            batch.histories.item_rows[batch.sequence[row]].tolist(),
            batch.histories.users[batch.sequence[row]],
            batch.histories.context[batch.sequence[row]].tolist(),
            *(
                getattr(batch, name)[row].tolist()
                for name in ("item_rows", "position", "labels", "label_mask")
            ),
        )
        for row in rows
    ]


def contents(load: Load) -> tuple[list[Row], list[Row]]:
    return rows_of(load.batch, load.choices), rows_of(load.batch, load.labelled)


def waiting(backlog: Backlog) -> list[int]:
    """The items of the rows that wait."""
    return backlog.state_dict().get("item_rows", np.zeros(0, np.int64)).tolist()


@given(kinds, st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 9), st.integers(1, 9))
@law(80)
def test_each_row_is_learned_once_and_in_its_turn_or_waits(
    rows: list[bool], sizes: list[int], choices_per_step: int, labels_per_step: int
) -> None:
    backlog, batch = backlog_of(choices_per_step, labels_per_step), stream(rows)
    told = [contents(load) for load in in_parts(backlog, batch, sizes)]
    left = waiting(backlog)
    done = set(batch.item_rows.tolist()) - set(left)
    for kind, own in enumerate((batch.target, ~batch.target)):
        expected = [row for row in np.flatnonzero(own) if batch.item_rows[row] in done]
        assert [row for load in told for row in load[kind]] == rows_of(batch, np.array(expected, int))
    still = np.isin(batch.item_rows, left)
    assert (batch.target & still).sum() < choices_per_step
    assert (~batch.target & still).sum() < labels_per_step


@given(kinds, st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(1, 9), st.integers(1, 9))
@law(80)
def test_a_step_has_at_least_the_rows_it_should_have_and_less_than_five_times_as_many(
    rows: list[bool], sizes: list[int], choices_per_step: int, labels_per_step: int
) -> None:
    backlog, batch = backlog_of(choices_per_step, labels_per_step), stream(rows)
    for load in in_parts(backlog, batch, sizes):
        assert len(load.choices) < 5 * choices_per_step
        assert len(load.labelled) < 5 * labels_per_step
        assert len(load.choices) >= choices_per_step or len(load.labelled) >= labels_per_step


@pytest.mark.parametrize("sizes", [[1], [2], [4], [8], [24], [1, 3], [2, 1, 1], [8, 4, 4, 8]], ids=str)
@pytest.mark.parametrize("choice", [True, False])
def test_cuts_that_meet_the_steps_do_not_matter_at_all(sizes: list[int], choice: bool) -> None:
    batch = stream([choice] * 24)
    whole, cut = backlog_of(4, 4), backlog_of(4, 4)
    expected = [contents(load) for load in added(whole, batch)]
    assert len(expected) == 2
    told = [contents(load) for load in in_parts(cut, batch, sizes)]
    for kind in (0, 1):
        assert [row for load in told for row in load[kind]] == [
            row for load in expected for row in load[kind]
        ]
    assert waiting(whole) == waiting(cut) == []


def test_rows_of_one_history_share_it_in_the_backlog_too() -> None:
    batch = stream([True] * 4)
    one_history = replace(
        batch, histories=batch.histories.take(np.array([0])), sequence=np.zeros(4, np.int64)
    )
    backlog = backlog_of(choices_per_step=9)
    assert added(backlog, one_history) == []
    assert added(backlog, one_history) == []
    assert backlog.state_dict()["sequence"].tolist() == [0] * 4 + [1] * 4


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 9))
@law(80)
def test_what_was_shown_together_is_learned_together(lists: list[int], labels_per_step: int) -> None:
    batch = stream([False] * sum(lists))
    batch = replace(batch, sequence=np.repeat(np.arange(len(lists)), lists))
    loads = added(backlog_of(10**6, labels_per_step), batch)
    learned = [set(load.batch.sequence[load.labelled].tolist()) for load in loads]
    assert sum(map(len, learned)) == len(set().union(*learned)), "no list is in two steps"
    if loads:
        assert np.concatenate([load.labelled for load in loads]).tolist() == list(range(sum(lists)))


def test_a_choice_that_has_labels_is_learned_as_both() -> None:
    batch, both = stream([True, False, True]), np.array([1, 2])
    (load,) = backlog_of(2, 9).add(batch, np.array([0, 2]), both)
    assert [row[3] for row in contents(load)[0]] == [10, 12]
    assert [row[3] for row in contents(load)[1]] == [11, 12]


def test_what_is_neither_a_choice_nor_a_label_does_not_wait() -> None:
    backlog, batch = backlog_of(), stream([True, False, True])
    none = np.zeros(0, np.int64)
    assert backlog.add(batch, none, none) == []
    assert backlog.state_dict() == {}
    backlog.add(batch, np.array([2]), none)
    assert waiting(backlog) == [12]


@pytest.mark.parametrize("name", ["late", "shown"])
def test_columns_that_need_not_be_there_are_kept_where_they_are(name: str) -> None:
    column = {"late": np.eye(8, 3) > 0.0, "shown": np.arange(16.0, dtype=np.float32).reshape(8, 2)}[name]
    batch = stream([False] * 8, **{name: column})
    (load,) = in_parts(backlog_of(labels_per_step=8), batch, [3])
    assert (getattr(load.batch, name)[load.labelled] == column).all()
    (plain,) = in_parts(backlog_of(labels_per_step=8), stream([False] * 8), [3])
    assert getattr(plain.batch, name) is None


def test_the_shops_rows_come_out_as_they_went_in() -> None:
    backlog, found, expected = backlog_of(1, 1), [[], []], [[], []]
    for batch, _ in shop()[:6]:
        labelled = np.flatnonzero(batch.label_mask.any(axis=1))
        targets = np.flatnonzero(batch.target)
        for kind, rows in enumerate((targets, labelled)):
            expected[kind] += rows_of(batch, rows)
        for load in backlog.add(batch, targets, labelled):
            for kind in range(2):
                found[kind] += contents(load)[kind]
    assert found == expected


# --- forgetting


def test_of_an_item_that_is_gone_nothing_more_is_learned() -> None:
    backlog, batch = backlog_of(8, 8), stream([True, False, True, False, False, True])
    added(backlog, batch)
    backlog.forget_items(np.array([12, 13, 999]))
    assert waiting(backlog) == [10, 15, 11, 14]
    loads = added(backlog, stream([True] * 6))
    assert [row[3] for row in contents(loads[0])[0]] == [10, 15, *range(10, 16)]
    assert [row[3] for row in contents(loads[0])[1]] == [11, 14]


def test_an_item_that_is_gone_leaves_the_histories_without_a_gap() -> None:
    """Encoders take the right end for the newest."""
    backlog = backlog_of(choices_per_step=9)
    batch = choices([[1, 2, 3], [3, 3], [4]], [7, 8, 9], slots=4)
    context = np.maximum(batch.histories.item_rows, 0)[:, :, None].repeat(2, axis=2).astype(np.uint16)
    added(backlog, replace(batch, histories=replace(batch.histories, context=context)))
    backlog.forget_items(np.array([3]))
    saved = backlog.state_dict()
    assert saved["histories.item_rows"].tolist() == [
        [ABSENT, ABSENT, 1, 2],
        [ABSENT] * 4,
        [ABSENT, ABSENT, ABSENT, 4],
    ]
    assert saved["histories.age_s"][0, 2:].tolist() == [180.0, 120.0]
    assert saved["histories.types"][0].tolist()[2:] == [2, 2]
    assert saved["histories.context"][0].tolist()[2:] == [[1, 1], [2, 2]]


def test_the_batch_that_was_added_is_not_touched() -> None:
    backlog, batch = backlog_of(9, 9), stream([True, False])
    added(backlog, batch)
    backlog.forget_items(np.array([9, 10]))
    assert batch.histories.item_rows[1, -2:].tolist() == [9, 10]


def test_when_all_are_gone_nothing_waits() -> None:
    backlog = backlog_of()
    backlog.forget_items(np.array([1]))
    added(backlog, stream([True, False]))
    backlog.forget_items(np.array([10, 11]))
    assert backlog.state_dict() == {}
    assert added(backlog, stream([True])) == []
    assert waiting(backlog) == [10]


# --- restoring


@given(kinds, kinds, st.booleans())
@law(40)
def test_a_restored_backlog_goes_on_alike(before: list[bool], after: list[bool], shown: bool) -> None:
    def given_stream(rows: list[bool]) -> EventBatch:
        columns = {"shown": np.ones((len(rows), 2), np.float32), "late": np.ones((len(rows), 3), np.bool_)}
        return stream(rows, **(columns if shown else {}))

    one, other = backlog_of(5, 7), backlog_of(5, 7)
    added(other, given_stream([True, False]))  # which is forgotten
    added(one, given_stream(before))
    saved = one.state_dict()
    kept = {name: array.copy() for name, array in saved.items()}
    other.load_state_dict(saved)
    for name, array in saved.items():
        assert (array == other.state_dict()[name]).all(), name
    for backlog in (one, other):
        backlog.forget_items(np.array([11]))
    first, second = (in_parts(backlog, given_stream(after), [3]) for backlog in (one, other))
    assert [contents(load) for load in first] == [contents(load) for load in second]
    assert waiting(one) == waiting(other)
    assert all((array == kept[name]).all() for name, array in saved.items()), "the state is a copy"


def test_what_waits_knows_of_its_context_what_the_fields_still_are() -> None:
    saved = backlog_of(9, 9)
    added(saved, stream([True]))
    arrays = saved.state_dict()

    def told(*names: str, buckets: int = 100) -> list[list[int]]:
        fields = ContextFields(names=names, buckets=buckets)
        other = Backlog(choices_per_step=1, labels_per_step=9, context=fields)
        other.load_state_dict(arrays)
        found: list[list[int]] = other.state_dict()["histories.context"][0, -2:].tolist()
        return found

    assert told("device", "country") == [[8, 9], [9, 10]]
    assert told("country", "channel") == [[9, 0], [10, 0]]
    assert told("device", "country", buckets=50) == [[0, 0], [0, 0]]
    assert told() == [[], []]
    before = {name: array for name, array in arrays.items() if "context" not in name}
    other = backlog_of()
    other.load_state_dict(before)
    assert other.state_dict()["histories.context"][0, -2:].tolist() == [[0, 0], [0, 0]], "of a version before"
