"""Events that come out of order, against the same events in the order of time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from builders import NOW_MS, event, records
from fakes import TASKS, CountingLearner, pipeline, processor, user_states
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from learners.context_fields import ContextFields
from learners.event_batch import Histories
from learners.row_index import ABSENT
from learners.task import Task
from stream.processor import Processor
from stream.user_states import UserStates

R = 5
Entry = tuple[str, int]
"""Item and time of a history event."""

USERS = ("ann", "bob")
KINDS = ("click", "impression", "purchase", "like")
FIELDS = ContextFields(names=("number", "kind"), buckets=5_000)


@st.composite
def shuffled(draw: st.DrawFn) -> list[Event]:
    """Events at different times within the lateness, as they come."""
    steps = draw(st.lists(st.integers(1, 40_000), max_size=18))
    times_ms = (NOW_MS + np.cumsum(steps, dtype=np.int64)).tolist()
    events = [
        event(
            draw(st.sampled_from(USERS)),
            draw(st.sampled_from("abc")),
            draw(st.sampled_from(KINDS)),
            event_id=f"e{n}",
            occurred_at_ms=at_ms,
            context={"number": n},
        )
        for n, at_ms in enumerate(times_ms)
    ]
    return draw(st.permutations(events))


cuts = st.sets(st.integers(1, 17))


def run(events: list[Event], cut: set[int]) -> Processor:
    worked = processor(history_length=R, context=FIELDS)
    edges = [0, *sorted(at for at in cut if at < len(events)), len(events)]
    some = records(events)
    for begin, end in pairwise(edges):
        worked.process(some[begin:end], NOW_MS)
    return worked


def sorted_history(events: list[Event], user: str) -> list[Entry]:
    """The user's whole history, oldest first."""
    mine = [one for one in events if one.user_id == user and one.event_type != "impression"]
    return [(one.item_id, one.occurred_at_ms) for one in sorted(mine, key=lambda one: one.occurred_at_ms)]


def history_of(worked: Processor, user: str) -> list[Entry]:
    state = worked.states.user(user)
    if state is None:
        return []
    items = [worked.pipeline.items.id(row) for row in state.item_rows]
    return list(zip(items, state.times_ms, strict=True))


@given(shuffled(), cuts)
@law(150)
def test_however_they_come_the_history_is_that_of_the_order_of_time(
    events: list[Event], cut: set[int]
) -> None:
    worked = run(events, cut)
    for user in USERS:
        whole = sorted_history(events, user)
        assert history_of(worked, user) == whole[-R:]
        state = worked.states.user(user)
        assert (state.events if state else 0) == sum(one.user_id == user for one in events)
        row = worked.states.index.rows([user])
        if state is not None:
            assert worked.states.remembered(row).tolist() == [len(whole)]


@given(shuffled(), cuts)
@law(150)
def test_a_waiting_impression_has_the_history_that_lay_before_it(events: list[Event], cut: set[int]) -> None:
    worked = run(events, cut)
    waiting = worked.states.pending_of(0)
    slots = np.arange(waiting.first, waiting.next) % len(waiting.user)
    users, opened_ms = waiting.user[slots], waiting.opened_ms[slots]
    found = worked.states.histories(users, waiting.as_of[slots], opened_ms)
    for n, (user, at_ms) in enumerate(zip(users.tolist(), opened_ms.tolist(), strict=True)):
        whole = sorted_history(events, worked.states.index.id(user))
        before = [entry for entry in whole if entry[1] < at_ms]
        kept = [entry for entry in before[-R:] if entry in whole[-R:]]
        rows = found.item_rows[n][found.mask[n]].tolist()
        assert [worked.pipeline.items.id(row) for row in rows] == [item for item, _ in kept]
        age_s = found.age_s[n][found.mask[n]].tolist()
        np.testing.assert_allclose(age_s, [(at_ms - when) / 1000.0 for _, when in kept], rtol=1e-6)


@given(shuffled(), cuts)
@law(100)
def test_what_is_learned_knows_of_its_user_what_lay_before_it_and_had_come(
    events: list[Event], cut: set[int]
) -> None:
    """All that came with it in its step had come; what is older than all that was kept is not kept either."""
    worked = run(events, cut)
    learner: CountingLearner = worked.pipeline.learner  # type: ignore[assignment]
    edges = [0, *sorted(at for at in cut if at < len(events)), len(events)]
    batches = [batch for what, (batch, _) in ((w, g) for w, g in learner.diary if w == "learn")]
    for batch, (begin, end) in zip(batches, pairwise(edges), strict=events != []):
        choices = [one for one in events[begin:end] if one.event_type in ("click", "purchase")]
        assert batch.target.sum() == len(choices)
        for n, one in enumerate(choices):
            came = sorted_history(events[:end], one.user_id)
            before = [entry for entry in came if entry[1] < one.occurred_at_ms]
            had = sorted_history(events[:begin], one.user_id)
            oldest_ms = had[-R][1] if len(had) > R else 0
            expected = [item for item, at_ms in before[-R:] if at_ms >= oldest_ms]
            sequence = batch.sequence[n]
            rows = batch.histories.item_rows[sequence][batch.histories.mask[sequence]].tolist()
            assert [worked.pipeline.items.id(row) for row in rows] == expected


def of_their_time(found: Histories, said: dict[int, list[int]]) -> bool:
    """Whether each slot has the context of what happened at its time; no two events share one."""
    times_ms = np.rint(1_000.0 * (found.now_s[:, None] - found.age_s)).astype(np.int64)
    slots = zip(times_ms[found.mask].tolist(), found.context[found.mask].tolist(), strict=True)
    return all(said[at_ms] == context for at_ms, context in slots)


@given(shuffled(), cuts)
@law(150)
def test_a_context_stays_with_its_event(events: list[Event], cut: set[int]) -> None:
    worked = run(events, cut)
    said = {one.occurred_at_ms: [FIELDS.bucket("number", str(one.context["number"])), 0] for one in events}
    learner: CountingLearner = worked.pipeline.learner  # type: ignore[assignment]
    for what, given_to in learner.diary:
        if what != "forget users":
            assert of_their_time(given_to if what == "recommend" else given_to[0].histories, said)
    users = worked.states.index.live_rows()
    ends_ms = np.full(len(users), NOW_MS + 1_000_000)
    assert of_their_time(worked.states.histories(users, worked.states.remembered(users), ends_ms), said)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5_000), st.booleans()), max_size=30), cuts)
@law(100)
def test_while_time_runs_forward_nothing_is_rearranged(
    steps: list[tuple[int, int, bool]], cut: set[int]
) -> None:
    states, now_ms = user_states(history_length=R), NOW_MS
    edges = [0, *sorted(at for at in cut if at < len(steps)), len(steps)]
    for begin, end in pairwise(edges):
        users = states.admit([f"u{user}" for user, _, _ in steps[begin:end]])
        times_ms = now_ms + np.cumsum([elapsed for _, elapsed, _ in steps[begin:end]], dtype=np.int64)
        remembered = np.array([enters for _, _, enters in steps[begin:end]], np.bool_)
        placed = states.place(users, times_ms, remembered)
        assert not placed.rearranged
        assert not placed.late.any()
        assert placed.as_of.tolist() == states.as_of(users, remembered).tolist()
        now_ms = int(times_ms[-1]) if len(times_ms) else now_ms


# --- by example


def at(seconds: float, item: str = "tea", kind: str = "click", user: str = "ann") -> Event:
    return event(
        user, item, kind, event_id=f"{seconds}{item}{kind}", occurred_at_ms=NOW_MS + int(1_000 * seconds)
    )


def worked_one_by_one(*events: Event, learner: CountingLearner | None = None, **bounds: int) -> Processor:
    worked = processor(learner, **bounds)
    for offset, one in enumerate(events):
        worked.process(records([one], first=offset), NOW_MS)
    return worked


def test_among_equal_times_what_came_first_stands_first() -> None:
    worked = worked_one_by_one(at(0, "a"), at(9, "z"), at(0, "b"), at(0, "c"))
    assert [item for item, _ in history_of(worked, "ann")] == ["a", "b", "c", "z"]


def test_the_bound_of_lateness_is_inside() -> None:
    just, beyond = at(0, "just"), at(-0.001, "beyond")
    worked = worked_one_by_one(at(3_600, "z"), just, beyond)
    assert [item for item, _ in history_of(worked, "ann")] == ["just", "z"]
    assert worked.totals.late_events == 1


def test_what_comes_too_late_is_counted_and_answers_but_is_no_choice_and_no_history() -> None:
    learner = CountingLearner((TASKS[0], Task(name="purchase", window_s=86_400.0)))
    worked = worked_one_by_one(
        at(0, "shown", "impression"), at(3_700, "z"), at(30, "shown", "purchase"), learner=learner
    )
    state = worked.states.user("ann")
    assert state is not None
    assert state.events == 3
    assert [item for item, _ in history_of(worked, "ann")] == ["z"]
    items, ledger = worked.pipeline.items, worked.pipeline.ledger
    assert learner.counts == {items.row("z"): 1}
    assert ledger.items[items.row("shown")] == 2
    assert ledger.labels[1].tolist() == [0, 1, 1], "bought within the window, by the time of the events"
    assert (worked.totals.events_learned, worked.totals.late_events) == (3, 1)


def test_another_user_s_clock_makes_nobody_late() -> None:
    worked = worked_one_by_one(at(9_000, user="bob"), at(0, "a"))
    assert [item for item, _ in history_of(worked, "ann")] == ["a"]
    assert worked.totals.late_events == 0


def test_a_forgotten_item_leaves_no_trace_when_its_place_is_moved() -> None:
    """The items of the step evict the ones of the history, in the very step that moves them."""
    worked = processor(history_length=R, max_items=3)
    worked.process(records([at(1, "a"), at(2, "b"), at(3, "c")]), NOW_MS)
    worked.process(records([at(9, "d"), at(5, "e")], first=3), NOW_MS)
    items = [item for item, _ in history_of(worked, "ann")]
    assert items[-2:] == ["e", "d"]
    assert len(items) == len(worked.pipeline.items)


def test_a_slate_is_as_of_the_newest_event_not_of_the_one_that_came_last() -> None:
    worked = worked_one_by_one(at(600, "z"), at(1, "a"))
    learner: CountingLearner = worked.pipeline.learner  # type: ignore[assignment]
    last = [given for what, given in learner.diary if what == "recommend"][-1]
    assert last.now_s.tolist() == [NOW_MS / 1000.0 + 600.0]
    assert last.age_s[0][last.mask[0]].tolist() == [599.0, 0.0]


def test_a_restart_knows_how_far_a_user_was() -> None:
    worked = worked_one_by_one(at(0, "a", "impression"), at(7_200, "b", "impression"))
    restarted = processor()
    restarted.load(worked.state_dicts(), worked.totals_dict())
    restarted.process(records([at(1, "c")], first=2), NOW_MS)
    assert history_of(restarted, "ann") == []
    assert restarted.totals.late_events == 1


def test_an_event_from_before_all_that_is_kept_moves_the_numbers_only() -> None:
    worked = worked_one_by_one(*(at(10 + n, f"i{n}") for n in range(R + 1)), at(0, "old"), history_length=R)
    assert [item for item, _ in history_of(worked, "ann")] == [f"i{n}" for n in range(1, R + 1)]
    assert worked.states.remembered(worked.states.index.rows(["ann"])).tolist() == [R + 2]


def test_the_states_alone_put_nothing_into_empty_slots() -> None:
    states: UserStates = user_states(history_length=R)
    worked = pipeline()
    worked.step([at(9, "z"), at(1, "a")], states, NOW_MS)
    assert states.histories(np.array([0]), np.array([2]), np.array([NOW_MS])).item_rows.tolist() == [
        [ABSENT, ABSENT, ABSENT, worked.items.row("a"), worked.items.row("z")]
    ]
