"""A task is examined by what it foresaw at the impression, not by what it would say when the label comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event
from fakes import CountingLearner, pipeline, user_states

from benchmarks.drift.lives import Worker
from connectors.event import Event
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.simulation import Simulation
from learners.event_batch import EventBatch, FloatArray, Histories, IntArray
from learners.learner import Predictions
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.run import Run, run_pipeline
from stream.settings import load

CHOICES = frozenset({"click", "purchase"})


class Telling(CountingLearner):
    """Forecasts a tenth for each choice of the item so far: what it says changes with every event."""

    def describe(
        self, histories: Histories, sequence: IntArray, items: IntArray, position: IntArray
    ) -> FloatArray:
        return np.array([[0.1 * self.counts.get(int(row), 0)] for row in items], np.float32)

    def predict_many(self, batch: EventBatch) -> Predictions:
        said = super().predict_many(batch)
        assert batch.shown is not None
        assert batch.settled is not None
        return replace(said, settled_scores=np.repeat(batch.settled.shown, len(self.tasks), axis=1))


def played(events: list[Event], learner: Any = None) -> Run:
    made = pipeline(learner or Telling())
    return run_pipeline(made, user_states(), events, apply_protocol(events, CHOICES))


def at(second: int, kind: str, user: str = "ann", **fields: Any) -> Event:
    return event(user, kind=kind, occurred_at_ms=NOW_MS + 1_000 * second, **fields)


END = at(9_999, "view", "bob", item="z")


def test_the_forecast_is_the_impressions() -> None:
    acts = [at(0, "click", "bob"), at(1, "impression"), at(2, "click"), at(3, "purchase")]
    rows = played([*acts, at(62, "view", "bob", item="z"), at(602, "view", "bob", item="z")]).tasks
    assert rows.mask.tolist() == [[True, False], [False, True], [False, True]], "each as its window closes"
    ours = [n for n, came in enumerate((rows.labels * rows.mask).any(axis=1)) if came]
    assert rows.scores[ours].tolist() == [[pytest.approx(0.1, rel=1e-3)] * 2] * 2, (
        "bob's click, and not yet ann's own"
    )


def test_a_label_of_the_impressions_own_moment_is_not_seen() -> None:
    rows = played([at(0, "click", "bob"), at(1, "impression"), at(1, "click"), END]).tasks
    clicked = rows.labels[:, 0] == 1.0
    assert rows.scores[clicked, 0].tolist() == [pytest.approx(0.1, rel=1e-3)]


def test_what_became_known_in_the_warm_up_does_not_count() -> None:
    events = [at(0, "impression"), at(1, "click"), *(at(n, "impression", "bob") for n in range(62, 102))]
    rows = played([*events, END]).tasks
    assert not rows.scored[0]
    assert rows.scored[-1]


def test_a_forecast_that_is_not_finite_ends_the_run() -> None:
    class Diverged(CountingLearner):
        def predict_many(self, batch: EventBatch) -> Predictions:
            said = super().predict_many(batch)
            return replace(said, settled_scores=np.full_like(said.settled_scores, np.nan))

    with pytest.raises(FloatingPointError, match="forecast"):
        played([at(0, "impression"), at(1, "click"), END], Diverged())


def test_purchases_are_foreseen_rightly_before_any_of_their_windows_has_closed() -> None:
    """Nobody waits for negatives until positives with newer features have taught that what is new is bought."""
    settings = load()
    purchase = [task.name for task in settings.tasks].index("purchase")
    now_ms, shown, bought, foreseen = NOW_MS, 0, 0, []
    shop, worker = Simulation(SimulatorConfig(seed=1), now_ms), Worker.new(settings)
    while worker.statistics.events_seen < 8_000:
        now_ms += 4_000
        events = shop.advance(now_ms, 32)
        if not events:
            continue
        step = worker.step(events, now_ms, slates=True)
        for slate in step.recommendations:
            shop.receive(slate)
        if worker.statistics.events_seen > 4_000:
            shown += int((step.types == worker.pipeline.batcher.impression).sum())
            bought += int((step.labels * step.label_mask)[:, purchase].sum())
            foreseen += [item.scores["purchase"] for slate in step.recommendations for item in slate.items]
    assert now_ms - NOW_MS < 1_000 * settings.tasks[purchase].window_s
    assert bought > 20
    assert np.mean(foreseen) == pytest.approx(bought / shown, rel=0.6)
