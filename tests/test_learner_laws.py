"""Laws that every learner must obey, whatever its encoder and weighting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from batches import TASKS, choices, histories, shop, take
from models import learner, taught

from learners.encoders import ENCODERS
from learners.heads.heads import HEADS
from learners.learner import Learner, Predictions, Slates
from learners.online_learner import OnlineLearner
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, unnest
from learners.weightings.registry import WEIGHTINGS

Make = Callable[..., OnlineLearner]
K = len(TASKS)

KINDS = [
    ("attention", "mmoe", "balanced"),
    ("gru", "cgc", "random"),
    ("mixed", "shared_bottom", "famo"),
    ("sasrec", "single_task", "equal"),
]
"""Each encoder and each kind of heads at least once; each weighting has laws of its own in `test_weightings.py`."""


@pytest.fixture(params=KINDS, ids=["-".join(kind) for kind in KINDS])
def make(request: pytest.FixtureRequest) -> Make:
    encoder, heads, weighting = request.param
    return lambda **config: learner(**{"encoder": encoder, "heads": heads, "weighting": weighting, **config})


def test_every_encoder_and_kind_of_heads_is_tried() -> None:
    encoders, heads, weightings = zip(*KINDS, strict=True)
    assert (set(encoders), set(heads)) == (set(ENCODERS), set(HEADS))
    assert set(weightings) <= set(WEIGHTINGS)


def same(one: Any, other: Any) -> bool:
    """Bit for bit, NaN like NaN, through dataclasses of arrays."""
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, int) or one is None:
        return bool(one == other)
    return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def same_state(one: Learner, other: Learner, but_for: str = "") -> bool:
    first, second = one.state_dict(), other.state_dict()
    different = [name for name, array in first.items() if not same(array, second[name]) and name != but_for]
    return first.keys() == second.keys() and not different


def served(model: Learner, size: int = 10) -> Slates:
    """Slates for the shop's users as they were at last."""
    return model.recommend(shop()[-1][1], size)


# --- prediction


def test_it_predicts_before_it_has_learned(make: Make) -> None:
    batch, moments = shop()[0]
    model = make()
    found = model.predict_many(batch)
    labelled = batch.label_mask.any(axis=1)
    assert found.labelled.tolist() == np.flatnonzero(labelled).tolist()
    assert found.task_scores.shape == (labelled.sum(), K)
    assert ((found.task_scores >= 0.0) & (found.task_scores <= 1.0)).all()
    assert not found.known.any()
    assert (found.ranks == -1).all() or batch.histories.mask.any()
    slates = model.recommend(moments, 5)
    assert not slates.trained.any()
    own = [set(rows.tolist()) for rows in moments.item_rows]
    assert all(
        set(rows.tolist()) <= mine | {ABSENT} for rows, mine in zip(slates.item_rows, own, strict=True)
    )


def test_predicting_and_recommending_change_nothing(make: Make) -> None:
    looked, straight = make(), make()
    for model in (looked, straight):
        model.predict_many(choices([[]], [39]))  # room for all items: to make it draws their vectors
    for batch, moments in shop()[:6]:
        first = looked.predict_many(batch)
        looked.recommend(moments, 10)
        again = looked.predict_many(batch)
        assert same(first, again)
        looked.learn_many(batch, again)
        straight.learn_many(batch, straight.predict_many(batch))
    assert same_state(looked, straight, but_for="explore_rng")


def test_a_batch_is_predicted_as_row_by_row(make: Make) -> None:
    model = make()
    taught(model, shop()[:-1])
    batch, moments = shop()[-1]
    together = model.predict_many(batch)
    of_label = {row: n for n, row in enumerate(together.labelled.tolist())}
    of_target = {row: n for n, row in enumerate(together.targets.tolist())}
    assert of_label
    assert of_target
    for row in range(len(batch)):
        alone = model.predict_many(take(batch, np.array([row])))
        if row in of_label:
            assert alone.task_scores[0] == pytest.approx(together.task_scores[of_label[row]], abs=1e-5)
        if row in of_target:
            n = of_target[row]
            assert (alone.ranks[0], alone.known[0]) == (together.ranks[n], together.known[n])
    slates = model.recommend(moments, 10)
    for n in range(len(moments)):
        one = model.recommend(moments.take(np.array([n])), 10)
        assert one.item_rows[0].tolist() == slates.item_rows[n].tolist()
        assert one.scores[0] == pytest.approx(slates.scores[n], abs=1e-4)


def test_the_order_of_rows_does_not_matter_to_predictions(make: Make) -> None:
    model = make()
    taught(model, shop()[:-1])
    batch, _ = shop()[-1]
    order = np.random.default_rng(0).permutation(len(batch))
    straight = model.predict_many(take(batch, np.arange(len(batch))))
    shuffled = model.predict_many(take(batch, order))
    ranks = dict(zip(straight.targets.tolist(), straight.ranks.tolist(), strict=True))
    assert ranks == dict(zip(order[shuffled.targets].tolist(), shuffled.ranks.tolist(), strict=True))
    for n, row in enumerate(shuffled.labelled.tolist()):
        own = straight.labelled.tolist().index(int(order[row]))
        assert shuffled.task_scores[n] == pytest.approx(straight.task_scores[own], abs=1e-5)


def test_names_of_rows_do_not_matter() -> None:
    """Counts and ranks are the same when every item has another row (the vectors, being drawn, are not)."""
    batches = [batch for batch, _ in shop()]
    renamed = np.random.default_rng(0).permutation(40)

    def other_rows(rows: np.ndarray) -> np.ndarray:
        return np.where(rows == ABSENT, ABSENT, renamed[rows])

    one, other = learner(nearest=0), learner(nearest=0)
    for batch in batches:
        twin = take(batch, np.arange(len(batch)))
        object.__setattr__(twin.histories, "item_rows", other_rows(twin.histories.item_rows))
        object.__setattr__(twin, "item_rows", other_rows(twin.item_rows))
        plain = one.predict_many(take(batch, np.arange(len(batch))))
        moved = other.predict_many(twin)
        for n in range(len(plain.targets)):
            mine = set(plain.candidates.rows[n].tolist()) - {ABSENT}
            theirs = set(moved.candidates.rows[n].tolist()) - {ABSENT}
            assert {int(renamed[row]) for row in mine} == theirs
        assert plain.known.tolist() == moved.known.tolist()
        one.learn_many(take(batch, np.arange(len(batch))), plain)
        other.learn_many(twin, moved)


# --- slates


def test_a_slate_names_known_items_once_best_first(make: Make) -> None:
    model = make(exploration=0.5)
    taught(model, shop())
    seen = {int(row) for batch, _ in shop() for row in batch.item_rows[batch.target]}
    seen |= {int(row) for _, moments in shop() for row in moments.item_rows.ravel()} - {ABSENT}
    for size in (1, 7, 60):
        slates = served(model, size)
        assert slates.item_rows.shape[1] <= size
        for rows in slates.item_rows.tolist():
            filled = [row for row in rows if row != ABSENT]
            assert len(set(filled)) == len(filled)
            assert set(filled) <= seen
            assert rows == filled + [ABSENT] * (len(rows) - len(filled))
        assert ((slates.propensity > 0.0) & (slates.propensity <= 1.0)).all()
        assert ((slates.task_scores >= 0.0) & (slates.task_scores <= 1.0)).all()
    calm = make()
    taught(calm, shop())
    scores = served(calm).scores
    assert (np.diff(scores, axis=1)[np.isfinite(scores[:, 1:])] <= 0.0).all()
    assert (served(calm).propensity == 1.0).all()


def test_what_was_seen_can_be_left_out(make: Make) -> None:
    model = make(exclude_seen=True)
    taught(model, shop())
    moments = shop()[-1][1]
    slates = served(model)
    assert (slates.item_rows != ABSENT).any()
    for rows, own in zip(slates.item_rows.tolist(), moments.item_rows.tolist(), strict=True):
        assert not set(rows) & set(own) - {ABSENT}


def test_nobody_gets_no_slates(make: Make) -> None:
    model = make()
    taught(model, shop()[:2])
    assert model.recommend(histories([]), 5).item_rows.shape[0] == 0


def test_a_stranger_gets_something(make: Make) -> None:
    model = make()
    taught(model, shop())
    assert (model.recommend(histories([[]], slots=8), 5).item_rows != ABSENT).all()


# --- learning


def test_an_empty_batch_teaches_nothing_and_does_no_harm(make: Make) -> None:
    model = make()
    taught(model, shop()[:3])
    nothing = take(shop()[0][0], np.zeros(0, np.int64))
    before = served(model)
    lesson = model.learn_many(nothing, model.predict_many(nothing))
    assert np.isnan(lesson.task_losses).all()
    assert lesson.skipped == ()
    assert same(served(model), before)


def test_labels_that_are_not_known_change_nothing(make: Make) -> None:
    one, other = make(), make()
    for batch, _ in shop()[:6]:
        plain, pretended = (take(batch, np.arange(len(batch))) for _ in range(2))
        pretended.labels[~pretended.label_mask] = 1.0
        one.learn_many(plain, one.predict_many(plain))
        other.learn_many(pretended, other.predict_many(pretended))
    assert same_state(one, other)


def test_lessons_are_numbers_or_missing_never_infinite(make: Make) -> None:
    for lesson in taught(make(), shop()):
        assert not np.isinf(lesson.task_losses).any()
        assert (lesson.task_weights > 0.0).all()
        assert lesson.skipped == ()
        if lesson.relatedness is not None:
            there = lesson.task_labels > 0
            assert np.isnan(lesson.relatedness[~np.outer(there, there)]).all(), "where one had no labels"
            assert not (np.abs(lesson.relatedness) > 1.0 + 1e-4).any()
            assert lesson.relatedness == pytest.approx(lesson.relatedness.T, abs=1e-4, nan_ok=True)


# --- state


def test_the_same_seed_and_events_give_the_same_learner(make: Make) -> None:
    one, other = make(), make()
    for model in (one, other):
        taught(model, shop()[:4])
    assert same_state(one, other)
    different = make(seed=1)
    taught(different, shop()[:4])
    assert not same_state(one, different)


def test_a_restored_learner_goes_on_bit_for_bit(make: Make) -> None:
    """Restored into a learner of another seed: nothing may come from anywhere but the state."""
    config = {"exploration": 0.3, "ranker_share": 0.7, "choices_per_step": 26, "labels_per_step": 120}
    one, other = make(**config), make(seed=7, **config)
    taught(one, shop()[:5])
    saved = one.state_dict()
    assert "backlog.item_rows" in saved, "something waits"
    assert len(saved["ranker.waiting_weights"])
    kept = {name: array.copy() for name, array in saved.items()}
    other.load_state_dict({name: array.copy() for name, array in saved.items()})
    assert other.step == one.step == 5
    for batch, moments in shop()[5:9]:
        first, second = one.predict_many(batch), other.predict_many(batch)
        assert same(first, second)
        one.learn_many(batch, first)
        other.learn_many(batch, second)
        assert same(one.recommend(moments, 10), other.recommend(moments, 10))
        for model in (one, other):
            model.forget_items(np.array([2]))
            model.forget_users(np.array([3]))
    assert same_state(one, other)
    assert all(same(array, kept[name]) for name, array in saved.items()), "the state is a copy"


@pytest.mark.parametrize(
    "config", [{"dimension": 16}, {"encoder": "gru"}, {"heads": "cgc"}, {"event_types": 99}], ids=str
)
def test_another_learners_state_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"saved|parameter"):
        learner(**config).load_state_dict(learner().state_dict())


WAITING = ("backlog.", "ranker.waiting_")


def test_memory_is_bounded_by_users_and_items_not_by_events(make: Make) -> None:
    model = make()

    def size() -> int:
        state = model.state_dict()
        # the state of a generator is a text, and its numbers have more digits or fewer
        return sum(
            array.nbytes
            for name, array in state.items()
            if not name.startswith(WAITING) and not name.endswith("rng")
        )

    taught(model, shop())
    once = size()
    taught(model, shop())
    assert size() == once


def test_no_more_waits_than_a_step_needs(make: Make) -> None:
    model = make(choices_per_step=26, labels_per_step=120, ranked_per_step=3)
    waited = 0
    for batch, _ in shop():
        model.learn_many(batch, model.predict_many(batch))
        state = model.state_dict()
        target = state.get("backlog.target", np.zeros(0, np.bool_))
        assert target.sum() < 26
        assert (~target).sum() < 120
        assert len(state["ranker.waiting_weights"]) < 3
        waited += len(target)
    assert waited > 0


_OF_ROWS = ("first", "size", "filled", "totals", "touched_s")


def neighbours_in(table: Arrays) -> Any:
    """All neighbours of all rows of a `NeighbourTable`'s state."""
    places, first, filled = table["places"].ravel(), table["first"].tolist(), table["filled"].tolist()
    return np.concatenate([places[at : at + count] for at, count in zip(first, filled, strict=True)])


def test_a_forgotten_item_leaves_no_trace_in_its_row(make: Make) -> None:
    model = make()
    taught(model, shop())
    row, untouched = 1, 30
    assert (served(model, 20).item_rows == row).any()
    model.predict_many(choices([[1]], [untouched]))  # makes room
    model.forget_items(np.array([row]))
    moments = shop()[-1][1]
    gone = histories(
        [[item for item in own if item not in (row, ABSENT)] for own in moments.item_rows.tolist()]
    )
    assert not (model.recommend(gone, 60).item_rows == row).any()
    assert not (model.recommend(gone, 60).because == row).any()
    found = model.predict_many(choices([[3], [3]], [row, untouched]))
    assert found.known.tolist() == [False, False]
    assert found.ranks.tolist() == [-1, -1]
    state = model.state_dict()
    lists = ("transitions", "together")
    of_items = ("popularity.", "expectations.", *(f"{name}.{part}" for name in lists for part in _OF_ROWS))
    tables = [name for name in state if name.startswith(tuple(f"counts.{part}" for part in of_items))]
    tables += ["counts.companions.choosers", "counts.companions.chosen"]
    tables = [name for name in tables if len(state[name]) > untouched and "known" not in name]
    assert len(tables) > 10
    for name in tables:
        assert same(state[name][row], state[name][untouched]), name
    assert state["neural.inputs.accumulator"][row] == 0.0
    assert state["neural.outputs.accumulator"][row] == 0.0
    assert np.abs(state["neural.outputs.weight"][row]).max() < 1.0
    assert state["neural.sampler.counts"][row] == 0.0
    assert row not in state["neural.sampler.known"]
    for part in ("popularity.known_rows", "popularity.leaders.rows"):
        assert row not in state[f"counts.{part}"], part
    for part in lists:
        assert row not in neighbours_in(unnest(f"counts.{part}", state)), part
    assert row not in state["counts.own.pairs.keys"] & 0xFFFFFFFF
    for name in ("backlog.item_rows", "backlog.histories.item_rows"):
        assert row not in state.get(name, np.zeros(0, np.int64)), name


def test_a_forgotten_user_leaves_no_trace_in_its_row(make: Make) -> None:
    model = make()
    taught(model, shop())
    moments = shop()[-1][1]
    user = int(moments.users[0])
    before = model.state_dict()
    assert before["counts.habits"][user].any()
    model.forget_users(np.array([user, 99]))
    state = model.state_dict()
    assert not state["counts.habits"][user].any()
    assert not state["counts.companions.users.totals"][user].any()
    assert user not in neighbours_in(unnest("counts.companions.users", state))
    assert user not in state["counts.companions.choosers"]
    assert user not in state["counts.own.pairs.keys"] >> 32
    for name in ("transitions.place_weights", "popularity.weights", "expectations.expected"):
        assert same(state[f"counts.{name}"], before[f"counts.{name}"]), "items keep what they were chosen"


def test_a_row_that_is_used_again_is_learned_anew(make: Make) -> None:
    model = make()
    taught(model, shop())
    model.forget_items(np.array([1]))
    taught(model, shop()[:4])
    assert (served(model, 20).item_rows == 1).any()


# --- what is no number


def poison(model: OnlineLearner, row: int) -> None:
    model._neural._outputs.weight[row] = float("nan")


def test_a_poisoned_candidate_is_a_clear_error_not_a_rank(make: Make) -> None:
    model = make()
    taught(model, shop())
    poison(model, 1)
    everybody = choices([[own] for own in range(20)], range(20))
    with pytest.raises(FloatingPointError, match="not a number"):
        model.predict_many(everybody)


def test_a_poisoned_item_costs_its_own_lesson_only(make: Make) -> None:
    """It is among the negatives: that loss is left out and told, counts and ranker go on."""
    model = make(negatives=200, nearest=0)
    taught(model, shop())
    batch, _ = shop()[-1]
    predictions: Predictions = model.predict_many(batch)
    poison(model, 1)
    before = model.state_dict()
    lesson = model.learn_many(batch, predictions)
    after = model.state_dict()
    assert "retrieval" in lesson.skipped
    assert np.isnan(lesson.retrieval_loss)
    assert after["step"][0] == before["step"][0] + 1
    assert after["counts.popularity.events"][0] > before["counts.popularity.events"][0]
    finite = [
        name
        for name in after
        if name != "neural.outputs.weight" and not name.endswith(("_s", "leaders.keys"))
    ]
    assert [
        name for name in finite if after[name].dtype.kind == "f" and not np.isfinite(after[name]).all()
    ] == []
    model.forget_items(np.array([1]))
    assert taught(model, shop()[:2])[-1].skipped == (), "and with the item the poison is gone"
