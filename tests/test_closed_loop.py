"""What the closed-loop benchmark makes of its marks."""

from __future__ import annotations

import math

import pytest

from benchmarks.closed_loop import Mark, figures, recovered_after
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
    found = figures(marks([0.0] * 6 + [0.1] * 4), None)
    assert found["recommended"] == pytest.approx(0.1)
    assert found["over_popularity"] == pytest.approx(2.0)
    assert found["share_of_oracle"] == pytest.approx(0.25)
    assert found["share_of_informed"] == pytest.approx(0.5)
    assert math.isnan(found["recovered_after"])


def test_a_rotation_is_over_when_nine_tenths_are_back() -> None:
    run = marks([0.1] * 8 + [0.04] * 4 + [0.092] * 8)
    assert recovered_after(run, 8 * START) == 8 * START
    assert recovered_after(marks([0.1] * 16), 8 * START) == 4 * START, "the first stretch behind it"


def test_a_loss_that_stays_is_never_made_good() -> None:
    assert recovered_after(marks([0.1] * 8 + [0.08] * 10), 8 * START) == math.inf
