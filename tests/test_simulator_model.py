"""The truth behind the simulated shop: click model, tastes, labels, popularity, windows and clock."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulator.clock import SimulatedClock
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.popularity import DecayedPopularity
from connectors.simulator.report import Tally
from connectors.simulator.sessions import labels_of_click
from connectors.simulator.world import World

START_MS = 1_700_000_000_000
SMALL = SimulatorConfig(shoppers=200, items=150)
HOUR_MS = 3_600_000


@settings(max_examples=50)
@given(attraction=st.floats(0.0, 1.0), label_delay=st.floats(0.001, 100.0), seed=st.integers(0, 10_000))
def test_labels_of_a_click_follow_their_causes(attraction: float, label_delay: float, seed: int) -> None:
    labels = labels_of_click(attraction, label_delay, np.random.default_rng(seed))
    at_ms = {label.event_type: label.after_ms for label in labels}
    assert len(at_ms) == len(labels)
    assert min(at_ms.values()) >= 1
    assert "purchase" not in at_ms or at_ms["add_to_cart"] < at_ms["purchase"]
    assert "rating" not in at_ms or at_ms.get("purchase", at_ms["dwell"]) < at_ms["rating"]


@settings(max_examples=60, deadline=None)
@given(
    shopper=st.integers(0, 39), seed=st.integers(0, 1_000), clicked=st.lists(st.integers(0, 59), max_size=8)
)
def test_no_slate_expects_more_than_the_oracles(shopper: int, seed: int, clicked: list[int]) -> None:
    world = World(replace(SMALL, shoppers=40, items=60), START_MS, np.random.default_rng(1))
    for item in clicked:
        world.remember_click(shopper, item, START_MS)
    now_ms = START_MS + 60_000
    slate, best = world.best_slate(shopper, now_ms)
    assert best == pytest.approx(world.expected_clicks(shopper, slate, now_ms))
    other = np.random.default_rng(seed).choice(60, 10, replace=False)
    assert world.expected_clicks(shopper, other, now_ms) <= best + 1e-12


def test_a_clicked_item_is_less_attractive_for_a_while_and_a_bought_one_for_long() -> None:
    world = World(SMALL, START_MS, np.random.default_rng(0))
    items = np.arange(3)
    before = world.logits(0, START_MS, items)
    world.remember_click(0, 0, START_MS)
    world.remember_purchase(0, 1, START_MS)
    now, day = (world.logits(0, START_MS + later, items) - before for later in (1_000, 24 * HOUR_MS))
    assert now[0] < -3.0
    assert now[1] < -6.0
    assert day[0] == pytest.approx(0.0, abs=0.05)
    assert day[1] < -5.0
    assert now[2] == day[2] == 0.0
    assert world.satiated(0, START_MS + 24 * HOUR_MS) == {1}


def test_rotation_gives_everybody_other_favourites() -> None:
    world = World(SMALL, START_MS, np.random.default_rng(0))
    before = world.tastes.copy()
    favourites = (before @ world.categories.T).argmax(axis=1)
    world.rotate()
    after = (world.tastes @ world.categories.T).argmax(axis=1)
    assert (favourites != after).mean() > 0.9
    assert np.allclose(np.linalg.norm(world.tastes, axis=1), 1.0)


def test_tastes_drift_gradually_or_not_at_all() -> None:
    moved = []
    for drift in (0.0, 0.05):
        world = World(replace(SMALL, drift=drift), START_MS, np.random.default_rng(0))
        before = world.tastes.copy()
        for hour in (1, 8):
            for slot in range(200):
                world.begin_visit(slot, START_MS + hour * HOUR_MS)
            # The intent of a visit moves the taste as well: what is left is the same in both worlds.
            moved.append(float((before * world.tastes).sum(axis=1).mean()))
    steady_1, steady_8, drift_1, drift_8 = moved
    assert steady_8 == pytest.approx(steady_1, abs=0.03)
    assert drift_1 == pytest.approx(steady_1, abs=0.03)
    assert drift_8 < steady_8 - 0.02


@settings(max_examples=30)
@given(clicks=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400 * HOUR_MS)), max_size=60))
def test_popularity_is_the_decayed_count(clicks: list[tuple[int, int]]) -> None:
    popularity = DecayedPopularity(10, 3_600.0, 0, np.random.default_rng(0))
    clicks.sort(key=lambda click: click[1])
    for slot, at_ms in clicks:
        popularity.add(slot, at_ms)
    now_ms = clicks[-1][1] if clicks else 0
    exact = np.zeros(10)
    for slot, at_ms in clicks:
        exact[slot] += 2.0 ** (-(now_ms - at_ms) / HOUR_MS)
    ranked = exact[popularity.top(10)]
    # Counts below the tie-breaking noise have no order of their own.
    assert all(ranked[i] >= ranked[i + 1] - 1e-6 for i in range(9))


def test_windows_stay_few_and_lose_nothing() -> None:
    tally = Tally(START_MS, 60.0)
    for minute in range(1_000):
        tally.page("random", 10, 0, 1, START_MS + minute * 60_000)
    windows = tally.windows()
    assert len(windows) <= 60
    assert sum(window.places["random"] for window in windows) == 10_000
    assert all(one.end_ms == two.start_ms for one, two in pairwise(windows))
    assert tally.rates.random == pytest.approx(0.1)


def test_the_clock_runs_fast_and_never_overtakes_the_wall_clock() -> None:
    wall_ms = 1_000_000_000
    clock = SimulatedClock(lambda: wall_ms, scale=60.0, start_ms=wall_ms - 120_000)
    assert clock.now_ms() == wall_ms - 120_000
    wall_ms += 1_000
    assert clock.now_ms() == wall_ms - 1_000 - 120_000 + 60_000
    wall_ms += 60_000
    assert clock.now_ms() == wall_ms
    wall_ms += 1
    assert clock.now_ms() == wall_ms, "having caught up, it runs at the pace of the wall clock"
    ending = SimulatedClock.ending_now(lambda: wall_ms, scale=60.0, duration_s=10.0)
    assert ending.now_ms() == wall_ms - 600_000
    with pytest.raises(ValueError, match="scale"):
        SimulatedClock(lambda: wall_ms, scale=0.0)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"shoppers": 0}, "shoppers is 0"),
        ({"places": 200}, r"places is 200: it must be at most the number of items \(150\)"),
        ({"cold_users": 1.5}, "cold_users is 1.5"),
        ({"drift": float("nan")}, "drift is nan"),
        ({"label_delay": 0.0}, "label_delay is 0.0: it must be more than 0"),
        ({"rotate_at": 0}, "rotate_at is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"popularity_share": 0.7, "random_share": 0.7}, "together are 1.4"),
    ],
)
def test_an_impossible_shop_is_refused(fields: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **fields)  # type: ignore[arg-type]
