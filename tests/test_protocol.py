"""What counts, against a naive reading of the rules."""

from __future__ import annotations

import numpy as np
import pytest
from builders import NOW_MS, event
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from stream.evaluation.protocol import apply_protocol

CHOICES = frozenset({"click"})

logs = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from("abcd"),
        st.sampled_from(["click", "dwell", "impression"]),
        st.sampled_from([None, None, 3]),
    ),
    min_size=1,
    max_size=25,
)


def log(*rows: tuple[int, str, str]) -> list[Event]:
    """Clicks by (second, user, item)."""
    return [event(user, item, occurred_at_ms=NOW_MS + 1_000 * second) for second, user, item in rows]


def test_the_first_fifth_and_first_events_of_users_do_not_count() -> None:
    protocol = apply_protocol(log(*((n, "ann", "a") for n in range(9)), (9, "bob", "a")), CHOICES)
    assert protocol.warm_up == 2
    assert protocol.scored.tolist() == [2, 3, 4, 5, 6, 7, 8]


def test_an_event_of_the_same_moment_is_no_earlier_one() -> None:
    protocol = apply_protocol(
        log((0, "bob", "z"), (1, "ann", "a"), (1, "ann", "b"), (2, "ann", "a")), CHOICES
    )
    assert protocol.moments.tolist() == [0, 1, 3, 4]
    assert protocol.scored.tolist() == [3], "neither of ann's first two has an earlier one"
    assert protocol.known.tolist() == [0, 1, 1, 3]
    assert protocol.seen(3).tolist() == [1, 2]
    assert protocol.repeats.tolist() == [False, False, False, True]


def test_an_exact_repeat_in_the_same_second_is_no_repeat_yet() -> None:
    protocol = apply_protocol(log((0, "ann", "z"), (1, "ann", "a"), (1, "ann", "a")), CHOICES)
    assert not protocol.repeats.any()


def test_with_seen_items_excluded_repeats_do_not_count() -> None:
    events = log((0, "ann", "a"), (1, "ann", "b"), (2, "ann", "a"), (3, "ann", "c"))
    assert apply_protocol(events, CHOICES, exclude_seen=True).scored.tolist() == [1, 3]
    assert apply_protocol(events, CHOICES).scored.tolist() == [1, 2, 3]


def test_what_is_no_choice_or_was_shown_in_a_list_is_not_scored() -> None:
    events = [
        event(item="a", kind="click"),
        event(item="b", kind="dwell", occurred_at_ms=NOW_MS + 1),
        event(item="c", position=4, occurred_at_ms=NOW_MS + 2),
        event(item="d", occurred_at_ms=NOW_MS + 3),
    ]
    assert apply_protocol(events, CHOICES).scored.tolist() == [3]


def test_ages_count_from_an_items_first_appearance() -> None:
    protocol = apply_protocol(log((0, "ann", "a"), (5, "bob", "a"), (9, "bob", "b")), CHOICES)
    assert protocol.item_age_s.tolist() == pytest.approx([np.nan, 5.0, np.nan], nan_ok=True)


def test_slices_say_who_is_new() -> None:
    day = 86_400
    events = log(
        *((n * day, "ann", "a") for n in range(7)), (6 * day + 60, "ann", "b"), (6 * day + 120, "bob", "b")
    )
    protocol = apply_protocol(events, CHOICES)
    assert protocol.scored.tolist() == [1, 2, 3, 4, 5, 6, 7]
    slices = {name: mask.tolist() for name, mask in protocol.slices().items()}
    assert slices["first appearances"] == [False] * 6 + [True]
    assert slices["new items (< 24 h)"] == [False] * 7
    assert slices["new users (< 5 events)"] == [True] * 4 + [False] * 3
    assert slices["repeats"] == [True] * 6 + [False]


@given(logs, st.booleans())
@law(200)
def test_the_rules_read_naively(
    rows: list[tuple[int, str, str, str, int | None]], exclude_seen: bool
) -> None:
    at_ms, events = NOW_MS, []
    for gap, user, item, kind, position in rows:
        at_ms += gap
        events.append(event(user, item, kind, occurred_at_ms=at_ms, position=position))
    protocol = apply_protocol(events, CHOICES, exclude_seen=exclude_seen)
    scored = []
    for n, one in enumerate(events):
        before = [other for other in events if other.occurred_at_ms < one.occurred_at_ms]
        own = [o.item_id for o in before if o.user_id == one.user_id and o.event_type != "impression"]
        assert protocol.known[n] == len({other.item_id for other in before})
        assert protocol.earlier[n] == len(own)
        assert protocol.repeats[n] == (one.item_id in own)
        assert [protocol.item_ids[item] for item in protocol.seen(n)] == own
        counts = one.event_type == "click" and one.position is None and n >= int(0.2 * len(events))
        if counts and own and not (exclude_seen and one.item_id in own):
            scored.append(n)
    assert protocol.scored.tolist() == scored
    assert [events[start].occurred_at_ms for start in protocol.moments[:-1]] == sorted(
        {one.occurred_at_ms for one in events}
    )
