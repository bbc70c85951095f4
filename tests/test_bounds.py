"""Whom each rule forgets that `python -m benchmarks bounds` compares, and bounds that have no file of their own."""

from __future__ import annotations

from typing import Any

import pytest
from batches import START_S

from benchmarks.bounds import RULES, ByLot, play
from connectors.event import Event
from learners.row_index import RowIndex
from stream.evaluation.log import EvaluationLog
from stream.ledger import Ledger
from stream.settings import SettingsError, load


@pytest.mark.parametrize(
    ("rule", "gone"),
    [("silent for longest", "often"), ("fewest events", "once"), ("first come", "often")],
)
def test_whom_a_rule_forgets(rule: str, gone: str) -> None:
    index = RULES[rule](4)
    for id_ in ("often", "often", "often", "once", "early", "late", "once", "early", "late", "late"):
        index.admit([id_])
    if rule == "first come":
        index.admit(["often"])  # though it was seen last
    index.admit(["new"])
    assert {id_ for id_ in ("often", "once", "early", "late") if id_ not in index} == {gone}
    assert "new" in index


def test_the_lot_forgets_any() -> None:
    index = ByLot(50)
    index.admit([f"{n}" for n in range(50)])
    index.admit([f"new {n}" for n in range(10)])
    gone = [n for n in range(50) if f"{n}" not in index]
    assert len(gone) == 10
    assert max(gone) > 25 > min(gone)


def test_the_rule_of_freshet_is_the_first() -> None:
    assert next(iter(RULES.values())) is RowIndex


def test_a_log_is_played_within_bounds() -> None:
    at_ms = int(START_S * 1000)
    events = [
        Event(
            event_id=f"e{n}",
            event_type="view",
            occurred_at_ms=at_ms + 1_000 * n,
            user_id=f"u{n % 9}",
            item_id=f"i{n % 7}",
        )
        for n in range(60)
    ]
    log = EvaluationLog(name="shop", events=tuple(events), notices=())
    free, nobody = play(log)
    tight, forgotten = play(log, {"users": 4, "items": 7})
    assert nobody == {"users": 0, "items": 0}
    assert forgotten["users"] > 10
    assert forgotten["items"] == 0
    assert len(free) == len(tight) > 0


def test_places_of_refused_records_are_bounded_and_the_oldest_go_first() -> None:
    ledger = Ledger([])
    for offset in range(10_003):
        ledger.refuse(0, offset, offset)
    assert len(ledger.refused) == 10_000
    assert (0, 2) not in ledger.refused
    assert (0, 3) in ledger.refused


@pytest.mark.parametrize(
    "beyond",
    [
        {"tasks": [{"name": f"t{n}", "event_types": ["view"]} for n in range(33)]},
        {"events": {"types": {f"type{n}": {} for n in range(101)}}},
        {"events": {"context": [f"field{n}" for n in range(9)]}},
    ],
)
def test_what_settings_may_declare_is_bounded(beyond: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="at most"):
        load(overrides=beyond)
