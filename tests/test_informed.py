"""The bound of who knows everything but the intent: Bayes by hand, and between any guess and the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.simulator.config import SimulatorConfig
from connectors.simulator.informed import Informed
from connectors.simulator.simulation import Simulation
from connectors.simulator.world import World

START_MS = 1_700_000_000_000


def undecided() -> tuple[World, Informed, int]:
    """A world, and a shopper whose visit can be for several things."""
    world = World(SimulatorConfig(shoppers=60, items=150), START_MS, np.random.default_rng(3))
    shopper = next(slot for slot in range(60) if len(world.intents(slot)[0]) >= 2)
    informed = Informed(world)
    world.begin_visit(shopper, START_MS)
    informed.begin_visit(shopper)
    return world, informed, shopper


def test_the_true_taste_is_that_of_one_of_the_intents() -> None:
    world, informed, shopper = undecided()
    prior, tastes = world.intents(shopper)
    assert prior.sum() == pytest.approx(1.0)
    assert np.abs(tastes - world.tastes[shopper]).max(axis=1).min() == pytest.approx(0.0, abs=1e-12)
    assert informed.posterior(shopper) == pytest.approx(prior)


def test_views_and_clicks_move_the_posterior_as_bayes_says() -> None:
    world, informed, shopper = undecided()
    prior, tastes = world.intents(shopper)
    logits = np.stack([world.logits(shopper, START_MS, taste=taste) for taste in tastes])
    informed.viewed(shopper, 7, START_MS)
    informed.clicked(shopper, 9, START_MS)
    view = np.exp(2 * logits[:, 7]) / np.exp(2 * logits).mean(axis=1)
    click = 1.0 / (1.0 + np.exp(-logits[:, 9]))
    expected = prior * view * click
    assert informed.posterior(shopper) == pytest.approx(expected / expected.sum())
    informed.begin_visit(shopper)
    assert informed.posterior(shopper) == pytest.approx(prior), "a new visit begins from the mix"


def test_its_slate_is_the_best_for_what_it_believes() -> None:
    world, informed, shopper = undecided()
    informed.viewed(shopper, 7, START_MS)
    logits = np.stack([world.logits(shopper, START_MS, taste=taste) for taste in world.intents(shopper)[1]])
    worth = informed.posterior(shopper) @ (1.0 / (1.0 + np.exp(-logits)))
    assert informed.best_slate(shopper, START_MS).tolist() == np.argsort(-worth)[:10].tolist()


def test_it_lies_between_popularity_and_the_oracle() -> None:
    simulation = Simulation(SimulatorConfig(shoppers=300, items=200, oracle_every=1), START_MS)
    for tick in range(1, 1_500):
        simulation.advance(START_MS + 4_000 * tick, 16)
    rates = simulation.report().click_rate
    assert rates.informed is not None
    assert rates.oracle is not None
    assert rates.popularity is not None
    assert rates.popularity < rates.informed < rates.oracle
    assert 0.6 < rates.informed / rates.oracle < 0.95
