"""Each record counts once, whatever is read again and wherever it crashed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from builders import NOW_MS, Record, event, numbered, records, wire
from fakes import CountingLearner, processor
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.dead_letter import Reason
from connectors.event_types import STANDARD_TYPES
from stream.processor import Processor
from stream.user_view import user_view

GARBAGE = [b"", b"{", b"[]", wire(user_id=None), b"\xff"]

log = st.lists(
    st.one_of(
        st.builds(
            lambda user, item, kind: event(user, item, kind),
            st.sampled_from(["ann", "bob", "cat"]),
            st.sampled_from("abcdef"),
            st.sampled_from(["click", "impression", "purchase", "like"]),
        ),
        st.sampled_from(GARBAGE),
    ),
    max_size=24,
)
Entries = list[Any]


def two_partitions(entries: Entries) -> list[Record]:
    """As a broker would hand them over: two partitions, each in offset order."""
    made: list[Record] = []
    offsets = {0: 0, 1: 0}
    for number, entry in enumerate(entries):
        partition = len(entry) % 2 if isinstance(entry, bytes) else ord(entry.user_id[0]) % 2
        value = (
            entry
            if isinstance(entry, bytes)
            else wire(
                event_id=f"e{number}",
                event_type=entry.event_type,
                user_id=entry.user_id,
                item_id=entry.item_id,
                occurred_at_ms=NOW_MS + 1_000 * number,
            )
        )
        made.append(Record(value=value, partition=partition, offset=offsets[partition]))
        offsets[partition] += 1
    return made


def outcome(worked: Processor) -> dict[str, Any]:
    """All that a user or an operator could see of the state, slates aside (they depend on when one was made)."""
    views = {
        user: user_view(worked.states, worked.pipeline.items, STANDARD_TYPES, user)
        for user in ("ann", "bob", "cat")
    }
    for view in filter(None, views.values()):
        for name in ("slate", "slate_generated_at_ms"):
            del view[name]
    learner: CountingLearner = worked.pipeline.learner  # type: ignore[assignment]
    totals = worked.totals_dict()
    return {
        "users": views,
        "counts": {worked.pipeline.items.id(row): count for row, count in learner.counts.items()},
        "applied": worked.states.applied,
        "events": totals["events_learned"],
        "dead": totals["dead_letters"],
    }


def run(worked: Processor, some: list[Record], edges: list[int]) -> None:
    for start, end in pairwise(edges):
        worked.process(some[start:end], NOW_MS)


@given(log, st.sets(st.integers(1, 23)))
@law(60)
def test_the_cut_into_steps_changes_nothing_that_lasts(entries: Entries, cut: set[int]) -> None:
    some = two_partitions(entries)
    one_by_one, cut_up = processor(), processor()
    run(one_by_one, some, list(range(len(some) + 1)))
    run(cut_up, some, [0, *sorted(at for at in cut if at < len(some)), len(some)])
    assert outcome(cut_up) == outcome(one_by_one)


@given(log, st.data())
@law(80)
def test_a_crash_anywhere_neither_loses_nor_repeats(entries: Entries, data: st.DataObject) -> None:
    """Snapshot somewhere, go on, crash, restore, read again from anywhere before the snapshot's end."""
    some = two_partitions(entries)
    saved_at = data.draw(st.integers(0, len(some)), "snapshot")
    crashed_at = data.draw(st.integers(saved_at, len(some)), "crash")
    again_from = data.draw(st.integers(0, saved_at), "read again from")
    step = data.draw(st.integers(1, 6), "step")

    crashing = processor()
    run(crashing, some, [*range(0, saved_at, step), saved_at])
    pieces, totals = crashing.state_dicts(), crashing.totals_dict()
    run(crashing, some, [*range(saved_at, crashed_at, step), crashed_at])

    restarted = processor()
    restarted.load(pieces, totals)
    run(restarted, some, [*range(again_from, len(some), step), len(some)])

    undisturbed = processor()
    run(undisturbed, some, [*range(0, len(some), step), len(some)])
    assert outcome(restarted) == outcome(undisturbed)
    assert restarted.totals.records_skipped == saved_at - again_from


def test_the_same_records_again_change_nothing() -> None:
    worked = processor()
    some = records([*numbered([event(), event("bob")]), b"garbage"])
    worked.process(some, NOW_MS)
    before, calls = outcome(worked), len(worked.pipeline.learner.diary)  # type: ignore[attr-defined]
    again = worked.process(some, NOW_MS)
    assert (again.step, again.dead_letters, again.skipped, again.recommendations) == (None, [], 3, [])
    assert outcome(worked) == before
    assert len(worked.pipeline.learner.diary) == calls  # type: ignore[attr-defined]
    assert worked.totals.records_skipped == 3


def test_a_record_that_comes_twice_in_one_batch_counts_once() -> None:
    worked = processor()
    some = records(numbered([event(), event()]))
    assert worked.process([*some, *some, some[1]], NOW_MS).skipped == 3
    assert worked.totals.events_learned == 2


def test_partitions_have_their_own_offsets() -> None:
    worked = processor()
    worked.process(records([event()], partition=0, first=100), NOW_MS)
    found = worked.process(records([event("bob")], partition=1, first=0), NOW_MS)
    assert found.skipped == 0
    assert worked.states.applied == {0: 100, 1: 0}
    assert worked.states.user("bob").partition == 1  # type: ignore[union-attr]


def test_garbage_costs_its_own_record_only() -> None:
    worked = processor()
    good = numbered([event(item="a"), event("bob", "b")])
    found = worked.process(records([b"{", good[0], b"", good[1], wire(event_type="teleport")]), NOW_MS)
    assert [letter.reason for letter in found.dead_letters] == [
        Reason.NOT_JSON,
        Reason.NOT_JSON,
        Reason.UNDECLARED_TYPE,
    ]
    assert [letter.offset for letter in found.dead_letters] == [0, 2, 4]
    clean = processor()
    clean.process(records(good), NOW_MS)
    with_garbage, without = outcome(worked), outcome(clean)
    assert with_garbage.pop("applied") == {0: 4}
    assert with_garbage.pop("dead") == 3
    assert with_garbage.items() <= without.items()


def test_garbage_alone_is_applied_without_a_step() -> None:
    worked = processor()
    found = worked.process(records([b"{"]), NOW_MS)
    assert found.step is None
    assert len(found.dead_letters) == 1
    assert worked.states.applied == {0: 0}
    assert worked.process(records([b"{"]), NOW_MS).dead_letters == [], "told once"


def test_nothing_is_nothing() -> None:
    found = processor().process([], NOW_MS)
    assert (found.step, found.dead_letters, found.skipped) == (None, [], 0)


def test_the_entries_of_an_items_list_are_events_of_one_record() -> None:
    worked = processor()
    some = records([wire(event_type="purchase", item_id=None, items=[{"item_id": "a"}, {"item_id": "b"}])])
    found = worked.process(some, NOW_MS)
    assert found.step is not None
    assert found.step.events == 2
    assert [slate.trigger_event_id for slate in found.recommendations] == ["e1#1"]
    assert worked.totals_dict() == {
        "events_learned": 2,
        "events_followed": 0,
        "recommendations": 1,
        "dead_letters": 0,
        "records_skipped": 0,
        "duplicates": 0,
        "late_events": 0,
    }


def test_a_step_that_fails_applies_no_offset() -> None:
    class Failing(CountingLearner):
        def predict_many(self, batch: Any) -> Any:
            raise FloatingPointError("not a number")

    worked = processor(Failing())
    with pytest.raises(FloatingPointError):
        worked.process(records([event()]), NOW_MS)
    assert worked.states.applied == {}
    assert worked.totals.events_learned == 0


def test_the_state_is_a_moment_not_a_window() -> None:
    """What is learned after a snapshot was taken does not reach it."""
    worked = processor()
    worked.process(records(numbered([event(item="a")])), NOW_MS)
    pieces = worked.state_dicts()
    kept = {
        piece: {name: array.tobytes() for name, array in arrays.items()} for piece, arrays in pieces.items()
    }
    worked.process(
        records(numbered([event(item="b"), event("bob", "a"), event(kind="impression")], 1), first=1), NOW_MS
    )
    assert {piece: {n: a.tobytes() for n, a in arrays.items()} for piece, arrays in pieces.items()} == kept
    assert set(pieces) == {"users", "items", "learner", "ledger", "statistics"}


@given(log, log, st.integers(1, 9), st.integers(1, 9))
@law(60)
def test_another_history_length_keeps_the_newest_that_fit(
    first: Entries, then: Entries, before: int, after: int
) -> None:
    """And goes on as one that always had the shorter of the two."""
    some = two_partitions([*first, *then])
    saved, always = processor(history_length=before), processor(history_length=min(before, after))
    run(saved, some, [0, len(first)])
    run(always, some, [0, len(first)])
    changed = processor(history_length=after)
    changed.load(saved.state_dicts(), saved.totals_dict())
    assert outcome(changed) == outcome(always)
    run(changed, some, [len(first), len(some)])
    undisturbed = processor(history_length=after)
    run(undisturbed, some, [0, len(some)])
    found, expected = outcome(changed), outcome(undisturbed)
    for user, view in found.pop("users").items():
        if view is not None:
            kept, all_that_fit = view["history"], expected["users"][user]["history"]
            assert kept == all_that_fit[len(all_that_fit) - len(kept) :]
            assert len(kept) >= min(len(all_that_fit), before)
            assert view["events"] == expected["users"][user]["events"]
    assert found.items() <= expected.items()


def test_a_view_is_in_outside_words() -> None:
    worked = processor()
    events = [event(kind="impression", item="a"), event(item="b", kind="like"), event(item="c")]
    worked.process(records(numbered(events), partition=2), NOW_MS + 9)
    view = user_view(worked.states, worked.pipeline.items, STANDARD_TYPES, "ann")
    assert view is not None
    assert json.loads(json.dumps(view)) == {
        "user_id": "ann",
        "partition": 2,
        "events": 3,
        "history": [
            {"item_id": "b", "event_type": "like", "occurred_at_ms": NOW_MS + 1_000},
            {"item_id": "c", "event_type": "click", "occurred_at_ms": NOW_MS + 2_000},
        ],
        "history_counts": {"like": 1, "click": 1},
        "pending": [
            {"item_id": "a", "shown_at_ms": NOW_MS},
            {"item_id": "b", "shown_at_ms": NOW_MS + 1_000},
            {"item_id": "c", "shown_at_ms": NOW_MS + 2_000},
        ],
        "recommendation_id": view["recommendation_id"],
        "slate_generated_at_ms": NOW_MS + 9,
        "slate": [{"item_id": "c", "rank": 0}],
    }
    assert user_view(worked.states, worked.pipeline.items, STANDARD_TYPES, "nobody") is None


def test_a_type_that_is_no_longer_declared_has_a_number() -> None:
    worked = processor()
    worked.process(records([event()]), NOW_MS)
    view = user_view(worked.states, worked.pipeline.items, ["impression"], "ann")
    assert view is not None
    assert view["history"][0]["event_type"] == "type 2, no longer declared"
