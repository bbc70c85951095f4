"""The brief look: it says the same of a candidate as the full one, and only the most promising stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from batches import START_S, WALKED, counted, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import prerank as module
from learners.candidates import NEW, CandidateRetrieval, Candidates
from learners.counts.counts import Counts
from learners.event_batch import FloatArray, Histories
from learners.features import NAMES, ranking_features
from learners.item_facts import ItemFacts
from learners.prerank import BRIEF, COLUMNS, Brief, Preranker
from learners.row_index import ABSENT

SEEDS = st.integers(0, 200)


def stage(seed: int, users: int = 3) -> tuple[Counts, Histories, Candidates, FloatArray]:
    """Candidates of users who walked, with neural scores; some places are empty."""
    rng = np.random.default_rng(seed)
    counts = counted(seed)
    walked = [rng.integers(0, WALKED, rng.integers(0, 7)).tolist() for _ in range(users)]
    given_histories = histories(walked, now_s=START_S + 0.5)
    nearest = rng.integers(WALKED, 50, (users, 4))
    candidates = CandidateRetrieval(counts, 40, exclude_seen=False).retrieve(
        given_histories, nearest, rest=True
    )
    return counts, given_histories, candidates, rng.normal(size=candidates.rows.shape).astype(np.float32)


def facts_of(candidates: Candidates, moments: Histories, counts: Counts) -> ItemFacts:
    return ItemFacts.of(candidates.rows, moments.now_s, counts)


def test_its_features_are_some_of_all() -> None:
    assert [NAMES[column] for column in COLUMNS] == list(BRIEF)
    assert len(set(BRIEF)) == len(BRIEF)


@given(SEEDS)
@law(40)
def test_it_sees_what_the_full_features_say(seed: int) -> None:
    counts, given_histories, candidates, neural = stage(seed)
    facts = facts_of(candidates, given_histories, counts)
    found = Preranker(counts, 5).look(candidates, facts, given_histories, neural)
    full = ranking_features(candidates, facts, given_histories, counts, neural)[:, :, COLUMNS]
    filled = candidates.rows != ABSENT
    assert found.features[filled] == pytest.approx(full[filled], abs=1e-5)
    assert not found.features[~filled].any()


@given(SEEDS, st.integers(1, 45))
@law(60)
def test_the_most_promising_stay_with_all_that_belongs_to_them(seed: int, most: int) -> None:
    counts, given_histories, candidates, neural = stage(seed)
    facts = facts_of(candidates, given_histories, counts)
    preranker = Preranker(counts, most)
    brief = preranker.look(candidates, facts, given_histories, neural)
    promises = preranker.promises(brief)
    kept, kept_facts, scores = preranker.most_promising(candidates, facts, neural, brief)
    S, C = candidates.rows.shape
    assert kept.rows.shape == scores.shape == (S, min(most, C))
    for s in range(S):
        column = {int(row): c for c, row in enumerate(candidates.rows[s]) if row != ABSENT}
        stay = [int(row) for row in kept.rows[s] if row != ABSENT]
        assert len(stay) == len(set(stay)) == min(most, len(column))
        fall = column.keys() - set(stay)
        worst = min((promises[s, column[row]] for row in stay), default=np.inf)
        assert all(promises[s, column[row]] <= worst for row in fall)
        for place, row in enumerate(kept.rows[s].tolist()):
            if row != ABSENT:
                assert (kept.evidence[s, place] == candidates.evidence[s, column[row]]).all()
                assert kept.sources[s, place] == candidates.sources[s, column[row]]
                assert scores[s, place] == neural[s, column[row]]
                assert kept_facts.places[s, place] == facts.places[s, column[row]]
        behind = {int(row) for row in kept.rest[s] if row != ABSENT}
        assert behind == fall | {int(row) for row in candidates.rest[s] if row != ABSENT}


def kept_of(candidates: Candidates, seed: int, most: int, users: int) -> Candidates:
    counts, given_histories, _, neural = stage(seed, users)
    facts = facts_of(candidates, given_histories, counts)
    preranker = Preranker(counts, most)
    brief = preranker.look(candidates, facts, given_histories, neural)
    return preranker.most_promising(candidates, facts, neural, brief)[0]


def test_what_is_there_to_be_tried_stays_whatever_it_promises() -> None:
    counts, given_histories, candidates, neural = stage(0, users=1)
    preranker = Preranker(counts, 2)
    facts = facts_of(candidates, given_histories, counts)
    promises = preranker.promises(preranker.look(candidates, facts, given_histories, neural))
    least = int(np.where(candidates.rows[0] == ABSENT, np.inf, promises[0]).argmin())
    assert candidates.rows[0, least] not in kept_of(candidates, 0, 2, 1).rows[0]
    sources = candidates.sources.copy()
    sources[0, least] = 1 << NEW
    assert candidates.rows[0, least] in kept_of(replace(candidates, sources=sources), 0, 2, 1).rows[0]


def test_what_is_barred_takes_no_place() -> None:
    candidates = stage(1, users=2)[2]
    best = kept_of(candidates, 1, 2, 2)
    barred = (candidates.rows[:, :, None] == best.rows[:, None, :]).any(axis=2)
    others = kept_of(candidates.without(barred), 1, 2, 2)
    assert (others.rows != ABSENT).all()
    assert not (others.rows[:, :, None] == best.rows[:, None, :]).any()


def lists(seed: int, T: int = 200, C: int = 30) -> tuple[Brief, np.ndarray]:
    """Choices of what a product with known weights is largest of; some places are empty."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(T, C, len(BRIEF))).astype(np.float32)
    rows = np.where(rng.random((T, C)) < 0.8, np.arange(C), ABSENT)
    rows[:, 0] = 0
    worth = features @ np.linspace(-1.0, 1.0, len(BRIEF)).astype(np.float32)
    chosen = np.where(rows == ABSENT, -np.inf, worth + rng.gumbel(size=worth.shape)).argmax(axis=1)
    return Brief(rows, features), chosen


def test_it_learns_the_weights_that_choices_were_made_by() -> None:
    preranker = Preranker(counted(), 5)
    for seed in range(10):
        preranker.learn_many(*lists(seed))
    assert preranker.state_dict()["weights"] == pytest.approx(np.linspace(-1.0, 1.0, len(BRIEF)), abs=0.25)


@given(st.integers(0, 60))
@law(20)
def test_how_choices_are_cut_into_calls_does_not_matter(cut: int) -> None:
    brief, chosen = lists(0, T=60)
    one, other = Preranker(counted(), 5), Preranker(counted(), 5)
    one.learn_many(brief, chosen)
    for part in (np.arange(cut), np.arange(cut, 60)):
        other.learn_many(brief.take(part), chosen[part])
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all()


def test_choices_of_no_candidate_and_numbers_without_end_teach_nothing() -> None:
    preranker = Preranker(counted(), 5)
    before = preranker.state_dict()
    brief, chosen = lists(0, T=3)
    preranker.learn_many(brief, np.full(3, 99))
    preranker.learn_many(Brief(np.full((1, 4), ABSENT), np.zeros((1, 4, len(BRIEF)), np.float32)), chosen[:1])
    for bad in (np.nan, np.inf):
        preranker.learn_many(Brief(brief.rows, np.full_like(brief.features, bad)), chosen)
    for name, array in preranker.state_dict().items():
        assert (array == before[name]).all()


def test_it_goes_on_where_it_was_and_without_a_past_from_the_prior() -> None:
    one, other = Preranker(counted(), 5), Preranker(counted(), 5)
    one.learn_many(*lists(0))
    other.load_state_dict(one.state_dict())
    for preranker in (one, other):
        preranker.learn_many(*lists(1))
    assert (one.state_dict()["weights"] == other.state_dict()["weights"]).all()
    fresh = Preranker(counted(), 5)
    fresh.load_state_dict({})
    assert (fresh.state_dict()["weights"] == Preranker(counted(), 5).state_dict()["weights"]).all()


@given(SEEDS)
@law(15)
def test_compiled_and_interpreted_agree(seed: int) -> None:
    counts, given_histories, candidates, neural = stage(seed)
    facts = facts_of(candidates, given_histories, counts)
    preranker = Preranker(counts, 5)
    compiled = preranker.look(candidates, facts, given_histories, neural)
    features = np.zeros_like(compiled.features)
    module._look.py_func(  # type: ignore[attr-defined]
        counts.own.arrays,
        facts.values,
        facts.places,
        candidates.rows,
        candidates.evidence,
        given_histories.users,
        given_histories.item_rows,
        given_histories.now_s,
        neural,
        features,
    )
    assert features == pytest.approx(compiled.features, abs=1e-5)
    weights, squares = preranker._weights.copy(), preranker._squares.copy()
    brief, chosen = lists(seed, T=5)
    module._learn_many.py_func(brief.features, brief.rows, chosen, weights, squares)  # type: ignore[attr-defined]
    preranker.learn_many(brief, chosen)
    assert preranker._weights == pytest.approx(weights, rel=1e-3, abs=1e-5)
