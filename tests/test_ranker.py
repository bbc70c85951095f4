"""The second stage: what it compares, what it learns, and what it must not learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.random_state import generator_array, restore_generator
from learners.ranker import Ranker, RankerLesson
from learners.standardiser import Standardiser

torch.set_num_threads(1)  # the products are small
F = 3


def ranker(
    *,
    seed: int = 0,
    candidates: int = 10,
    prior: tuple[float, ...] = (0.0, 0.0, 0.0),
    learning_rates: tuple[float, ...] = (0.02,),
    choices_per_step: int = 16,
    memory: int = 64,
) -> Ranker:
    return Ranker(
        np.array(prior, np.float32),
        Standardiser(F),
        learning_rates=learning_rates,
        rng=np.random.default_rng(seed),
        candidates=candidates,
        choices_per_step=choices_per_step,
        memory=memory,
    )


def lesson(seed: int, T: int = 16, C: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, filled places, and a chosen column: the one with the largest product of the first two features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(T, C, F)).astype(np.float32)
    filled = rng.random((T, C)) < 0.8
    filled[:, 0] = True
    worth = np.where(filled, features[:, :, 0] * features[:, :, 1], -np.inf)
    return features, filled, worth.argmax(axis=1)


def hits(learned: Ranker, seed: int) -> float:
    features, filled, chosen = lesson(seed, T=200)
    return float((learned.score(features, filled).argmax(axis=1) == chosen).mean())


def taught(learned: Ranker, lessons: int) -> list[RankerLesson]:
    """Each of these lessons, one gradient step each."""
    told = []
    for seed in range(lessons):
        features, filled, chosen = lesson(seed)
        told += learned.learn_many(features, filled, learned.score(features, filled), chosen)
    return told


def test_it_learns_what_no_single_feature_tells() -> None:
    learned = ranker()
    losses = [told.loss for told in taught(learned, 150)]
    assert len(losses) == 150
    assert hits(ranker(), 999) < 0.2
    assert hits(learned, 999) > 0.7
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:3])


def test_before_it_learns_the_prior_decides() -> None:
    features = np.random.default_rng(0).normal(size=(1, 9, F)).astype(np.float32)
    scores = ranker(prior=(1.0, 0.0, -2.0)).score(features, np.ones((1, 9), np.bool_))
    worth = features[0, :, 0] - 2.0 * features[0, :, 2]
    assert np.argsort(scores[0]).tolist() == np.argsort(worth).tolist()


def test_where_there_is_no_candidate_the_score_is_the_least() -> None:
    features, filled, _ = lesson(0)
    scores = ranker().score(features, filled)
    assert (np.isneginf(scores) == ~filled).all()
    assert scores.dtype == np.float32


def test_what_stands_in_an_empty_place_changes_nothing() -> None:
    features, filled, chosen = lesson(0)
    other_features = np.where(filled[:, :, None], features, np.float32(77.0))
    one, other = ranker(), ranker()
    for _ in range(3):
        scores = one.score(features, filled)
        assert one.learn_many(features, filled, scores, chosen) == other.learn_many(
            other_features, filled, scores, chosen
        )
        assert (one.score(features, filled) == other.score(features, filled)).all()
    assert (one.score(features, filled) == other.score(features, filled)).all()


@given(st.integers(0, 500), st.integers(2, 30), st.integers(2, 25))
@law(80)
def test_the_compared_candidates_stand_for_all(seed: int, C: int, compared: int) -> None:
    """The chosen one first, nobody twice, and weights that add up to the number of candidates there are."""
    rng = np.random.default_rng(seed)
    filled = rng.random((6, C)) < 0.6
    chosen = rng.integers(0, C, 6)
    filled[np.arange(6), chosen] = True
    scores = rng.normal(size=(6, C)).astype(np.float32)
    columns, log_weight = ranker(seed=seed, candidates=compared)._contrast(filled, scores, chosen)
    assert columns.shape[1] == min(compared, C)
    assert (columns[:, 0] == chosen).all()
    for n in range(6):
        real = log_weight[n] > -1e8
        assert filled[n, columns[n][real]].all()
        assert len(set(columns[n][real].tolist())) == real.sum()
        assert np.exp(log_weight[n][real]).sum() == pytest.approx(filled[n].sum(), rel=1e-4)
        others = [c for c in np.argsort(-scores[n], kind="stable") if filled[n, c] and c != chosen[n]]
        top = int((min(compared, C) - 1) * 0.6)
        assert set(others[:top]) <= set(columns[n][real].tolist()), "its own best are among them"


@pytest.mark.parametrize(("T", "C"), [(0, 5), (3, 1)])
def test_where_there_is_nothing_to_compare_nothing_is_learned(T: int, C: int) -> None:
    features = np.zeros((T, C, F), np.float32)
    filled = np.ones((T, C), np.bool_)
    learned = ranker(choices_per_step=1)
    assert learned.learn_many(features, filled, features[:, :, 0], np.zeros(T, np.int64)) == []
    assert learned.state_dict()["waiting_weights"].shape == (0, 10)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_skipped_and_leave_no_trace(poison: float) -> None:
    one, clean = ranker(), ranker()
    features, filled, chosen = lesson(0)
    for learned in (one, clean):
        learned.learn_many(features, filled, learned.score(features, filled), chosen)
    bad = features.copy()
    bad[3, chosen[3], 0] = poison
    found = one.learn_many(bad, filled, one.score(features, filled), chosen)
    assert found == [None] or np.isinf(poison)
    assert np.isfinite(one.score(features, filled)[filled]).all()
    assert one.state_dict()["waiting_weights"].shape[0] == 0, "and it is not tried again"


def test_a_gradient_that_is_no_number_is_skipped_though_the_loss_is_one() -> None:
    one = ranker()
    features, filled, chosen = lesson(0)
    before = one.state_dict()
    hook = one.network.mixing.register_hook(lambda gradient: gradient * np.nan)
    assert one.learn_many(features, filled, one.score(features, filled), chosen) == [None]
    hook.remove()
    after = one.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before if "parameter." in name)
    assert one.learn_many(features, filled, one.score(features, filled), chosen) != [None]


def test_the_seed_decides_its_beginning() -> None:
    features, filled, chosen = lesson(0)

    def begun(seed: int) -> np.ndarray:
        learned = ranker(seed=seed)
        for n in range(2):
            learned.learn_many(features, filled, lesson(n)[0][:, :, 0], chosen)
        return learned.score(features, filled)

    assert (begun(1) == begun(1)).all()
    assert (begun(1) != begun(2)).any()


# --- choices that wait


def told_in_parts(learned: Ranker, sizes: list[int], steps: int = 60) -> list[RankerLesson]:
    """The same choices, cut into calls of these sizes, again and again."""
    features, filled, chosen = lesson(0, T=steps)
    scores = np.where(filled, features[:, :, 2], -np.inf).astype(np.float32)
    told, start = [], 0
    for n in range(steps):
        end = start + sizes[n % len(sizes)]
        told += learned.learn_many(
            features[start:end], filled[start:end], scores[start:end], chosen[start:end]
        )
        start = end
        if start >= steps:
            break
    return told


def losses_of(told: list[RankerLesson]) -> list[tuple[float, list[float]]]:
    return [(one.loss, one.expert_losses.tolist()) for one in told]


@given(st.lists(st.integers(0, 25), min_size=1, max_size=6).filter(any), st.integers(1, 20))
@law(25)
def test_how_choices_are_cut_into_calls_does_not_matter(sizes: list[int], choices_per_step: int) -> None:
    sizes = [max(size, 1) for size in sizes]
    whole, cut = (ranker(learning_rates=(0.01, 0.001), choices_per_step=choices_per_step) for _ in range(2))
    assert losses_of(told_in_parts(whole, [60])) == losses_of(told_in_parts(cut, sizes))
    one, other = whole.state_dict(), cut.state_dict()
    for name, array in one.items():
        assert (array == other[name]).all(), name


def test_a_step_takes_so_many_choices_and_the_others_wait() -> None:
    learned = ranker(choices_per_step=16)
    assert len(told_in_parts(learned, [60])) == 3
    assert len(learned.state_dict()["waiting_weights"]) == 60 - 48


def test_few_candidates_are_compared_as_they_are_among_choices_with_many() -> None:
    """What has fewer candidates than are compared is padded, and padding counts for nothing."""
    features, filled, chosen = lesson(0, T=16, C=4)
    narrow, wide = ranker(candidates=4), ranker(candidates=10)
    scores = np.where(filled, features[:, :, 2], -np.inf).astype(np.float32)
    one, other = (learned.learn_many(features, filled, scores, chosen)[0] for learned in (narrow, wide))
    assert one.loss == pytest.approx(other.loss, rel=1e-5)


@given(st.integers(0, 40), st.integers(1, 60))
@law(15)
def test_a_restored_ranker_goes_on_alike_with_the_choices_that_waited(before: int, after: int) -> None:
    one = ranker(seed=1, learning_rates=(0.02, 0.002))
    other = ranker(seed=2, learning_rates=(0.02, 0.002))
    features, filled, chosen = lesson(0, T=100)
    scores = one.score(features, filled)
    first, then = slice(0, before), slice(before, before + after)
    one.learn_many(features[first], filled[first], scores[first], chosen[first])
    saved = one.state_dict()
    kept = {name: array.copy() for name, array in saved.items()}
    other._standardiser.load_state_dict(one._standardiser.state_dict())
    other.load_state_dict(saved)
    restore_generator(other._rng, generator_array(one._rng))
    told = [
        losses_of(learned.learn_many(features[then], filled[then], scores[then], chosen[then]))
        for learned in (one, other)
    ]
    assert told[0] == told[1]
    assert len(told[0]) == (before + after) // 16 - before // 16
    assert (one.score(features, filled) == other.score(features, filled)).all()
    assert one.shares.tolist() == other.shares.tolist()
    assert all((array == kept[name]).all() for name, array in saved.items()), "the state is a copy"


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="choices wait with candidates and features"):
        ranker(candidates=10).load_state_dict(ranker(candidates=11).state_dict())
    with pytest.raises(ValueError, match="parameter"):
        ranker().load_state_dict(ranker(learning_rates=(0.02, 0.002)).state_dict())


SIZES = st.sampled_from([0, 16, 40, 64, 100])


@given(SIZES, SIZES, st.integers(0, 250))
@law(30)
def test_of_a_memory_of_another_size_the_latest_choices_are_kept(before: int, now: int, count: int) -> None:
    """The choices are numbers here, and the n-th stands at n modulo the size."""
    other, state = ranker(memory=now), ranker(memory=before).state_dict()
    numbers = np.arange(count - min(count, before), count)
    places = np.argsort(numbers % max(before, 1))
    for name in ("memory_features", "memory_weights"):
        shape = (len(numbers), *state[name].shape[1:])
        state[name] = np.broadcast_to(numbers[places].reshape(-1, *[1] * (len(shape) - 1)), shape).astype(
            state[name].dtype
        )
    other.load_state_dict({**state, "memorised": np.array([count])})
    latest = numbers[max(len(numbers) - now, 0) :].tolist()
    kept = other.state_dict()
    assert sorted(kept["memory_weights"][:, 0].tolist()) == latest
    assert sorted(kept["memory_features"][:, 0, 0].tolist()) == latest
    if now:
        oldest = int(kept["memorised"][0]) % now
        assert len(latest) < now or kept["memory_weights"][oldest, 0] == latest[0], "the next one to go"


# --- experts

RATES = (0.02, 0.0001)
"""One that learns, and one that hardly does."""


def test_experts_begin_with_equal_shares() -> None:
    assert ranker(learning_rates=(0.1, 0.2, 0.3)).shares == pytest.approx([1 / 3] * 3)
    assert ranker().shares.tolist() == [1.0]


@pytest.mark.parametrize("better", [0, 1])
def test_shares_move_to_the_better_expert(better: int) -> None:
    learned = ranker(learning_rates=RATES if better == 0 else RATES[::-1])
    told = taught(learned, 150)
    last = np.mean([one.expert_losses for one in told[-30:]], axis=0)
    assert last[better] < 0.8 * last[1 - better]
    assert learned.shares[better] > 0.65
    assert learned.shares.sum() == pytest.approx(1.0)


def test_a_mixture_is_not_worse_than_its_best_expert() -> None:
    learned = ranker(learning_rates=(*RATES, 0.005))
    told = taught(learned, 200)[-60:]
    experts = np.mean([one.expert_losses for one in told], axis=0)
    assert np.mean([one.loss for one in told]) < experts.min() * 1.05
    assert hits(learned, 999) > 0.7


def test_a_mixture_loses_less_than_its_experts_do_on_average() -> None:
    """Whatever they have learned: the loss is convex in the scores that are averaged."""
    learned = ranker(learning_rates=(0.05, 0.01, 0.002))
    for seed in range(40):
        features, filled, chosen = lesson(seed)
        shares = learned.shares
        (told,) = learned.learn_many(features, filled, learned.score(features, filled), chosen)
        assert told.loss <= float(shares @ told.expert_losses) + 1e-5


def test_an_expert_learns_as_if_it_were_alone() -> None:
    together, alone = ranker(learning_rates=RATES), ranker(learning_rates=RATES[:1])
    for seed in range(20):
        features, filled, chosen = lesson(seed)
        scores = np.where(filled, features[:, :, 2], -np.inf).astype(np.float32)
        (first,) = together.learn_many(features, filled, scores, chosen)
        (second,) = alone.learn_many(features, filled, scores, chosen)
        assert first.expert_losses[0] == pytest.approx(second.loss, rel=1e-4)
        assert second.expert_losses.tolist() == [second.loss]


def test_scores_are_those_of_the_experts_by_their_shares() -> None:
    learned = ranker(learning_rates=RATES)
    taught(learned, 20)
    features, filled, _ = lesson(50)
    with torch.inference_mode():
        each = learned.network.each(torch.from_numpy(learned._standardiser.transform(features))).numpy()
    assert learned.score(features, filled)[filled] == pytest.approx((each @ learned.shares)[filled], abs=1e-5)


def test_who_learns_from_a_part_is_reminded_the_more() -> None:
    def moved(share: float | None) -> float:
        learned = ranker()
        if share is not None:
            learned.take_share(share)
        taught(learned, 12)
        steps = [state["step"] for state in learned._optimiser.state.values()]
        return max(map(float, steps))

    # the first lesson has nothing to remember yet
    assert moved(None) == moved(1.0) == 12 + 2 * 11
    assert moved(0.5) == 12 + 3 * 11
    assert moved(0.25) == 12 + 5 * 11


def test_a_shadow_is_reminded_as_often_as_the_one_that_lends_it_its_memory_restarts_included() -> None:
    def steps_of(some: Ranker) -> float:
        return max(float(state["step"]) for state in some._optimiser.state.values())

    learned = ranker()
    learned.take_share(0.25)
    taught(learned, 5)
    back = ranker(seed=3)
    back.load_state_dict(learned.state_dict())
    for owner in (learned, back):
        shadow = owner.shadow()
        taught(shadow, 1)
        taught(owner, 1)
        assert steps_of(shadow) == steps_of(owner) == steps_of(learned)
        owner.take_share(0.5)
        before = steps_of(shadow)
        taught(shadow, 1)
        assert steps_of(shadow) == before + 4, "it follows"


def test_without_reminders_it_learns_once() -> None:
    learned = Ranker(
        np.zeros(F, np.float32),
        Standardiser(F),
        learning_rates=(0.02,),
        rng=np.random.default_rng(0),
        candidates=10,
        reminders=0,
    )
    taught(learned, 12)
    assert {float(state["step"]) for state in learned._optimiser.state.values()} == {12.0}


def test_a_shadow_that_is_taught_the_same_learns_the_same_bit_for_bit() -> None:
    learned = ranker(learning_rates=(0.02, 0.005), memory=0)
    taught(learned, 5)
    shadow = learned.shadow()
    for seed in range(5, 15):
        features, filled, chosen = lesson(seed)
        scores = learned.score(features, filled)
        for one in (learned, shadow):
            one.learn_many(features, filled, scores, chosen)
    expected, found = learned.beginning(), shadow.beginning()
    assert expected.keys() == found.keys()
    assert all(np.array_equal(array, found[name]) for name, array in expected.items())
