"""Rows on the wire: what is written is what is read."""

from __future__ import annotations

import json

import pytest
from builders import NOW_MS, decoder, event
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.dead_letter import DeadLetter, Reason, decode_dead_letter, encode_dead_letter
from connectors.event import Event, encode_event
from connectors.event_types import ALIASES, STANDARD_TYPES, canonical_type
from connectors.recommendation import (
    ModelVersion,
    Recommendation,
    RecommendedItem,
    decode_recommendation,
    encode_recommendation,
)

ids = st.text(min_size=1, max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
int64 = st.integers(-(2**63), 2**63 - 1)

events = st.builds(
    Event,
    event_id=ids,
    event_type=st.sampled_from(STANDARD_TYPES),
    occurred_at_ms=st.integers(NOW_MS - 10**11, NOW_MS),
    user_id=ids,
    item_id=ids,
    session_id=st.none() | ids,
    recommendation_id=st.none() | ids,
    position=st.none() | st.integers(-1, 2**31 - 1),
    value=st.none() | numbers,
    context=st.dictionaries(
        st.text(max_size=8), st.booleans() | int64 | numbers | st.text(max_size=8), max_size=3
    ),
)
slates = st.builds(
    Recommendation,
    recommendation_id=ids,
    user_id=ids,
    generated_at_ms=int64,
    trigger_event_id=ids,
    model=st.builds(ModelVersion, version=ids, step=int64),
    outcome=st.sampled_from(["ok", "fallback"]),
    items=st.lists(
        st.builds(
            RecommendedItem,
            item_id=ids,
            rank=st.integers(0, 200),
            score=numbers,
            source=ids,
            propensity=st.floats(0.0, 1.0),
            scores=st.dictionaries(ids, numbers, max_size=2),
            because=st.none() | ids,
        ),
        max_size=3,
    ),
)
letters = st.builds(
    DeadLetter,
    reason=st.sampled_from(list(Reason)),
    detail=st.text(max_size=20),
    topic=ids,
    partition=st.integers(0, 100),
    offset=int64,
    received_at_ms=int64,
    original=st.binary(max_size=40),
    key=st.none() | st.binary(max_size=10),
)


@given(events)
@law(60)
def test_a_written_event_is_read_as_it_was(written: Event) -> None:
    assert decoder().read(encode_event(written), NOW_MS, "nowhere") == [written]


@given(slates)
@law(60)
def test_a_written_recommendation_is_read_as_it_was(written: Recommendation) -> None:
    assert decode_recommendation(encode_recommendation(written)) == written


@given(letters)
@law(60)
def test_a_written_dead_letter_is_read_as_it_was(written: DeadLetter) -> None:
    assert decode_dead_letter(encode_dead_letter(written)) == written


def test_an_event_leaves_out_what_it_does_not_have() -> None:
    assert json.loads(encode_event(event())) == {
        "event_id": "e1",
        "event_type": "click",
        "occurred_at_ms": NOW_MS,
        "user_id": "ann",
        "item_id": "tea",
    }


def test_a_dead_letters_bytes_are_base64() -> None:
    letter = DeadLetter(
        reason=Reason.NOT_JSON,
        detail="d",
        topic="t",
        partition=0,
        offset=1,
        received_at_ms=2,
        original=b"\xff\x00",
    )
    body = json.loads(encode_dead_letter(letter))
    assert (body["original"], body["key"], body["reason"]) == ("/wA=", None, "not_json")


def test_rows_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        event().user_id = "eve"  # type: ignore[misc]


def test_a_recommendation_without_its_items_is_refused() -> None:
    with pytest.raises(ValueError, match="items"):
        decode_recommendation(
            b'{"recommendation_id": "r", "user_id": "u", "generated_at_ms": 1}'[:-1]
            + b', "trigger_event_id": "e", "model": {"version": "1", "step": 1}, "outcome": "ok"}'
        )


def test_every_alias_leads_to_a_standard_type_and_hides_none() -> None:
    assert set(ALIASES.values()) <= set(STANDARD_TYPES)
    assert not set(ALIASES) & set(STANDARD_TYPES)


def test_a_name_without_alias_is_its_own() -> None:
    assert canonical_type("teleport") == "teleport"
