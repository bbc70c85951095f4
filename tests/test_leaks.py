"""Nothing that is predicted of an event knows that event or a later one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from batches import shop, take
from builders import NOW_MS, event
from fakes import pipeline, user_states
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from models import SMALL, learner, taught

from connectors.event import Event
from learners.event_batch import EventBatch
from learners.learner import Predictions
from learners.learner_config import LearnerConfig
from learners.multitask import MultiTaskConfig
from learners.online_learner import OnlineLearner
from learners.row_index import ABSENT
from stream.pipeline import Step

ITEMS = 20
Make = Callable[[], OnlineLearner]


class CountsFirst(OnlineLearner):
    """Cheats: it counts a batch's choices before it predicts them."""

    def predict_many(self, batch: EventBatch) -> Predictions:
        sequence = batch.sequence[batch.target]
        self._ensure(batch.histories, batch.item_rows)
        self._counts.learn_many(
            batch.histories.users[sequence],
            batch.item_rows[batch.target],
            batch.histories.now_s[sequence],
            batch.histories.item_rows[sequence],
        )
        return super().predict_many(batch)


class LooksAtTheItem(OnlineLearner):
    """Cheats: it takes the chosen item into the user's history."""

    def predict_many(self, batch: EventBatch) -> Predictions:
        histories = batch.histories.take(batch.sequence)
        histories.item_rows[:, -1] = batch.item_rows
        return super().predict_many(replace(batch, histories=histories, sequence=np.arange(len(batch))))


def cheat(kind: type[OnlineLearner]) -> OnlineLearner:
    return kind(learner().tasks, LearnerConfig(**SMALL, multitask=MultiTaskConfig()))


# --- within a batch: histories are given, so that an item can be changed alone


def same_evidence(one: Predictions, other: Predictions) -> bool:
    """Whether the candidates, what speaks for them and their scores are the same bit for bit."""
    pairs = [
        (one.targets, other.targets),
        (one.candidates.rows, other.candidates.rows),
        (one.candidates.evidence, other.candidates.evidence),
        (one.candidates.sources, other.candidates.sources),
        (one.features, other.features),
        (one.scores, other.scores),
    ]
    return all(np.array_equal(first, second) for first, second in pairs)


@cache
def trained() -> OnlineLearner:
    """Asked only, so that tests can share it."""
    model = learner()
    taught(model, shop()[:-1])
    model.predict_many(shop()[-1][0])  # room for all items
    return model


def with_other_items(batch: EventBatch, row: int, item: int) -> EventBatch:
    changed = take(batch, np.arange(len(batch)))
    changed.item_rows[row] = item
    return changed


@given(st.data())
@law(30)
def test_candidates_and_features_do_not_know_what_was_chosen(data: st.DataObject) -> None:
    model, batch = trained(), take(shop()[-1][0], np.arange(len(shop()[-1][0])))
    plain = model.predict_many(batch)
    n = data.draw(st.integers(0, len(plain.targets) - 1))
    row = int(plain.targets[n])
    item = data.draw(st.integers(0, int(batch.item_rows.max())))
    found = model.predict_many(with_other_items(batch, row, item))
    assert same_evidence(plain, found)
    others = np.delete(np.arange(len(plain.targets)), n)
    assert found.ranks[others].tolist() == plain.ranks[others].tolist()
    assert found.known[others].tolist() == plain.known[others].tolist()
    assert np.array_equal(found.task_scores, plain.task_scores)
    rows, scores = plain.candidates.rows[n], plain.scores[n]
    own = scores[rows == item]
    assert found.ranks[n] == ((scores >= own[0]).sum() - 1 if len(own) else -1), "only its rank is another"


@given(st.integers(0, 1_000))
@law(15)
def test_what_is_foreseen_of_labels_does_not_know_them(seed: int) -> None:
    model, batch = trained(), shop()[-1][0]
    rng = np.random.default_rng(seed)
    other = replace(batch, labels=rng.random(batch.labels.shape).astype(np.float32))
    plain, found = model.predict_many(batch), model.predict_many(other)
    assert np.array_equal(plain.task_scores, found.task_scores)
    assert np.array_equal(plain.shown, found.shown)
    assert same_evidence(plain, found)


@pytest.mark.parametrize("kind", [CountsFirst, LooksAtTheItem])
def test_who_looks_ahead_is_found_out(kind: type[OnlineLearner]) -> None:
    batch = take(shop()[4][0], np.arange(len(shop()[4][0])))
    row = int(np.flatnonzero(batch.target)[0])
    found = []
    for item in (int(batch.item_rows[row]), int(batch.item_rows[row] + 1) % 10):
        model = cheat(kind)
        taught(model, shop()[:4])
        found.append(model.predict_many(with_other_items(batch, row, item)))
    assert not same_evidence(*found)


# --- in a stream: what comes later is another world


def world(seed: int, count: int) -> list[Event]:
    """Events on a few items by a few users; all of them are met in the beginning."""
    rng = np.random.default_rng(seed)
    events = []
    for n in range(count):
        item = n if n < ITEMS else int(ITEMS * rng.random() ** 2)
        events.append(
            event(
                f"u{n % 5 if n < ITEMS else rng.integers(5)}",
                f"i{item}",
                "click"
                if n < ITEMS
                else str(rng.choice(["impression", "click", "purchase"], p=[0.3, 0.5, 0.2])),
                event_id=f"e{n}",
                occurred_at_ms=NOW_MS + 20_000 * n,
            )
        )
    return events


def lived(make: Make, events: list[Event], size: int = 8) -> list[Step]:
    line, states = pipeline(make()), user_states()
    return [line.step(events[start : start + size], states, NOW_MS) for start in range(0, len(events), size)]


def rankings(steps: list[Step], size: int = 8) -> dict[int, dict[int, float]]:
    """For each ranked event, by its number, the candidates and their scores."""
    found = {}
    for number, step in enumerate(steps):
        retrieved, ranked = step.candidates.with_rest(step.scores)
        for n, place in enumerate(step.ranked_events.tolist()):
            rows, scores = retrieved[n].tolist(), ranked[n].tolist()
            found[number * size + place] = {
                row: score for row, score in zip(rows, scores, strict=True) if row != ABSENT
            }
    return found


def two_worlds(make: Make, change: int, count: int = 72) -> tuple[list[Step], list[Step]]:
    """Two worlds that part at event number `change`, whose item is another; who acts and when stays the same."""
    events = world(0, count)
    others = [
        replace_item(one, f"i{(int(one.item_id[1:]) + 7) % ITEMS}") if n >= change else one
        for n, one in enumerate(events)
    ]
    return lived(make, events), lived(make, others)


def replace_item(one: Event, item: str) -> Event:
    return event(one.user_id, item, one.event_type, event_id=one.event_id, occurred_at_ms=one.occurred_at_ms)


def agree(one: dict[int, float], other: dict[int, float]) -> bool:
    return one.keys() == other.keys() and all(abs(score - other[row]) < 1e-3 for row, score in one.items())


@pytest.mark.parametrize("change", [41, 48, 52, 63])
def test_everything_before_a_change_is_predicted_as_if_it_were_not_to_come(change: int) -> None:
    one, other = two_worlds(learner, change)
    first, second = rankings(one), rankings(other)
    before = [n for n in first if n <= change]
    assert len(before) > 20
    for n in before:
        assert agree(first[n], second[n]), n
    for step in range(change // 8):
        assert one[step].recommendations == other[step].recommendations
        assert one[step].ranks.tolist() == other[step].ranks.tolist()
        assert np.array_equal(one[step].forecasts.foreseen, other[step].forecasts.foreseen)
    assert any(not agree(first[n], second[n]) for n in first if n > change), "later it is noticed"


def test_who_counts_too_early_is_found_out_in_a_stream_too() -> None:
    first, second = (rankings(steps) for steps in two_worlds(lambda: cheat(CountsFirst), 52))
    assert any(not agree(first[n], second[n]) for n in first if n <= 52)
