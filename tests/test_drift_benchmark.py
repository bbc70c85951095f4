"""What the drift benchmark injects, and what it makes of curves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from builders import event

from benchmarks.drift import futures
from benchmarks.drift.injections import Drift, LogDrift, ShopDrift
from benchmarks.drift.recovery import Curve, joined, recovered_after
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.world import World
from stream.trials import DriftDecision, DriftOutcome

USERS = [f"u{n}" for n in range(40)]
ITEMS = [f"i{n}" for n in range(40)]


def curve(*levels: float) -> Curve:
    """One level in each 500 events."""
    return Curve(np.arange(len(levels)) * 500, np.array(levels), np.ones(len(levels)))


def test_recovery_is_when_the_last_3000_events_are_good_enough_again() -> None:
    assert recovered_after(curve(*[0.4] * 6, *[1.0] * 20), 1.0, 13_000) == 5_500.0
    assert recovered_after(curve(*[0.95] * 20), 1.0, 10_000) == 0.0
    assert recovered_after(curve(*[0.5] * 20), 1.0, 10_000) == math.inf
    slow = curve(*[1.0] * 10, *[0.4] * 8, *[1.0] * 20)
    assert recovered_after(slow, 1.0, 19_000, complete=4_000) == 11_500.0


def test_seeds_are_joined_by_what_was_possible() -> None:
    both = joined([Curve(np.array([0]), np.array([1.0]), np.array([3.0])), curve(1.0)])
    assert both.level(0, 1) == pytest.approx(0.5)


def test_a_log_is_rotated_by_giving_everybody_somebody_elses_events() -> None:
    events = [event(user, "i1") for user in USERS]
    told = LogDrift(Drift("taste_rotation"), USERS, ITEMS, 0).apply(events, 0)
    assert sorted(each.user_id for each in told) == sorted(USERS)
    assert not [1 for one, other in zip(events, told, strict=True) if one.user_id == other.user_id]
    gradual = LogDrift(Drift("taste_rotation", gradual=True), USERS, ITEMS, 0)
    turned = [
        sum(each.user_id != user for each, user in zip(gradual.apply(events, n), USERS, strict=True))
        for n in (0, 5_000, 10_000)
    ]
    assert turned[0] == 0 < turned[1] < turned[2] == len(USERS)


def test_churned_items_are_new_ones() -> None:
    told = LogDrift(Drift("item_churn"), USERS, ITEMS, 0).apply([event("u1", item) for item in ITEMS], 0)
    assert 5 < sum(each.item_id.startswith("new ") for each in told) < 30


@pytest.mark.parametrize(
    ("kind", "left"), [("none", 400), ("base_rate", 160), ("broken_task", 0), ("label_noise", 400)]
)
def test_carts_of_a_shop_become_rarer_vanish_or_go_astray(kind: str, left: int) -> None:
    drift = ShopDrift(Drift(kind), 0)  # type: ignore[arg-type]
    shown = [event(f"u{n}", f"i{n}", "impression") for n in range(50)]
    carts = [event("nobody", "nothing", "add_to_cart") for _ in range(400)]
    told = drift.apply([*shown, *carts], 0)
    assert [each for each in told if each.event_type == "impression"] == shown
    kept = [each for each in told if each.event_type == "add_to_cart"]
    assert len(kept) == pytest.approx(left, abs=40)
    assert {each.user_id == "nobody" for each in kept} <= {kind != "label_noise"}


def test_shoppers_turn_little_by_little_each_once() -> None:
    config = SimulatorConfig(shoppers=50, items=60)
    worlds = [World(config, 0, np.random.default_rng(1)) for _ in range(2)]
    gradual, sudden = (
        ShopDrift(Drift("taste_rotation", gradual=True), 3),
        ShopDrift(Drift("taste_rotation"), 3),
    )
    for events in range(0, 10_001, 500):
        gradual.advance(worlds[0], events)
        sudden.advance(worlds[1], events)
    assert np.array_equal(worlds[0]._mix_to, worlds[1]._mix_to)
    fresh = World(config, 0, np.random.default_rng(1))
    assert not np.array_equal(worlds[0]._mix_to, fresh._mix_to)


def test_a_past_lives_on_with_reactions_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(futures, "_QUICK_PAST", 600)
    monkeypatch.setattr(futures, "_QUICK_FUTURE", 400)
    monkeypatch.setattr(futures, "_BEFORE", 300)
    past = futures.of_shop(0, quick=True)
    with_, without = (past.future(Drift("broken_task"), reacts=reacts) for reacts in (True, False))
    assert past.level > 0.0
    for future in (with_, without):
        assert future.events >= 400
        assert future.quality.possible.sum() > 0.0
        assert len(future.hits.events) == len(set(future.hits.events.tolist()))
    assert past.future(Drift("broken_task"), reacts=True) is with_, "each is lived once"


def test_reactions_that_serve_are_counted_whether_at_once_or_later() -> None:
    given: dict[str, Any] = {"finding": 1, "reaction": "histories", "task": "", "events": 5}
    given |= {"decided_at_ms": 0, "event_time_ms": 0}
    turn: dict[str, Any] = {"since_ms": 0, "rate": 1.0, "weight": 1.0, "until_events": 9}
    compared: dict[str, Any] = {"compared": 40, "difference": 0.1, "deviations": 3.0}
    records = [
        DriftDecision(decision="acted", at_once=True, **given, **turn),
        DriftDecision(decision="busy", at_once=True, **given, **turn),
        DriftDecision(decision="acted", at_once=False, **given, **turn),
        DriftOutcome(outcome="serves", **given, **compared),
        DriftOutcome(outcome="undone", **given, **compared),
    ]
    future = futures.Future(1, curve(1.0), curve(1.0), records, 0)
    assert (future.reactions, future.served, future.undone) == (2, 2, 1)
