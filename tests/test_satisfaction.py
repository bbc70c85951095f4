"""Which recommended places led to satisfaction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event

from connectors.event import Event
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.satisfaction import satisfaction, satisfies

CHOICES = frozenset({"click", "like", "purchase", "rating"})


def at(second: int, item: str, kind: str = "click", user: str = "ann", **fields: Any) -> Event:
    return event(user, item, kind, occurred_at_ms=NOW_MS + 1_000 * second, **fields)


@pytest.mark.parametrize(
    ("kind", "value", "satisfied"),
    [
        ("like", None, True),
        ("purchase", 0.5, True),
        ("rating", 4.0, True),
        ("rating", 3.5, False),
        ("dwell", 30.0, True),
        ("dwell", 29.0, False),
        ("dwell", None, False),
        ("click", 5.0, False),
    ],
)
def test_what_satisfies(kind: str, value: float | None, satisfied: bool) -> None:
    assert satisfies(event(kind=kind, value=value)) == satisfied


def test_a_place_counts_within_an_hour_for_its_own_user() -> None:
    events = [
        at(0, "a"),
        at(1, "b"),
        at(2, "c", user="bob"),
        at(3, "a", "like", user="bob"),  # not ann's
        at(10, "b", "like"),
        at(3_601, "a", "like"),  # an hour after the list of second 1
        at(9_000, "c", "like"),  # too late
    ]
    protocol = apply_protocol(events, CHOICES)
    a, b, c = (protocol.item_ids.index(item) for item in "abc")
    found = satisfaction(events, protocol, np.array([1]), np.array([[a, b, c, -1]], np.int32))
    assert (found.places, found.satisfying_events) == (3, 4)
    assert (found.of_places, found.of_lists) == (pytest.approx(2 / 3), 1.0)


def test_the_event_that_was_foreseen_counts_itself() -> None:
    events = [at(0, "a"), at(1, "b", "rating", value=5.0)]
    protocol = apply_protocol(events, CHOICES)
    assert satisfaction(events, protocol, np.array([1]), np.array([[1]], np.int32)).of_places == 1.0


def test_without_satisfying_events_nothing_is_told() -> None:
    events = [at(0, "a"), at(1, "b")]
    protocol = apply_protocol(events, CHOICES)
    assert math.isnan(satisfaction(events, protocol, np.array([1]), np.array([[0]], np.int32)).of_places)
