"""What the closed-loop benchmark makes of its marks."""

from __future__ import annotations

import pytest

from benchmarks.closed_loop import Mark, acquainted, figures, levels_after, play
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.report import ARMS

START = 5_000


def marks(rates: list[float], every: int = START) -> list[Mark]:
    """A mark after each stretch of 1,000 places in each arm; the recommended arm's rate is given."""
    made, clicks = [], 0.0
    for n, rate in enumerate([0.0, *rates]):
        clicks += 1_000.0 * rate
        names = (*ARMS, "oracle", "informed")
        places = dict.fromkeys(names, 1_000 * n)
        level = {"popularity": 0.05, "random": 0.02, "oracle": 0.4, "informed": 0.2}
        made.append(
            Mark(
                events=every * n,
                places=places,
                clicks={
                    name: clicks if name == "recommended" else level.get(name, 0.0) * 1_000 * n
                    for name in names
                },
            )
        )
    return made


def test_figures_are_those_of_the_last_part() -> None:
    found = figures(marks([0.05] * 6 + [0.1] * 4), None)
    assert found["recommended"] == pytest.approx(0.1)
    assert found["over_popularity"] == pytest.approx(2.0)
    assert found["share_of_oracle"] == pytest.approx(0.25)
    assert found["share_of_informed"] == pytest.approx(0.5)


def test_what_a_rotation_costs_is_told_by_stretches() -> None:
    run = marks([0.1] * 8 + [0.04] + [0.092] * 3 + [0.11] * 4)
    assert levels_after(run, 8 * START) == pytest.approx(
        {
            "level in 5k": 0.4,
            "level 5k-10k": 0.92,
            "level 10k-20k": 0.92,
            "level 20k-40k": 1.1,
        }
    )


def test_stretches_that_the_run_does_not_reach_are_not_told() -> None:
    assert list(levels_after(marks([0.1] * 11), 8 * START)) == ["level in 5k", "level 5k-10k"]


def test_whoever_knows_all_items_learns_the_shoppers_and_nobody_is_above_the_oracle() -> None:
    config = SimulatorConfig(shoppers=30, items=200, new_items=0.0, oracle_every=1)
    marks = play(config, 6_000, acquainted)
    last = figures(marks, None)
    assert last["recommended"] > 1.3 * last["popularity"]
    assert 0.5 < last["share_of_oracle"] <= 1.0
