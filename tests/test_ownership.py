"""Several workers and one log: each counts everything, its owner answers each event, and never by older state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from batches import shop
from builders import NOW_MS, Record, wire
from fakes import TASKS, CountingLearner, processor
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from models import learner, taught
from test_processor import log, outcome, two_partitions

from connectors.recommendation import Recommendation
from stream.observer import WorkerObserver, worker_metrics
from stream.ownership import EVERYTHING, NOTHING, Answers, Assignment, Start
from stream.processor import ANSWERED_A_STEP, Processor

ZERO, ONE = Assignment(frozenset({0})), Assignment(frozenset({1}))


def views(users: Sequence[str], kind: str = "click", first: int = 0, partition: int = 0) -> list[Record]:
    """One event a user, at one offset after the other."""
    return [
        Record(
            value=wire(
                event_id=f"e{partition}-{n}",
                event_type=kind,
                user_id=user,
                item_id=f"i{n}",
                occurred_at_ms=NOW_MS + 1_000 * n,
            ),
            partition=partition,
            offset=n,
        )
        for n, user in enumerate(users, first)
    ]


def process(
    worked: Processor, some: Sequence[Record], assignment: Assignment = EVERYTHING
) -> list[Recommendation]:
    return worked.process(some, NOW_MS, assignment=assignment).recommendations


def take_over(worked: Processor, partition: int, committed: int | None, end: int) -> tuple[int, Assignment]:
    """Where to read from, and the assignment with this partition alone."""
    start = worked.answers.start(partition, worked.states.applied.get(partition, -1), committed, end)
    return start.offset, Assignment(frozenset({partition}), {partition: start.taken} if start.taken else {})


def counted(worked: Processor) -> dict[str, Any]:
    """What does not depend on who answers."""
    seen = outcome(worked)
    for view in filter(None, seen["users"].values()):
        view.pop("recommendation_id", None)
    return seen


@given(
    log, st.sets(st.integers(1, 23)), st.lists(st.sampled_from([EVERYTHING, ZERO, ONE, NOTHING]), min_size=24)
)
@law(80)
def test_whoever_owns_what_everybody_counts_everything(
    entries: list[Any], cut: set[int], owned: list[Assignment]
) -> None:
    some = two_partitions(entries)
    alone, among_others = processor(), processor()
    alone.process(some, NOW_MS)
    edges = [0, *sorted(at for at in cut if at < len(some)), len(some)]
    for n, (begin, end) in enumerate(pairwise(edges)):
        among_others.process(some[begin:end], NOW_MS, assignment=owned[n])
    assert counted(among_others) == counted(alone)


@given(log, st.integers(1, 5))
@law(60)
def test_two_workers_answer_what_one_would(entries: list[Any], step: int) -> None:
    some = two_partitions(entries)
    alone, first, second = processor(), processor(), processor()
    made, shared, letters, shared_letters = set[str](), list[str](), 0, 0
    for begin in range(0, len(some), step):
        part = some[begin : begin + step]
        processed = alone.process(part, NOW_MS)
        made |= {slate.recommendation_id for slate in processed.recommendations}
        letters += len(processed.dead_letters)
        for worked, assignment in ((first, ZERO), (second, ONE)):
            processed = worked.process(part, NOW_MS, assignment=assignment)
            shared += [slate.recommendation_id for slate in processed.recommendations]
            shared_letters += len(processed.dead_letters)
    assert sorted(shared) == sorted(made)
    assert shared_letters == letters


def test_what_is_followed_is_neither_answered_nor_told_of() -> None:
    worked = processor()
    processed = worked.process(
        [*views(["ann", "bob"]), Record(value=b"{", offset=2)], NOW_MS, assignment=NOTHING
    )
    assert processed.recommendations == processed.dead_letters == []
    assert worked.states.applied == {0: 2}
    totals = worked.totals
    assert (totals.events_learned, totals.events_followed, totals.dead_letters) == (2, 2, 1)


def test_nothing_is_answered_before_the_end_of_what_the_former_owner_may_have_answered() -> None:
    """It has followed 0-3 and takes over when the partition ends at 6; until 2 is known to be answered."""
    worked = processor()
    some = views(["ann", "bob", "cat", "ann", "dan", "cat", "eve"])
    process(worked, some[:4], NOTHING)
    start, assignment = take_over(worked, 0, committed=2, end=6)
    assert start == 2
    assert process(worked, some[2:5], assignment) == []
    answered = process(worked, some[5:6], assignment)
    assert {slate.user_id: slate.trigger_event_id for slate in answered} == {
        "ann": "e0-3",
        "dan": "e0-4",
        "cat": "e0-5",
    }
    assert worked.states.applied == {0: 5}
    assert [slate.user_id for slate in process(worked, some[6:], assignment)] == ["eve"]


def test_what_is_no_event_is_a_dead_letter_of_who_takes_over() -> None:
    """Its former owner may have died before it said so."""
    worked = processor()
    some = views(["ann", "bob", "cat"])
    some[1] = replace(some[1], value=b"{")
    assert worked.process(some, NOW_MS, assignment=NOTHING).dead_letters == []
    assert worked.totals.dead_letters == 1
    _, assignment = take_over(worked, 0, committed=0, end=3)
    processed = worked.process(some, NOW_MS, assignment=assignment)
    assert [(letter.partition, letter.offset) for letter in processed.dead_letters] == [(0, 1)]
    assert [slate.user_id for slate in processed.recommendations] == ["ann", "cat"]
    assert worked.totals.dead_letters == 1, "it is one record"


def test_steps_that_are_made_again_from_a_checkpoint_answer_whom_they_would_have_answered() -> None:
    """A recovery reads nothing again that the checkpoint holds."""
    worked, again = processor(), processor()
    some = views(["ann", "bob", "cat", "dan"])
    process(worked, some[:1], NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=4)
    process(worked, some[:2], assignment)
    again.load(worked.state_dicts(), worked.totals_dict())
    for each in (worked, again):
        answered = process(each, some[2:], assignment)
        assert [slate.user_id for slate in answered] == ["ann", "bob", "cat", "dan"]
        assert each.answers.reached == {0: 3}


def test_who_is_due_is_due_again_after_a_checkpoint() -> None:
    worked, again = processor(), processor()
    users = [f"u{n}" for n in range(ANSWERED_A_STEP + 10)]
    process(worked, views(users), NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=len(users))
    worked.process(views(users), NOW_MS, assignment=assignment)
    again.load(worked.state_dicts(), worked.totals_dict())
    for each in (worked, again):
        assert [slate.user_id for slate in process(each, [], assignment)] == users[-10:]
        assert not each.answers.owing


def test_who_has_read_everything_answers_as_soon_as_it_has_looked_again() -> None:
    worked = processor()
    some = views(["ann", "bob", "cat"])
    process(worked, some, NOTHING)
    start, assignment = take_over(worked, 0, committed=1, end=3)
    assert start == 1
    assert [slate.user_id for slate in process(worked, some[1:], assignment)] == ["bob", "cat"]
    assert worked.totals.records_skipped == 2


def test_who_learns_that_nothing_more_came_before_the_end_answers_without_another_record() -> None:
    """Offset 3 is a transaction's marker, which nobody is handed."""
    worked = processor()
    some = views(["ann", "bob", "cat"])
    process(worked, some[:2], NOTHING)
    _, assignment = take_over(worked, 0, committed=1, end=4)
    assert process(worked, some[1:], assignment) == process(worked, [], assignment) == []
    ended = replace(assignment, taken={0: replace(assignment.taken[0], until=3)})
    assert [slate.user_id for slate in process(worked, [], ended)] == ["bob", "cat"]
    assert not worked.answers.owing


def test_a_user_who_acts_again_at_the_end_gets_one_slate() -> None:
    worked = processor()
    some = views(["ann", "ann"])
    process(worked, some[:1], NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=1)
    answered = process(worked, some, assignment)
    assert [(slate.user_id, slate.trigger_event_id) for slate in answered] == [("ann", "e0-1")]


def test_many_are_answered_a_few_at_a_time_and_nobody_by_an_event_before_the_last_one() -> None:
    worked = processor()
    users = [f"u{n}" for n in range(ANSWERED_A_STEP + 10)]
    process(worked, views(users), NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=len(users))
    first = worked.process(views(users), NOW_MS, assignment=assignment)
    assert len(first.recommendations) == ANSWERED_A_STEP
    assert first.due == 10
    assert worked.answers.reached == {}
    again = views([users[-1]], first=len(users))
    second = worked.process(again, NOW_MS, assignment=assignment)
    answered = {slate.user_id: slate.trigger_event_id for slate in second.recommendations}
    assert set(answered) == set(users[ANSWERED_A_STEP:])
    assert answered[users[-1]] == f"e0-{len(users)}"
    assert (len(second.recommendations), second.due) == (10, 0)
    assert worked.answers.reached == {0: len(users)}


def test_what_is_owed_is_counted_like_any_other_slate() -> None:
    """Clicks on it count as answers then, and what it shows among what was shown."""
    worked = processor()
    watching = WorkerObserver(worker_metrics(TASKS), worked)
    some = views(["ann", "bob", "cat"])
    process(worked, some, NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=3)
    processed = worked.process(some, NOW_MS, assignment=assignment)
    watching.step(processed, worked)
    [owed] = processed.owed
    assert [slate.user_id for slate in owed.recommendations] == ["ann", "bob", "cat"]
    shown = sum(len(slate.items) for slate in owed.recommendations)
    assert shown > 0
    assert sum(owed.placed.values()) == shown
    placed = re.search(r'freshet_places_total\{[^}]*"ranked"[^}]*\} (\S+)', watching.render().decode())
    assert placed is not None
    assert float(placed[1]) == owed.placed["ranked"]
    assert watching.recent_slates.of_item("i0", 9)["slates"] == 3
    assert processed.noticed.novelty_bits > 0.0


class Refusing(CountingLearner):
    """Makes no slates together with one user's."""

    def recommend(self, histories: Any, size: int) -> Any:
        if (histories.users == 1).any():
            raise FloatingPointError("the scores are not numbers")
        return super().recommend(histories, size)


def test_who_cannot_be_answered_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The records at hand are not to blame: to refuse them would help nobody, and end the worker."""
    worked = processor(Refusing())
    some = views(["ann", "bob", "cat", "dan"])
    process(worked, some[:3], NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=3)
    answered = process(worked, some, assignment)
    assert [slate.user_id for slate in answered] == ["dan", "ann", "cat"]
    assert "event e0-1 of user bob gets no slate" in caplog.text
    assert not worked.answers.owing


def test_what_comes_again_or_late_is_its_owners_to_count() -> None:
    """Otherwise a team would tell of it as often as it has members."""
    some = views(["ann", "bob"])
    late = replace(
        views(["ann"], first=2)[0],
        value=wire(
            event_id="late", event_type="click", user_id="ann", item_id="i0", occurred_at_ms=NOW_MS - 10**10
        ),
    )
    log = [*some, replace(some[0], offset=3), replace(late, offset=4)]
    owner, follower = processor(), processor()
    mine = owner.process(log, NOW_MS, assignment=ZERO)
    others = follower.process(log, NOW_MS, assignment=ONE)
    assert mine.step is not None
    assert others.step is not None
    assert (mine.duplicates, mine.step.late) == (1, 1)
    assert (others.duplicates, others.step.late) == (0, 0)


def test_what_is_due_is_the_next_owners_when_the_partition_is_lost() -> None:
    worked = processor()
    users = [f"u{n}" for n in range(ANSWERED_A_STEP + 10)]
    process(worked, views(users), NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=len(users))
    assert worked.process(views(users), NOW_MS, assignment=assignment).due == 10
    assert worked.process([], NOW_MS, assignment=NOTHING).due == 0
    start, _ = take_over(worked, 0, committed=5, end=len(users))
    assert start == 5


def test_what_is_lost_again_before_the_end_is_the_next_owners() -> None:
    worked = processor()
    some = views(["ann", "bob", "cat"])
    process(worked, some[:1], NOTHING)
    _, assignment = take_over(worked, 0, committed=None, end=3)
    assert process(worked, some[:2], assignment) == []
    assert process(worked, some[2:], NOTHING) == []
    start, again = take_over(worked, 0, committed=2, end=3)
    assert start == 2
    assert [slate.user_id for slate in process(worked, some[2:], again)] == ["cat"]


def test_a_worker_that_comes_back_to_its_own_goes_on_at_once() -> None:
    worked = processor()
    process(worked, views(["ann", "bob"]))
    again = processor()
    again.load(worked.state_dicts(), worked.totals_dict())
    start, assignment = take_over(again, 0, committed=1, end=3)
    assert start == 2
    assert not assignment.taken
    assert [slate.user_id for slate in process(again, views(["cat"], first=2), assignment)] == ["cat"]


def test_who_comes_back_with_older_state_than_was_answered_catches_up_first() -> None:
    worked = processor()
    process(worked, views(["ann"]))
    start, assignment = take_over(worked, 0, committed=2, end=3)
    assert start == 1
    assert process(worked, views(["bob"], first=1), assignment) == []
    assert [slate.user_id for slate in process(worked, views(["cat"], first=2), assignment)] == ["cat"]


def test_a_partition_that_nobody_ever_read_is_answered_from_its_first_event_on() -> None:
    for committed in (None, 0):
        assert Answers().start(0, applied=-1, committed=committed, end=9) == Start(0)


def test_a_checkpoint_of_before_there_were_several_workers_has_answered_what_it_applied() -> None:
    worked = processor()
    process(worked, views(["ann", "bob"]))
    pieces = worked.state_dicts()
    del pieces["ledger"]["answered"]
    again = processor()
    again.load(pieces, {})
    assert again.answers.reached == {0: 1}


def test_a_replaced_topic_has_been_answered_by_nobody() -> None:
    worked = processor()
    process(worked, views(["ann", "bob"]))
    worked.begin_anew()
    assert worked.answers.reached == {}


@pytest.mark.parametrize("followed", [True, False])
def test_what_is_followed_moves_counts_and_no_parameter(followed: bool) -> None:
    model, other = learner(), learner()
    batches = shop()
    taught(model, batches[:6])
    taught(other, batches[:6])
    before = model.state_dict()
    batch, histories = batches[6]
    batch = replace(batch, followed=np.full(len(batch), followed))
    taught(model, [(batch, histories)])
    taught(other, batches[6:7])
    after, alone = model.state_dict(), other.state_dict()
    moved = {name for name, array in after.items() if not np.array_equal(array, before[name])}
    learned = {name for name in moved if name.startswith(("neural.", "ranker.", "blend."))}
    assert bool(learned) != followed
    counts = [
        name for name in after if name.startswith(("counts.popularity", "counts.transitions", "pairs."))
    ]
    assert counts
    assert all(np.array_equal(after[name], alone[name]) for name in counts)
