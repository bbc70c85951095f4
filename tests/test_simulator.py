"""The simulated shop: its laws, its switches, and that there is something personal to learn in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.event import Event
from connectors.recommendation import ModelVersion, Recommendation, RecommendedItem
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.report import SimulatorReport
from connectors.simulator.sessions import labels_of_click
from connectors.simulator.simulation import Simulation

START_MS = 1_700_000_000_000
SMALL = SimulatorConfig(shoppers=200, items=150)
HOUR_MS = 3_600_000


def simulate(
    config: SimulatorConfig, *, steps: int = 400, step_ms: int = 2_000, limit: int = 40
) -> tuple[Simulation, list[Event]]:
    simulation = Simulation(config, START_MS)
    events: list[Event] = []
    for step in range(1, steps + 1):
        events += simulation.advance(START_MS + step * step_ms, limit)
    return simulation, events


def slate_for(user_id: str, item_ids: list[str], recommendation_id: str = "r") -> Recommendation:
    return Recommendation(
        recommendation_id=recommendation_id,
        user_id=user_id,
        generated_at_ms=START_MS,
        trigger_event_id="e",
        model=ModelVersion(version="v", step=1),
        outcome="ok",
        items=[
            RecommendedItem(item_id=item, rank=rank, score=1.0, source="test")
            for rank, item in enumerate(item_ids)
        ],
    )


@pytest.fixture(scope="module")
def whole() -> tuple[Simulation, list[Event]]:
    """A shop of the default size, for an hour and some."""
    return simulate(SimulatorConfig(), steps=800, step_ms=5_000, limit=60)


def test_the_same_seed_and_calls_give_the_same_events() -> None:
    one, again, other = (simulate(replace(SMALL, seed=seed), steps=50)[1] for seed in (3, 3, 4))
    assert one == again
    assert one != other


def test_events_come_in_the_order_of_time_and_never_from_the_future(
    whole: tuple[Simulation, list[Event]],
) -> None:
    simulation, events = whole
    times = [event.occurred_at_ms for event in events]
    assert times == sorted(times)
    assert times[0] >= START_MS
    assert times[-1] <= simulation.now_ms
    assert len({event.event_id for event in events}) == len(events)


@settings(max_examples=15, deadline=None)
@given(calls=st.lists(st.tuples(st.integers(-1_000, 30_000), st.integers(0, 50)), max_size=40))
def test_a_call_keeps_its_limit_and_the_order_of_time_whatever_the_calls(
    calls: list[tuple[int, int]],
) -> None:
    simulation = Simulation(replace(SMALL, shoppers=20, items=20, new_items=100.0, cold_users=0.3), START_MS)
    now_ms = last_ms = START_MS
    for step_ms, limit in calls:
        now_ms += step_ms
        events = simulation.advance(now_ms, limit)
        assert len(events) <= limit
        for event in events:
            assert last_ms <= event.occurred_at_ms <= simulation.now_ms
            last_ms = event.occurred_at_ms


def test_no_label_comes_before_its_cause(whole: tuple[Simulation, list[Event]]) -> None:
    causes = {
        "click": "impression",
        "dwell": "click",
        "add_to_cart": "click",
        "purchase": "add_to_cart",
        "rating": "click",
    }
    seen: dict[tuple[str, str | None, str], int] = {}
    for event in whole[1]:
        # The view of an own search leads to what a click leads to.
        kind = "click" if event.event_type == "view" else event.event_type
        if event.event_type in causes:
            cause_ms = seen[causes[event.event_type], event.session_id, event.item_id]
            assert cause_ms < event.occurred_at_ms
        seen[kind, event.session_id, event.item_id] = event.occurred_at_ms


def test_labels_name_the_slate_place_that_caused_them() -> None:
    # With a fixed choice of items a slate keeps its places; otherwise the next item moves up.
    simulation = Simulation(replace(SMALL, new_items=0.0), START_MS)
    shoppers = list(dict.fromkeys(event.user_id for event in simulate(SMALL)[1]))
    for number, user_id in enumerate(shoppers):
        simulation.receive(slate_for(user_id, simulation.best_slate(user_id), f"r{number}"))
    events = [event for step in range(1, 300) for event in simulation.advance(START_MS + 2_000 * step, 40)]
    shown = {
        (event.recommendation_id, event.position): (event.user_id, event.item_id)
        for event in events
        if event.event_type == "impression" and event.recommendation_id
    }
    caused = Counter(event.event_type for event in events if event.recommendation_id)
    assert {"impression", "click", "dwell", "add_to_cart", "purchase"} <= set(caused)
    for event in events:
        if event.recommendation_id:
            assert shown[event.recommendation_id, event.position] == (event.user_id, event.item_id)


def test_values_are_seconds_of_dwell_and_stars_of_rating(whole: tuple[Simulation, list[Event]]) -> None:
    for event in whole[1]:
        if event.event_type == "dwell":
            assert event.value is not None
            assert 0.0 < event.value <= 600.0
        elif event.event_type == "rating":
            assert event.value in (1.0, 2.0, 3.0, 4.0, 5.0)
        else:
            assert event.value is None


def test_label_delay_multiplies_the_delays_and_not_the_dwell() -> None:
    plain, slow = (labels_of_click(0.5, delay, np.random.default_rng(7)) for delay in (1.0, 10.0))
    assert [label.value for label in plain] == [label.value for label in slow]
    assert slow[0].after_ms == pytest.approx(10 * plain[0].after_ms, rel=0.01)
    delays = []
    for label_delay in (1.0, 5.0):
        shown: dict[tuple[str | None, str], int] = {}
        waits = []
        for event in simulate(replace(SMALL, label_delay=label_delay))[1]:
            key = (event.session_id, event.item_id)
            if event.event_type == "impression":
                shown[key] = event.occurred_at_ms
            elif event.event_type == "click":
                waits.append(event.occurred_at_ms - shown[key])
        delays.append(np.median(waits))
    assert 3.0 < delays[1] / delays[0] < 7.0


def test_the_arms_have_their_shares(whole: tuple[Simulation, list[Event]]) -> None:
    report = whole[0].report()
    assert report.shoppers_per_arm == {"recommended": 1_600, "popularity": 200, "random": 200}
    shown = {arm: counts.impressions for arm, counts in report.arms.items()}
    total = sum(shown.values())
    assert shown["popularity"] / total == pytest.approx(0.1, abs=0.03)
    assert shown["random"] / total == pytest.approx(0.1, abs=0.03)
    assert shown["recommended"] == 0, "nothing was recommended, so nothing counts as recommended"


def test_the_report_counts_what_was_published(whole: tuple[Simulation, list[Event]]) -> None:
    simulation, events = whole
    report = simulation.report()
    assert report.events == len(events)
    types = Counter(event.event_type for event in events)
    impressions = sum(arm.impressions for arm in report.arms.values())
    clicks = sum(arm.clicks for arm in report.arms.values())
    assert 0 <= impressions - types["impression"] <= 10, "a page may be cut by the limit of the last call"
    assert 0 <= clicks - types["click"] <= 0.01 * clicks, "a click may still be to come"
    for arm, counts in report.arms.items():
        assert (
            sum(window.places[arm] for window in report.windows) == counts.impressions + counts.empty_places
        )


def test_random_is_worst_then_popularity_then_the_oracle(whole: tuple[Simulation, list[Event]]) -> None:
    report = whole[0].report()
    # Without a recommender the fallback shows popular items as well: together they are a better measure.
    popular = [report.arms["popularity"], report.arms["fallback"]]
    popularity = sum(arm.clicks for arm in popular) / sum(arm.impressions for arm in popular)
    random, oracle = report.click_rate.random, report.click_rate.oracle
    assert random is not None
    assert oracle is not None
    assert 0.015 < random < 0.035
    assert 0.04 < popularity < 0.09
    assert 1.5 < popularity / random < 3.5
    assert 2.5 < oracle / popularity < 5.5


def with_the_truth(config: SimulatorConfig, *, steps: int) -> SimulatorReport:
    """A loop in which everybody gets the best slate of the moment."""
    simulation = Simulation(config, START_MS)
    users: set[str] = set()
    for step in range(1, steps + 1):
        events = simulation.advance(START_MS + step * 2_000, 40)
        users.update(event.user_id for event in events)
        for user_id in {event.user_id for event in events}:
            simulation.receive(slate_for(user_id, simulation.best_slate(user_id)))
    return simulation.report()


def test_personal_slates_are_clicked_far_more_than_popular_ones() -> None:
    report = with_the_truth(replace(SMALL, popularity_share=0.3, random_share=0.2), steps=450)
    assert report.lift_over_popularity is not None
    assert report.lift_over_random is not None
    assert report.share_of_oracle is not None
    assert report.lift_over_popularity > 0.8
    assert report.lift_over_random > 2.5
    assert 0.6 < report.share_of_oracle < 1.05
    assert report.recommendations > 0


def test_rotation_comes_with_its_event_and_makes_old_slates_worse() -> None:
    rates = []
    for rotate_at in (None, 1_500):
        simulation = Simulation(replace(SMALL, rotate_at=rotate_at, drift=0.0), START_MS)
        users = sorted({event.user_id for event in simulate(SMALL)[1]})
        for user_id in users:
            simulation.receive(slate_for(user_id, simulation.best_slate(user_id)))
        step = 0
        while simulation.report().events < 8_000:
            step += 1
            simulation.advance(START_MS + step * 2_000, 40)
        rates.append(simulation.report().click_rate.recommended)
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[1] < 0.8 * rates[0]


def test_new_items_appear_and_old_ones_leave() -> None:
    simulation, events = simulate(replace(SMALL, new_items=200.0), steps=500, step_ms=5_000)
    report = simulation.report()
    born = report.items - SMALL.items
    assert 80 < born < 210
    names = {f"w0-i{number:05d}" for number in range(SMALL.items, report.items)}
    assert names & {event.item_id for event in events}
    assert names <= set(simulation.titles), "a new item has a title at once"
    assert len(simulation.titles) <= 4 * SMALL.items


def test_a_slate_leaves_out_what_is_no_longer_sold() -> None:
    simulation = Simulation(replace(SMALL, new_items=2_000.0), START_MS)
    users = sorted({event.user_id for event in simulate(SMALL)[1]})
    for user_id in users:
        simulation.receive(slate_for(user_id, ["gone", *simulation.best_slate(user_id)]))
    events = [event for step in range(1, 120) for event in simulation.advance(START_MS + step * 8_000, 40)]
    recommended = simulation.report().arms["recommended"]
    assert recommended.empty_places > 0
    assert "gone" not in {event.item_id for event in events}
    assert recommended.click_rate == recommended.clicks / (recommended.impressions + recommended.empty_places)


def test_the_best_slate_is_worth_most_and_what_nobody_sees_nothing(
    whole: tuple[Simulation, list[Event]],
) -> None:
    simulation, _ = whole
    seen = 0
    for user_id in simulation.world.shopper_ids[:50]:
        ideal = simulation.best_slate(user_id)
        found = [simulation.worth(slate_for(user_id, items)) for items in (ideal, ideal[::-1], ["gone"], [])]
        if found[0] is None:
            assert found == [None] * 4, "of an arm that sees other slates"
            continue
        seen += 1
        (most, best), (less, _), (gone, _), (none, _) = (worth for worth in found if worth is not None)
        assert most == pytest.approx(best)
        assert 0.0 < less < most
        assert gone == none == 0.0
    assert seen > 10
    assert simulation.worth(slate_for("nobody", [])) is None


def test_cold_users_are_new_and_few_return() -> None:
    simulation, events = simulate(replace(SMALL, cold_users=0.5))
    report = simulation.report()
    assert report.shoppers - SMALL.shoppers == pytest.approx(0.5 * report.sessions, rel=0.25)
    assert len({event.user_id for event in events}) > SMALL.shoppers / 2
    assert sum(report.shoppers_per_arm.values()) == SMALL.shoppers


@pytest.mark.parametrize(
    ("config", "step_ms", "limit"),
    [
        pytest.param(SimulatorConfig(), 1_200, 20, id="a minute in a second"),
        pytest.param(replace(SMALL, shoppers=300), 12_000, 4, id="ten minutes in a second"),
    ],
)
def test_the_rate_is_kept_once_visits_are_under_way(
    config: SimulatorConfig, step_ms: int, limit: int
) -> None:
    simulation = Simulation(config, START_MS)
    counts = [len(simulation.advance(START_MS + step * step_ms, limit)) for step in range(1, 1_801)]
    assert simulation.report().events == sum(counts)
    assert max(counts) <= limit
    assert np.mean(counts[150:]) > 0.93 * limit


def test_two_runs_of_a_seed_share_shoppers_and_no_event_id() -> None:
    early, late = (Simulation(SMALL, start_ms) for start_ms in (START_MS, START_MS + HOUR_MS))
    one = early.advance(START_MS + 60_000, 500)
    two = late.advance(START_MS + HOUR_MS + 60_000, 500)
    assert not {event.event_id for event in one} & {event.event_id for event in two}
    assert {event.user_id for event in one} & {event.user_id for event in two}
    assert early.titles == late.titles
