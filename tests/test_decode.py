"""Bytes to events or to the reason why there is none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record, decoder, event, wire
from hypothesis import example, given
from hypothesis import strategies as st
from laws import law

from connectors.dead_letter import DeadLetter, Reason
from connectors.decode import EARLIEST_MS, EventDecoder, Refusal
from connectors.event import Event, encode_event
from connectors.event_types import ALIASES, STANDARD_TYPES

DAY_MS = 86_400_000


def read(value: bytes | None, **limits: Any) -> list[Event] | Refusal:
    return decoder(**limits).read(value, NOW_MS, "events/0/7")


def one(value: bytes, **limits: Any) -> Event:
    events = read(value, **limits)
    assert isinstance(events, list), events
    assert len(events) == 1
    return events[0]


def with_raw(name: str, raw: str) -> bytes:
    """A valid event with a field whose JSON Python would not write."""
    return wire()[:-1] + f', "{name}": {raw}}}'.encode()


# --- reasons

REFUSED = {
    "nothing": (None, Reason.NOT_JSON),
    "no bytes": (b"", Reason.NOT_JSON),
    "half an object": (b'{"user_id": "ann"', Reason.NOT_JSON),
    "two objects": (wire() + wire(), Reason.NOT_JSON),
    "text": (b"click ann tea", Reason.NOT_JSON),
    "bytes that are not UTF-8": (wire(user_id="@").replace(b"@", b"\xff"), Reason.NOT_JSON),
    "half a surrogate pair": (wire(user_id="@").replace(b"@", b"\\ud800"), Reason.NOT_JSON),
    "a surrogate in UTF-8": (wire(user_id="@").replace(b"@", b"\xed\xa0\x80"), Reason.NOT_JSON),
    "UTF-16": (wire().decode().encode("utf-16"), Reason.NOT_JSON),
    "a nested bomb": (with_raw("context", '{"a":' + "[" * 32_000 + "]" * 32_000 + "}"), Reason.NOT_JSON),
    "a list": (b"[]", Reason.NOT_AN_OBJECT),
    "a list bomb": (b"[" * 60_000, Reason.NOT_AN_OBJECT),
    "a number": (b"5", Reason.NOT_AN_OBJECT),
    "null": (b"null", Reason.NOT_AN_OBJECT),
    "a string": (b'"event"', Reason.NOT_AN_OBJECT),
    "too many bytes": (wire(session_id="s" * 70_000), Reason.OVERSIZED),
    "a later schema": (wire(schema_version=2), Reason.UNSUPPORTED_VERSION),
    "a huge schema": (wire(schema_version=2**80), Reason.UNSUPPORTED_VERSION),
    "no user": (wire(user_id=None), Reason.MISSING_USER),
    "no type": (wire(event_type=None), Reason.MISSING_TYPE),
    "a type that nobody declared": (wire(event_type="teleport"), Reason.UNDECLARED_TYPE),
    "no item": (wire(item_id=None), Reason.MISSING_ITEM),
    "no item and no items": (wire(item_id=None, items=[]), Reason.MISSING_ITEM),
    "no time": (wire(occurred_at_ms=None), Reason.MISSING_TIME),
    "a time without offset": (
        wire(occurred_at_ms=None, occurred_at="2026-01-31T12:00:00"),
        Reason.NAIVE_TIME,
    ),
    "a date": (wire(occurred_at_ms=None, occurred_at="2026-01-31"), Reason.NAIVE_TIME),
    "a time in words": (wire(occurred_at_ms=None, occurred_at="yesterday"), Reason.WRONG_TYPE),
    "an empty time": (wire(occurred_at_ms=None, occurred_at=""), Reason.WRONG_TYPE),
    "a time in seconds": (wire(occurred_at_ms=NOW_MS // 1000), Reason.ABSURD_TIME),
    "a time in microseconds": (wire(occurred_at_ms=NOW_MS * 1000), Reason.ABSURD_TIME),
    "a time beyond 64 bits": (wire(occurred_at_ms=2**80), Reason.ABSURD_TIME),
    "a time before time": (wire(occurred_at_ms=-(2**80)), Reason.ABSURD_TIME),
    "the year 9999": (wire(occurred_at_ms=None, occurred_at="9999-12-31T23:59:59Z"), Reason.ABSURD_TIME),
    "the year 1": (wire(occurred_at_ms=None, occurred_at="0001-01-01T00:00:00+14:00"), Reason.ABSURD_TIME),
    "a number as user": (wire(user_id=7), Reason.WRONG_TYPE),
    "a list as type": (wire(event_type=["click"]), Reason.WRONG_TYPE),
    "a float as time": (wire(occurred_at_ms=float(NOW_MS)), Reason.WRONG_TYPE),
    "text as value": (wire(value="4.5"), Reason.WRONG_TYPE),
    "a boolean as position": (wire(position=True), Reason.WRONG_TYPE),
    "a number as context": (wire(context=5), Reason.WRONG_TYPE),
    "a number among items": (wire(items=[5]), Reason.WRONG_TYPE),
    "an item without id": (wire(items=[{"value": 5}]), Reason.WRONG_TYPE),
    "a position beyond 64 bits": (wire(position=2**64), Reason.WRONG_TYPE),
    "a position far below": (wire(position=-(2**64)), Reason.WRONG_TYPE),
    "an item's position beyond 64 bits": (
        wire(items=[{"item_id": "a", "position": 2**63}]),
        Reason.WRONG_TYPE,
    ),
    "an empty user": (wire(user_id=""), Reason.BAD_ID),
    "a long user": (wire(user_id="u" * 257), Reason.BAD_ID),
    "an empty item": (wire(item_id=""), Reason.BAD_ID),
    "an empty event id": (wire(event_id=""), Reason.BAD_ID),
    "a long session": (wire(session_id="s" * 257), Reason.BAD_ID),
    "a long recommendation": (wire(recommendation_id="r" * 257), Reason.BAD_ID),
    "a long item among items": (wire(items=[{"item_id": "i" * 257}]), Reason.BAD_ID),
    "NaN": (with_raw("value", "NaN"), Reason.NON_FINITE_VALUE),
    "Infinity": (with_raw("value", "-Infinity"), Reason.NON_FINITE_VALUE),
    "a float that overflows": (with_raw("value", "1e999"), Reason.NON_FINITE_VALUE),
    "an integer that overflows a float": (with_raw("value", "1" + "0" * 400), Reason.NON_FINITE_VALUE),
    "an overflow in the context": (with_raw("context", '{"a": -1e999}'), Reason.NON_FINITE_VALUE),
    "more digits than an integer may have": (with_raw("position", "9" * 5_000), Reason.NON_FINITE_VALUE),
}


@pytest.mark.parametrize(("value", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_each_reason_has_its_bytes(value: bytes | None, reason: Reason) -> None:
    refusal = read(value)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason == reason, refusal.detail
    assert refusal.detail.endswith((".", "?")), "a sentence for a person"


def test_every_reason_of_decoding_has_an_example() -> None:
    decoding = set(Reason) - {Reason.LEARNER_FAILED}
    assert {reason for _, reason in REFUSED.values()} == decoding


def test_a_dead_letter_carries_the_record_as_it_was() -> None:
    record = Record(value=b"\xff\x00", key=b"\xfe", topic="events", partition=3, offset=42)
    letter = decoder().decode(record, NOW_MS)
    assert letter == DeadLetter(
        reason=Reason.NOT_JSON,
        detail=letter.detail,  # type: ignore[union-attr]
        topic="events",
        partition=3,
        offset=42,
        received_at_ms=NOW_MS,
        original=b"\xff\x00",
        key=b"\xfe",
    )


def test_a_nan_among_fields_that_nobody_reads_is_told_from_broken_json() -> None:
    refusal = read(wire()[:-1] + b', "mood": NaN}')
    assert isinstance(refusal, Refusal)
    assert "NaN" in refusal.detail


# --- events


def test_all_fields_arrive() -> None:
    fields = {
        "session_id": "s1",
        "recommendation_id": "r1",
        "position": 3,
        "value": 2.5,
        "context": {"device": "phone", "logged_in": True, "age": 7, "price": 0.5},
    }
    assert one(wire(**fields)) == event(**fields)


def test_a_place_below_the_first_is_no_place() -> None:
    """Some write -1 where they do not know it; an item from a list is another kind of choice."""
    assert one(wire(position=-1)) == event()


def test_unknown_fields_are_kept_out() -> None:
    assert one(wire(mood="good", nested={"a": [1]}, user_name="Ann", big=10**300)) == event()


def test_a_record_without_event_id_is_named_by_its_place() -> None:
    assert one(wire(event_id=None)).event_id == "events/0/7"


def test_a_place_longer_than_an_id_may_be_is_no_fault_of_the_record() -> None:
    assert one(wire(event_id=None), max_id_length=5).event_id == "events/0/7"


@pytest.mark.parametrize("text", ["\0", "a\0b", "‮txt.exe", "日本", "💧", "a/b?c#d", "..", " "])
def test_strange_ids_are_ids(text: str) -> None:
    assert one(wire(user_id=text, item_id=text)) == event(user=text, item=text)


def test_ids_are_measured_in_characters() -> None:
    assert one(wire(user_id="💧" * 256)).user_id == "💧" * 256


def test_several_items_become_events_of_their_own() -> None:
    items = [{"item_id": "a"}, {"item_id": "b", "value": 2.0, "position": 4}]
    events = read(wire(event_type="purchase", item_id=None, items=items, value=9.0))
    assert events == [
        event(item="a", kind="purchase", event_id="e1#0", value=9.0),
        event(item="b", kind="purchase", event_id="e1#1", value=2.0, position=4),
    ]


def test_a_single_entry_of_items_keeps_the_events_id() -> None:
    assert one(wire(item_id="other", items=[{"item_id": "a"}])) == event(item="a")


def test_a_bad_entry_refuses_the_whole_record() -> None:
    refusal = read(wire(items=[{"item_id": "a"}, {"item_id": ""}]))
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.BAD_ID


@pytest.mark.parametrize(("alias", "standard"), ALIASES.items())
def test_other_vocabularies_names_are_understood(alias: str, standard: str) -> None:
    assert one(wire(event_type=alias)).event_type == standard


@pytest.mark.parametrize("name", STANDARD_TYPES)
def test_standard_types_are_accepted_as_they_are(name: str) -> None:
    assert one(wire(event_type=name)).event_type == name


def test_a_declared_type_is_accepted() -> None:
    events = EventDecoder(["listen"]).read(wire(event_type="listen"), NOW_MS, "d")
    assert isinstance(events, list)
    assert events[0].event_type == "listen"


def test_the_context_is_flat_short_and_bounded() -> None:
    context = {
        "list": [1],
        "object": {"a": 1},
        "nothing": None,
        "k" * 65: 1,
        "k" * 64: 1,
        "text": "x" * 2_000,
        "flag": False,
    }
    assert one(wire(context=context)).context == {"k" * 64: 1, "text": "x" * 1_024, "flag": False}
    many = {f"f{n}": n for n in range(50)}
    assert one(wire(context=many)).context == {f"f{n}": n for n in range(32)}


def test_declared_context_is_kept_however_much_else_there_is() -> None:
    made = decoder(max_context_fields=3, context=["device", "country"])
    context = {"a": 1, "b": 2, "device": "phone", "c": 3, "country": "BR"}
    (found,) = made.read(wire(context=context), NOW_MS, "id")  # type: ignore[misc]
    assert found.context == {"device": "phone", "country": "BR", "a": 1}


# --- time


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2026-01-31T12:00:00Z", NOW_MS),
        ("2026-01-31T13:00:00+01:00", NOW_MS),
        ("2026-01-31 06:30:00-05:30", NOW_MS),
        ("20260131T120000Z", NOW_MS),
        ("2026-01-31T12:00:00.250+00:00", NOW_MS + 250),
        ("2026-01-31T12:00:00.000999Z", NOW_MS),
    ],
)
def test_a_time_with_an_offset_becomes_utc(text: str, expected_ms: int) -> None:
    assert one(wire(occurred_at_ms=None, occurred_at=text)).occurred_at_ms == expected_ms


@given(
    st.integers(EARLIEST_MS, NOW_MS),
    st.integers(-14 * 60, 14 * 60),
)
@example(1_098_884_438_577, 0)
@law(150)
def test_no_millisecond_is_lost_in_text(at_ms: int, offset_min: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    text = moment.astimezone(timezone(timedelta(minutes=offset_min))).isoformat()
    assert one(wire(occurred_at_ms=None, occurred_at=text)).occurred_at_ms == at_ms


@pytest.mark.parametrize(
    ("at_ms", "accepted"),
    [(EARLIEST_MS, True), (EARLIEST_MS - 1, False), (NOW_MS + DAY_MS, True), (NOW_MS + DAY_MS + 1, False)],
)
def test_the_bounds_of_time_are_sharp(at_ms: int, accepted: bool) -> None:
    assert isinstance(read(wire(occurred_at_ms=at_ms)), list) is accepted


def test_the_size_limit_is_sharp() -> None:
    value = wire()
    assert isinstance(read(value, max_bytes=len(value)), list)
    assert isinstance(read(value, max_bytes=len(value) - 1), Refusal)


def test_both_times_given_milliseconds_win() -> None:
    assert one(wire(occurred_at="1999-01-01T00:00:00")).occurred_at_ms == NOW_MS


# --- laws

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "x" * 300, "2026-01-31T12:00:00Z", "9999-12-31", "click", "Order Completed"]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = sorted(
    {
        "occurred_at",
        "items",
        "session_id",
        "recommendation_id",
        "position",
        "value",
        "context",
        "schema_version",
    }
    | json.loads(wire()).keys()
)
items = st.lists(
    st.fixed_dictionaries({"item_id": st.text(max_size=4)}, optional={"value": scalars, "position": scalars}),
    max_size=3,
)


def must_be_sound(value: bytes) -> None:
    """Whatever comes in: events that every later step can hold, or a dead letter with the bytes."""
    outcome = decoder().decode(Record(value=value), NOW_MS)
    if isinstance(outcome, DeadLetter):
        assert outcome.original == value
        assert outcome.reason in Reason
        return
    assert outcome
    assert len({one.event_id for one in outcome}) == len(outcome)
    for found in outcome:
        assert found.event_type in STANDARD_TYPES
        assert EARLIEST_MS <= found.occurred_at_ms <= NOW_MS + DAY_MS
        assert found.user_id
        assert found.item_id
        assert found.value is None or math.isfinite(found.value)
        np.array([found.position or 0, found.occurred_at_ms], np.int64)  # neither overflows
        assert decoder().read(encode_event(found), NOW_MS, "") == [found], (
            "what was accepted is accepted again"
        )


@given(st.binary(max_size=200))
@law(150)
def test_no_bytes_raise(value: bytes) -> None:
    must_be_sound(value)


@given(anything)
@law(150)
def test_no_json_raises(value: Any) -> None:
    must_be_sound(json.dumps(value).encode("utf-8", "surrogatepass"))


@given(st.dictionaries(st.sampled_from(FIELDS), st.one_of(anything, items), max_size=4))
@law(250)
def test_no_field_of_an_event_raises(fields: dict[str, Any]) -> None:
    must_be_sound(wire(**fields))


@given(st.data())
@law(250)
def test_no_damage_to_an_event_raises(data: st.DataObject) -> None:
    value = bytearray(wire(value=3.5, position=1, items=[{"item_id": "a"}], context={"a": "b"}))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    must_be_sound(bytes(value))


def test_a_record_cannot_fan_out_without_bound() -> None:
    many = [{"item_id": f"i{n}"} for n in range(501)]
    refused = decoder().read(wire(item_id=None, items=many), NOW_MS, "id")
    accepted = decoder().read(wire(item_id=None, items=many[:500]), NOW_MS, "id")
    assert isinstance(refused, Refusal)
    assert refused.reason == Reason.OVERSIZED
    assert len(accepted) == 500  # type: ignore[arg-type]


# --- when a record arrived


@dataclass(frozen=True, kw_only=True)
class Stamped(Record):
    """A record of which the broker says when it came (1), or of which its producer does (0)."""

    timestamp_type: int = 1


def times_of(record: Record, now_ms: int) -> list[int]:
    found = decoder().decode(record, now_ms)
    assert isinstance(found, list)
    return [one.occurred_at_ms for one in found]


def test_nothing_happened_after_it_arrived() -> None:
    ahead = Stamped(value=wire(occurred_at_ms=NOW_MS + 60_000))
    assert times_of(ahead, NOW_MS) == [NOW_MS]
    assert times_of(ahead, NOW_MS + 86_400_000) == [NOW_MS], "whenever it is read"
    assert times_of(Stamped(value=wire(occurred_at_ms=NOW_MS - 5)), NOW_MS) == [NOW_MS - 5]


def test_how_far_ahead_is_absurd_is_told_by_the_arrival() -> None:
    absurd = Stamped(value=wire(occurred_at_ms=NOW_MS + 86_400_001))
    letter = decoder().decode(absurd, NOW_MS + 10_000_000)
    assert isinstance(letter, DeadLetter)
    assert letter.reason is Reason.ABSURD_TIME


def test_where_the_broker_does_not_say_when_a_record_came_its_time_is_believed() -> None:
    ahead = wire(occurred_at_ms=NOW_MS + 60_000)
    assert times_of(Record(value=ahead), NOW_MS) == [NOW_MS + 60_000]
    assert times_of(Stamped(value=ahead, timestamp_type=0), NOW_MS) == [NOW_MS + 60_000]
