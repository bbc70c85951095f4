"""What events say of their moment, as text and as buckets."""

from __future__ import annotations

import pytest
from builders import event

from connectors.event import ContextValue
from learners.context_fields import NO_CONTEXT, ContextFields
from stream.context_columns import context_columns, context_text

FIELDS = ContextFields(names=("device", "logged_in"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("mobile", "mobile"),
        ("", ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0, "0"),
        (1.0, "1"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (1e16, "10000000000000000"),
        (float("nan"), ""),
        (float("inf"), ""),
        (10**17, "100000000000000000"),
        (10**400, ""),
        pytest.param(-(10**5_000), "", id="more digits than an int may show"),
    ],
)
def test_values_as_text(value: ContextValue, text: str) -> None:
    assert context_text(value) == text


def test_declared_fields_become_columns_and_others_do_not() -> None:
    events = [
        event(context={"device": "mobile", "logged_in": True, "screen": 5}),
        event(context={"logged_in": 1, "device": "mobile"}),
        event(context={"device": ""}),
        event(),
    ]
    mobile, known, one = (
        FIELDS.bucket(*pair) for pair in (("device", "mobile"), ("logged_in", "true"), ("logged_in", "1"))
    )
    assert context_columns(events, FIELDS).tolist() == [[mobile, known], [mobile, one], [0, 0], [0, 0]]
    assert known != one, "true is not 1, though Python says so"


@pytest.mark.parametrize("fields", [FIELDS, NO_CONTEXT])
def test_columns_have_their_shape_where_there_is_nothing_too(fields: ContextFields) -> None:
    assert context_columns([], fields).shape == (0, len(fields))
    assert context_columns([event(context={"device": "mobile"})], fields).shape == (1, len(fields))
