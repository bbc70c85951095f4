"""An event that is sent twice counts once, as far back as the window reaches."""

from __future__ import annotations

from builders import NOW_MS, event, records, wire
from fakes import processor
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from stream.duplicates import RecentIds, id_hash
from stream.processor import Processor


def sent(partition: int, user: int, number: int) -> tuple[int, Event]:
    return partition, event(f"u{user}", event_id=f"e{number}")


sendings = st.lists(st.builds(sent, st.integers(0, 1), st.integers(0, 1), st.integers(0, 5)), max_size=40)


@given(sendings, st.integers(0, 5), st.integers(0, 40), st.integers(0, 5))
@law(150)
def test_an_id_is_new_unless_it_is_among_the_latest_of_its_partition(
    all_sent: list[tuple[int, Event]], window: int, saved_at: int, later_window: int
) -> None:
    """Against lists; somewhere on the way everything is saved and read by a process with another window."""
    ids = RecentIds(window)
    latest: dict[int, list[tuple[str, str]]] = {0: [], 1: []}
    for number, (partition, one) in enumerate(all_sent):
        if number == saved_at:
            state, ids, window = ids.state_dict(), RecentIds(later_window), later_window
            ids.load_state_dict(state)
            latest = {which: some[max(len(some) - window, 0) :] for which, some in latest.items()}
        mine, name = latest[partition], (one.user_id, one.event_id)
        assert ids.admit(partition, one) == (name not in mine)
        if name not in mine and window:
            mine.append(name)
            del mine[:-window]


def test_a_hash_is_the_same_in_every_version_since_checkpoints_hold_it() -> None:
    assert id_hash("ann", "e1") == HASH_OF_ANN_E1
    assert id_hash("an", "ne1") != id_hash("ann", "e1")
    assert 0 <= id_hash("\ud800", "") < 1 << 64, "what JSON lets through has a hash too"


HASH_OF_ANN_E1 = 6_917_417_059_042_909_368


# --- as a processor applies it


def events_of(worked: Processor, user: str = "ann") -> int:
    state = worked.states.user(user)
    return 0 if state is None else state.events


def test_what_a_producer_sends_again_is_not_applied_but_its_offset_is() -> None:
    worked = processor()
    worked.process(records([event(kind="impression"), event(event_id="e2")]), NOW_MS)
    learned = len(worked.pipeline.learner.diary)  # type: ignore[attr-defined]
    again = worked.process(records([event(kind="impression"), event(event_id="e2")], first=2), NOW_MS)
    assert (again.step, again.duplicates, again.skipped) == (None, 2, 0)
    assert len(worked.pipeline.learner.diary) == learned  # type: ignore[attr-defined]
    assert worked.states.applied == {0: 3}
    assert events_of(worked) == 2
    assert (worked.states.pending, worked.totals.duplicates, worked.totals.records_skipped) == (1, 2, 0)


def test_of_two_in_one_batch_the_first_wins() -> None:
    worked = processor()
    found = worked.process(records([event(item="first"), event(item="second")]), NOW_MS)
    assert found.duplicates == 1
    assert "first" in worked.pipeline.items
    assert "second" not in worked.pipeline.items


def test_a_list_that_is_sent_again_counts_once_and_its_entries_are_events_of_their_own() -> None:
    worked = processor()
    basket = wire(event_type="purchase", item_id=None, items=[{"item_id": "a"}, {"item_id": "a"}])
    assert worked.process(records([basket, basket]), NOW_MS).duplicates == 2
    assert events_of(worked) == 2


def test_events_without_an_id_are_never_duplicates() -> None:
    """Their generated ids are places, and a topic that was made anew has the same places again."""
    worked = processor()
    nameless = [
        wire(event_id=None),
        wire(event_id=None, item_id=None, items=[{"item_id": "a"}, {"item_id": "b"}]),
    ]
    worked.process(records(nameless), NOW_MS)
    worked.begin_anew()
    assert worked.process(records(nameless), NOW_MS).duplicates == 0
    assert events_of(worked) == 6


def test_users_may_use_the_same_ids_and_partitions_know_nothing_of_each_other() -> None:
    worked = processor()
    worked.process(records([event("ann"), event("bob")]), NOW_MS)
    worked.process(records([event("cat")], partition=1), NOW_MS)
    assert worked.process(records([event("ann")], partition=1, first=1), NOW_MS).duplicates == 0


def test_a_restart_forgets_no_id() -> None:
    worked, restarted = processor(), processor()
    worked.process(records([event()]), NOW_MS)
    restarted.load(worked.state_dicts(), worked.totals_dict())
    assert restarted.process(records([event()], first=1), NOW_MS).duplicates == 1
    assert events_of(restarted) == 1
