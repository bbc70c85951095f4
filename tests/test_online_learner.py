"""The whole learner: quality on data of known difficulty, honest ranks, and a restart that nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batches import choices, histories, shop, take
from builders import NOW_MS, event, records
from fakes import in_one_portion, processor
from models import learner, taught

from connectors.event import Event
from learners.exploration import EXPLORED
from learners.features import PAIR_FEATURES
from learners.label_rates import rates_width
from learners.learner import Slates
from learners.online_learner import OnlineLearner
from learners.row_index import ABSENT
from learners.state_changes import Table
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor

# --- quality

ITEMS, SUCCESSOR = 25, 0.7
OPTIMUM = SUCCESSOR + (1 - SUCCESSOR) / ITEMS
"""HR@1 of whoever knows the chain: it goes to the successor with 0.7, else anywhere."""


def walks(seed: int, users: int = 16) -> Iterator[tuple[list[list[int]], list[int]]]:
    """Users on a Markov chain: their histories so far and where each goes next, for ever."""
    rng = np.random.default_rng(seed)
    successor = rng.permutation(ITEMS)
    paths = [[int(rng.integers(ITEMS))] for _ in range(users)]
    while True:
        following = [
            int(successor[path[-1]]) if rng.random() < SUCCESSOR else int(rng.integers(ITEMS))
            for path in paths
        ]
        yield [path[-8:] for path in paths], following
        for path, item in zip(paths, following, strict=True):
            path.append(item)


@pytest.mark.parametrize("encoder", ["attention", "gru"])
def test_it_comes_near_the_optimum_of_a_markov_chain(encoder: str) -> None:
    model = learner(encoder=encoder, dimension=16, negatives=32)
    steps, hits = 140, []
    for step, (before, following) in zip(range(steps), walks(0), strict=False):
        batch = choices(before, following, slots=8, now_s=NOW_MS / 1000.0 + 60.0 * step)
        found = model.predict_many(batch)
        hits.append((found.ranks == 0).mean())
        model.learn_many(batch, found)
    assert hits[0] == 0.0, "nothing is known at first"
    assert np.mean(hits[-50:]) > 0.9 * OPTIMUM
    assert np.mean(hits[-50:]) < OPTIMUM + 0.1, "nobody knows more than the chain tells"


def test_its_slates_lead_with_the_successor() -> None:
    model = learner()
    for step, (before, following) in zip(range(80), walks(0), strict=False):
        batch = choices(before, following, slots=8, now_s=NOW_MS / 1000.0 + 60.0 * step)
        model.learn_many(batch, model.predict_many(batch))
    successor = np.random.default_rng(0).permutation(ITEMS)
    slates = model.recommend(
        histories([[n] for n in range(ITEMS)], slots=8, now_s=NOW_MS / 1000.0 + 5_000.0), 3
    )
    first = slates.item_rows[:, 0] == successor
    assert first.mean() > 0.8
    assert (slates.because[first, 0] == np.flatnonzero(first)).all(), "and say whom they follow"


def test_tasks_come_to_their_base_rates() -> None:
    """A task whose labels are coin flips of .2 is foreseen with .2, whatever was foreseen at first."""
    model, rng = learner(), np.random.default_rng(0)
    foreseen = []
    for _ in range(60):
        batch = choices(rng.integers(0, 10, (32, 3)).tolist(), rng.integers(0, 10, 32))
        batch.target[:] = False
        batch.label_mask[:, 0] = True
        batch.labels[:, 0] = rng.random(32) < 0.2
        found = model.predict_many(batch)
        foreseen.append(found.task_scores[:, 0].mean())
        model.learn_many(batch, found)
    assert foreseen[0] == pytest.approx(0.5)
    assert np.mean(foreseen[-15:]) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("at_once", [2, 5, 40])
def test_a_lesson_says_of_how_many_examples_it_is(at_once: int) -> None:
    """However the stream is cut: what waited for a gradient step counts when it is learned."""
    model = learner(choices_per_step=8, labels_per_step=8)
    counted = {"retrieved": 0, "ranked": 0, "clicks": 0}
    rng = np.random.default_rng(0)
    for _ in range(240 // at_once):
        batch = choices(rng.integers(0, 10, (at_once, 3)).tolist(), rng.integers(0, 10, at_once))
        batch.label_mask[:, 0] = True
        batch.labels[:, 0] = np.arange(at_once) % 2
        lesson = model.learn_many(batch, model.predict_many(batch))
        assert np.isnan(lesson.retrieval_loss) == (lesson.retrieved == 0)
        assert np.isnan(lesson.ranking_loss) == (lesson.ranked == 0)
        assert np.isnan(lesson.task_losses).tolist() == (lesson.task_labels == 0).tolist()
        counted["retrieved"] += lesson.retrieved
        counted["ranked"] += lesson.ranked
        counted["clicks"] += int(lesson.task_labels[0])
    waiting, unfound, untaught_or_alone = 8, 20, 40
    assert 240 - waiting - unfound <= counted["retrieved"] <= 240
    assert 240 - 2 * waiting - at_once - unfound <= counted["ranked"] <= 240
    assert 240 - waiting - untaught_or_alone <= counted["clicks"] <= 240


def test_a_task_that_nobody_ever_answered_is_not_learned() -> None:
    """Negatives without a single positive mean that nobody sends such events."""
    model = learner(choices_per_step=2, labels_per_step=2)
    batch = choices([[1], [2]], [3, 4])
    batch.label_mask[:, 1] = True
    lesson = model.learn_many(batch, model.predict_many(batch))
    assert np.isnan(lesson.task_losses).all()
    assert not model.recommend(batch.histories, 5).trained.any()
    batch.labels[0, 1] = 1.0
    lesson = model.learn_many(batch, model.predict_many(batch))
    assert np.isnan(lesson.task_losses).tolist() == [True, False, True]
    assert model.recommend(batch.histories, 5).trained.tolist() == [False, True, False]


def test_a_task_is_not_taught_by_its_positives_alone() -> None:
    """They come at once, and nobody has said no yet: it would foresee a yes of everything."""
    model = learner()
    for batch, _ in shop():
        positives = replace(batch, label_mask=batch.label_mask & (batch.labels > 0.0))
        model.learn_many(positives, model.predict_many(positives))
    shown = model.describe(batch.histories, batch.sequence, batch.item_rows, batch.position)
    binary = [task.kind != "regression" for task in model.tasks]
    assert model.answered.all()
    assert np.isnan(shown[:, -6:-3]).all(axis=0).tolist() == binary, "what it says is no forecast"
    assert (np.abs(shown[:, -3:][:, binary] - 0.5) < 0.1).all()


def test_a_label_is_foreseen_from_what_was_known_when_the_item_was_shown() -> None:
    """An hour later counts and rates have gone on; a slate of then did not know them."""
    model = learner()
    taught(model, shop()[:4])
    batch = take(shop()[4][0], np.arange(len(shop()[4][0])))
    users = np.zeros(len(batch.histories), np.int64)
    moments = replace(batch.histories, users=users)
    shown = model.describe(moments, batch.sequence, batch.item_rows, batch.position)
    assert shown.shape[1] == PAIR_FEATURES + rates_width(3) + 2 * 3
    kept = replace(batch, histories=moments, shown=shown)
    at_once = model.predict_many(kept)
    assert np.array_equal(at_once.task_scores, shown[at_once.labelled, -3:])
    taught(model, shop()[4:8])
    later = model.predict_many(kept)
    fresh = model.predict_many(replace(kept, shown=None))
    assert np.array_equal(later.shown, at_once.shown, equal_nan=True)
    assert np.array_equal(later.task_scores, at_once.task_scores)
    assert (fresh.shown[:, :PAIR_FEATURES] != at_once.shown[:, :PAIR_FEATURES]).any()
    assert (fresh.task_scores != at_once.task_scores).any()


def test_forecasts_are_calibrated_by_what_was_foreseen_when_the_item_was_shown() -> None:
    """Since then the model has learned of the very rows; what it would say now is no forecast."""
    model = learner()
    taught(model, shop()[:4])
    batch = shop()[4][0]
    shown = model.describe(batch.histories, batch.sequence, batch.item_rows, batch.position)
    foreseen = shown[:, -3:].mean(axis=0)
    silent = replace(
        batch,
        target=np.zeros(len(batch), np.bool_),
        labels=np.zeros((len(batch), 3), np.float32),
        label_mask=np.ones((len(batch), 3), np.bool_),
        shown=shown,
    )
    for _ in range(20):
        model._calibrate(silent, np.arange(len(batch)))
    again = model.describe(batch.histories, batch.sequence, batch.item_rows, batch.position)
    told = ~np.isnan(shown[:, -6:-3]).any(axis=0)
    assert ((again[:, -3:].mean(axis=0) < 0.5 * foreseen) == told).all()
    assert told.any()
    assert np.array_equal(again[:, -6:-3], shown[:, -6:-3], equal_nan=True), (
        "the heads have learned nothing by it"
    )


def test_users_who_are_forgotten_leave_no_rates() -> None:
    model = learner()
    batch = choices([[1], [2]], [3, 4])
    batch = replace(batch, histories=replace(batch.histories, users=np.array([0, 1])))
    batch.label_mask[:, 0], batch.labels[:, 0] = True, 1.0
    model.learn_many(batch, model.predict_many(batch))
    index = np.arange(2)
    before = model.describe(batch.histories, index, np.array([30, 31]), np.full(2, -1))
    model.forget_users(np.array([0]))
    after = model.describe(batch.histories, index, np.array([30, 31]), np.full(2, -1))
    assert (before[0] != after[0]).any()
    assert np.array_equal(before[1], after[1], equal_nan=True)


# --- shares and steps


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_of_choices_that_is_ranked_is_kept_exactly(share: float) -> None:
    model, ranked, chosen = learner(ranker_share=share), 0, 0
    for before, following in (next(walks(seed)) for seed in range(6)):
        batch = choices(before, following, slots=8)
        found = model.predict_many(batch)
        ranked += len(found.targets)
        chosen += len(following)
        model.learn_many(batch, found)
    assert ranked == int(chosen * share)


def test_choices_that_are_not_ranked_are_learned_all_the_same() -> None:
    model = learner(ranker_share=0.0)
    taught(model, shop()[:4])
    assert (model.recommend(shop()[4][1], 5).item_rows != ABSENT).any()
    assert model.predict_many(shop()[4][0]).targets.tolist() == []


def test_a_large_batch_takes_several_gradient_steps() -> None:
    """Steps on many rows are better than on few, up to a point, and on all at once they are too few."""
    before, following = next(walks(0, users=100))
    batch = choices(before, following, slots=8)

    def moved(choices_per_step: int) -> float:
        model = learner(choices_per_step=choices_per_step)
        for _ in range(2):
            model.learn_many(batch, model.predict_many(batch))
        return float(model.state_dict()["neural.network.step.encoder.query.weight"])

    assert (moved(100), moved(10)) == (1.0, 5.0), "the very first step knows no negatives yet"


# --- many slates at once


def test_a_slate_does_not_depend_on_how_many_are_made_with_it() -> None:
    model = learner()
    taught(model, shop()[:4])
    moments = shop()[4][1]
    many = moments.take(np.arange(100) % len(moments))
    together = model.recommend(many, 8)
    assert len(together.item_rows) == 100
    for n in range(0, 100, 9):
        alone = model.recommend(many.take(np.array([n])), 8)
        assert together.item_rows[n].tolist() == alone.item_rows[0].tolist()
        np.testing.assert_allclose(together.scores[n], alone.scores[0], atol=1e-4)
        np.testing.assert_allclose(together.task_scores[n], alone.task_scores[0], atol=1e-4)
        assert together.because[n].tolist() == alone.because[0].tolist()


def test_slates_of_different_length_are_joined_with_empty_places() -> None:
    model = learner()
    taught(model, shop()[:4])
    moments = shop()[4][1]
    parts = [
        model.recommend(moments.take(np.array([0, 1])), 3),
        model.recommend(moments.take(np.array([2])), 5),
    ]
    joined = Slates.joined(parts)
    assert joined.item_rows.shape == (3, 5)
    assert (joined.item_rows[:2, 3:] == ABSENT).all()
    assert np.isneginf(joined.scores[:2, 3:]).all()
    assert (joined.because[:2, 3:] == ABSENT).all()
    assert joined.item_rows[2].tolist() == parts[1].item_rows[0].tolist()
    assert joined.removed.tolist() == (parts[0].removed + parts[1].removed).tolist()
    assert joined.trained.tolist() == parts[0].trained.tolist()


def test_there_is_room_for_what_others_learned_of_items_that_nobody_here_has_met() -> None:
    ann, bob = learner(choices_per_step=1), learner(choices_per_step=1)
    ann.share()
    bob.share()
    batch = choices([[39], [38]] * 8, [3, 4] * 8)
    ann.learn_many(batch, ann.predict_many(batch))
    told = ann.contribute(1.0)
    inputs = told.tables["inputs"]
    assert inputs.rows.max() == 39
    bob.merge(replace(told, tables={"inputs": inputs}))
    slates = bob.preview(histories([[39]]), 5)  # which makes no room itself
    assert 39 in slates.item_rows


# --- exploration


def test_exploration_changes_slates_not_scores() -> None:
    calm, curious = learner(), learner(exploration=0.5)
    for model in (calm, curious):
        taught(model, shop())
    moments = shop()[-1][1]
    plain, explored = calm.recommend(moments, 4), curious.recommend(moments, 4)
    assert (plain.item_rows != explored.item_rows).any()
    everything = calm.recommend(moments, 50)
    scores = [
        dict(zip(r.tolist(), s.tolist(), strict=True))
        for r, s in zip(everything.item_rows, everything.scores, strict=True)
    ]
    for n, rows in enumerate(explored.item_rows.tolist()):
        for place, row in enumerate(rows):
            assert explored.scores[n, place] == pytest.approx(scores[n][row], abs=1e-5)


@pytest.mark.parametrize("size", [10, 40])
def test_large_slates_are_explored_as_much_as_small_ones(size: int) -> None:
    model = learner(exploration=0.5, candidates=100, ranked=100)
    taught(model, shop(items=100))
    slates = model.recommend(shop(items=100)[-1][1], size)
    assert (slates.item_rows != ABSENT).all()
    assert 0.3 < (slates.placed == EXPLORED).mean() < 0.7


# --- a restart that nobody notices


def happenings(count: int) -> list[Event]:
    rng = np.random.default_rng(4)
    kinds = ["impression", "click", "purchase", "dislike", "rating"]
    return [
        event(
            f"u{rng.integers(12)}",
            f"i{int(40 * rng.random() ** 2)}",
            str(rng.choice(kinds, p=[0.4, 0.4, 0.1, 0.05, 0.05])),
            event_id=f"e{n}",
            occurred_at_ms=NOW_MS + n * 3_000 // 7 * 7,
            value=4.0,
        )
        for n in range(count)
    ]


def small_worker(seed: int) -> Processor:
    """Bounds so tight that users and items are given up on the way."""
    model = learner(seed=seed, exploration=0.2)
    return processor(model, max_users=9, max_items=30)


def test_a_restored_worker_recommends_bit_for_bit_what_the_other_would_have(tmp_path: Path) -> None:
    """Through a checkpoint on disk, at several moments, with eviction of users and items before and after."""
    some = records(happenings(240))
    steps = [some[start : start + 8] for start in range(0, len(some), 8)]
    undisturbed = small_worker(seed=0)
    expected = [undisturbed.process(step, NOW_MS).recommendations for step in steps]
    assert undisturbed.pipeline.items.evictions > 0
    assert undisturbed.states.index.evictions > 0

    store, worker, found = CheckpointStore(tmp_path), small_worker(seed=0), []
    for n, step in enumerate(steps):
        if n % 6 == 5:
            store.write(
                in_one_portion(worker),
                topic="events",
                applied=worker.states.applied,
                totals=worker.totals_dict(),
                summary={},
                now_ms=NOW_MS,
            )
            worker.process(step, NOW_MS)  # lost in the crash
            worker, saved = small_worker(seed=n), store.latest()
            assert saved is not None
            worker.load(saved.pieces, saved.manifest.totals)
        found.append(worker.process(step, NOW_MS).recommendations)
    assert found == expected
    assert isinstance(worker.pipeline.learner, OnlineLearner)


def test_tables_that_grow_are_taken_over_without_a_copy() -> None:
    """A copy of them at each start took longer than to read them, and as much memory again."""
    model, other = learner(), learner()
    taught(model, shop()[:6])
    saved = model.state_dict()
    other.load_state_dict(saved)
    tables = {name: part.array for name, part in other.live_state().items() if isinstance(part, Table)}
    assert len(tables) > 30
    copied = [name for name, table in tables.items() if not np.shares_memory(table, saved[name])]
    assert copied == ["ranker.memory_features", "ranker.memory_weights"], "these have a size of their own"


def test_the_shops_rows_are_there_to_be_learned() -> None:
    """The laws are tried on this shop: it must hold what they speak of."""
    batches = [batch for batch, _ in shop()]
    assert sum(int(batch.target.sum()) for batch in batches) > 50
    assert all(sum(int(batch.label_mask[:, k].sum()) for batch in batches) > 10 for k in range(3))
    assert any((batch.position >= 0).any() for batch in batches)
    assert len(take(batches[0], np.arange(2))) == 2
