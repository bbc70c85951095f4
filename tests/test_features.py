"""What the ranker sees of a candidate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from batches import START_S, counted, histories
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners import features as module
from learners.candidates import EVENLY, FROM_LAST, FROM_RECENT, TOGETHER, WAYS, CandidateRetrieval, Candidates
from learners.counts.counts import Counts
from learners.counts.habits import AGE, POPULARITY, REPEATS, SILENCE
from learners.counts.popularity import DECAYS, TIMED
from learners.event_batch import FloatArray, Histories
from learners.features import COUNTS, NAMES, PAIR_FEATURES, PRIOR, ranking_features
from learners.item_facts import ItemFacts
from learners.row_index import ABSENT

HOUR = 3_600.0
ME, OTHER = 0, 7


def small_counts() -> Counts:
    """Another user chose 1 two hours and one hour ago and 2 half an hour ago, after 1."""
    counts = Counts(max_pairs=100, neighbours=4)
    counts.ensure(20, 20)
    counts.learn_many(
        np.array([OTHER, OTHER, OTHER]),
        np.array([1, 1, 2]),
        START_S - HOUR * np.array([2.0, 1.0, 0.5]),
        np.array([[ABSENT], [ABSENT], [1]]),
    )
    return counts


def full_features(
    candidates: Candidates, moments: Histories, counts: Counts, neural: FloatArray
) -> FloatArray:
    facts = ItemFacts.of(candidates.rows, moments.now_s, counts)
    return ranking_features(candidates, facts, moments, counts, neural)


def features_of(
    history: list[int],
    neural: float = 0.0,
    counts: Counts | None = None,
    own: tuple[int, ...] = (),
    **moments: Any,
) -> dict[int, dict[str, float]]:
    """My features by item and name, among them those of item 9, after `history`; `own` I chose a minute ago."""
    counts = counts or small_counts()
    for row in own:
        counts.own.learn_many(np.array([ME]), np.array([row]), np.array([START_S - 60.0]))
    given_histories = histories([history], **moments)
    retrieval = CandidateRetrieval(counts, 20, exclude_seen=False)
    candidates = retrieval.retrieve(given_histories, np.array([[9]]))
    scores = np.full(candidates.rows.shape, neural, np.float32)
    found = full_features(candidates, given_histories, counts, scores)
    assert found.dtype == np.float32
    return {
        row: dict(zip(NAMES, found[0, c].tolist(), strict=True))
        for c, row in enumerate(candidates.rows[0].tolist())
        if row != ABSENT
    }


def test_axes_fit_together() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(PRIOR)
    assert len(NAMES) > PAIR_FEATURES >= COUNTS
    assert "share" not in "".join(NAMES[:PAIR_FEATURES]), "what depends on the other candidates is left out"
    assert "neural" not in "".join(NAMES[:COUNTS])


def test_popularity_is_the_logarithm_of_the_decayed_count() -> None:
    one = features_of([])[1]
    assert one["popularity_1h"] == pytest.approx(math.log(0.5 + 0.25 + 1e-3), rel=1e-3)
    assert one["popularity_20y"] == pytest.approx(math.log(2.001), rel=1e-3)
    assert one["popularity_20n"] == pytest.approx(math.log(2 ** (-1 / 20) + 2 ** (-2 / 20) + 1e-3), rel=1e-3)


def test_transitions_are_logarithms_of_shares() -> None:
    found = features_of([1])
    left = 2 ** (-0.5 / 24)
    assert found[2]["from_last_1d"] == pytest.approx(math.log(left / (left + 0.5) + 1e-3), rel=1e-3)
    assert found[2]["from_last_10y"] == pytest.approx(math.log(1.0 / 1.5 + 1e-3), rel=1e-3)
    assert found[2]["from_last_2n"] == pytest.approx(math.log(1.0 / 1.5 + 1e-3), rel=1e-3)
    assert found[9]["from_last_1d"] == pytest.approx(math.log(1e-3), rel=1e-3)
    assert features_of([1, 3])[2]["from_last_10y"] == pytest.approx(math.log(1e-3), rel=1e-3)
    assert features_of([1, 3])[2]["from_recent_10y"] == pytest.approx(math.log(0.5 / 1.5 + 1e-3), rel=1e-3)
    assert features_of([1, 3])[2]["evenly_10y"] == pytest.approx(math.log(1.0 / 1.5 + 1e-3), rel=1e-3)


def test_what_goes_together_shows_in_both_directions() -> None:
    share = 1.0 / 1.5
    forth, back = features_of([3, 1])[2], features_of([3, 2])[1]
    for one in (forth, back):
        assert one["together_10y"] == pytest.approx(math.log(share + 1e-3), rel=1e-3)
        assert one["together_root"] == pytest.approx(math.log(1.0 / math.sqrt(1.5) + 1e-3), rel=1e-3)
        assert one["together_ways"] == pytest.approx(math.log(2.0))
    assert (forth["transition_ways"], back["transition_ways"]) == (pytest.approx(math.log(2.0)), 0.0)
    far = features_of([1, 3])[2]
    assert far["together_near"] == pytest.approx(math.log(share / math.sqrt(2.0) + 1e-3), rel=1e-3)


def test_the_users_own_choices_show() -> None:
    found = features_of([2, 1, 2], own=(2, 1, 2))
    own = ("own", "own_count", "own_is_last", "own_place")
    assert [found[2][name] for name in own] == pytest.approx([1.0, math.log(3.0), 1.0, 1.0])
    assert [found[1][name] for name in own] == pytest.approx([1.0, math.log(2.0), 0.0, 0.5])
    assert [found[9][name] for name in (*own, "own_age", "own_lately")] == [0.0] * 6
    assert found[2]["own_age"] == pytest.approx(math.log(2.0) / 10.0), "a minute ago"
    assert found[2]["own_lately"] == pytest.approx(1.0 + 0.8**2)


def test_own_choices_are_remembered_beyond_the_history() -> None:
    found = features_of([3], own=(1,))[1]
    assert (found["own"], found["own_place"], found["own_lately"]) == (1.0, 0.0, 0.0)


def test_ages_count_in_time_and_in_events() -> None:
    one = features_of([])[1]
    assert one["first_age"] == pytest.approx(math.log1p(120.0) / 10.0)
    assert one["last_age"] == pytest.approx(math.log1p(60.0) / 10.0)
    assert one["first_age_events"] == pytest.approx(math.log1p(3.0) / 8.0)
    assert one["last_age_events"] == pytest.approx(math.log1p(2.0) / 8.0)
    unknown = features_of([])[9]
    assert [unknown[name] for name in NAMES if name.startswith(("first_age", "last_age"))] == [0.0] * 4


def test_order_against_the_last_item_has_a_sign() -> None:
    younger, older = features_of([1])[2], features_of([2])[1]
    assert younger["first_after_last"] == pytest.approx(math.log1p(2.0) / 8.0), "two choices later"
    assert older["first_after_last"] == pytest.approx(-math.log1p(2.0) / 8.0)
    assert younger["first_from_last"] == older["first_from_last"] == pytest.approx(math.log1p(2.0) / 8.0)
    assert younger["chosen_after_last"] == pytest.approx(math.log1p(1.0) / 8.0)
    assert older["chosen_after_last"] == pytest.approx(-math.log1p(1.0) / 8.0)


def company() -> Counts:
    """I chose 3 after 5 had, and 6 after both; 5 then chose 4."""
    counts = Counts(max_pairs=100)
    counts.ensure(20, 20)
    users, rows = np.array([5, ME, 6, 5]), np.array([3, 3, 3, 4])
    counts.learn_many(users, rows, np.full(4, START_S), np.full((4, 1), ABSENT))
    return counts


def test_those_who_choose_like_me_speak_for_what_they_chose() -> None:
    counts = company()
    one = features_of([], counts=counts)[4]
    share = 1.0 / 1.5
    for name in ("companions_1w", "companions_10y", "companions_latest", "companions_best"):
        assert one[name] == pytest.approx(math.log(share + 1e-3), rel=1e-3), name
    assert one["companions_mean"] == pytest.approx(math.log(share / 2.0 + 1e-3), rel=1e-3)
    assert one["choosers"] == pytest.approx(math.log(2.0) / 3.0)
    shared = features_of([], counts=counts)[3]
    assert shared["choosers"] == pytest.approx(math.log(4.0) / 3.0)
    assert shared["companions_latest"] == pytest.approx(math.log(share / 3.0 + 1e-3), rel=1e-3), (
        "5 came first"
    )
    assert shared["companions_mean"] == pytest.approx(math.log(share / 4.0 + 1e-3), rel=1e-3)


def test_the_room_for_shares_is_empty_after_use() -> None:
    counts = company()
    features_of([], counts=counts)
    assert not counts.companions.arrays.closeness.any()


def test_more_than_was_expected_shows() -> None:
    counts = small_counts()
    rows = np.tile([1, 2], (10, 1))
    counts.expectations.learn_many(rows, np.zeros((10, 2), np.float32), np.full(10, 1))
    found = features_of([], counts=counts)
    assert found[1]["over_expected_3000n"] == pytest.approx(math.log(10.5 / 5.5), rel=1e-2)
    assert found[2]["over_expected_3000n"] == pytest.approx(math.log(0.5 / 5.5), rel=1e-2)
    assert found[9]["over_expected_300n"] == 0.0


def test_habits_show_alone_and_against_the_item() -> None:
    counts = small_counts()
    counts.arrays.habits[ME] = [2.0, 1.0, 0.5, 0.25, 8.0]
    found = features_of([], counts=counts)
    for one in found.values():
        assert [one[name] for name in NAMES if name.startswith("habit_")] == [0.25, 0.125, 0.125, 0.25]
    assert found[1]["newer_than_habit"] == pytest.approx((math.log1p(3.0) - 2.0) / 8.0)
    assert found[1]["livelier_than_habit"] == pytest.approx((math.log1p(2.0) - 1.0) / 8.0)
    assert found[1]["rarer_than_habit"] == pytest.approx((math.log1p(2.0) - 0.5) / 4.0, rel=1e-3)


def test_the_user_shows_in_every_candidate() -> None:
    found = features_of([1, 2])
    assert len(found) > 1
    for one in found.values():
        assert one["user_length"] == pytest.approx(math.log(3.0) / 4.0)
        assert one["user_gap"] == pytest.approx(math.log(2.0) / 8.0)
        assert one["user_session"] == pytest.approx(math.log(2.0) / 2.0)
    assert {one["user_gap"] for one in features_of([]).values()} == {0.0}


def test_a_session_ends_after_half_an_hour() -> None:
    for gap_s, events in ((1_800.0, 2), (1_900.0, 0)):
        for one in features_of([1, 2, 3], gap_s=gap_s).values():
            assert one["user_session"] == pytest.approx(math.log1p(events) / 2.0)


def test_the_neural_share_is_a_log_softmax_over_the_candidates_there_are() -> None:
    found = features_of([1], neural=300.0)
    for one in found.values():
        assert one["neural_share"] == pytest.approx(-math.log(len(found)), rel=1e-4)
        assert one["neural"] == 300.0


def test_everything_is_a_number_for_strangers_and_unknown_items() -> None:
    for history in ([], [15], [15, 15]):
        for one in features_of(history).values():
            assert all(math.isfinite(value) for value in one.values())
    stranger = features_of([1], users=[9_999])
    assert all(math.isfinite(value) for one in stranger.values() for value in one.values())
    assert {one["habit_age"] for one in stranger.values()} == {0.0}


def test_nobody_has_no_features() -> None:
    counts, moments = Counts(max_pairs=10), histories([])
    candidates = CandidateRetrieval(counts, 20, exclude_seen=False).retrieve(
        moments, np.zeros((0, 0), np.int64)
    )
    scores = np.zeros(candidates.rows.shape, np.float32)
    assert full_features(candidates, moments, counts, scores).shape == (0, 1, len(NAMES))


# --- against a naive reference


def naive_features(candidates: Candidates, moments: Histories, counts: Counts, s: int, c: int) -> list[float]:
    """All columns but the neural ones, from what the counts tell when they are asked one thing at a time."""
    row, user, now = int(candidates.rows[s, c]), int(moments.users[s]), float(moments.now_s[s])
    of, evidence = counts.popularity.arrays, candidates.evidence[s, c].tolist()
    history = moments.item_rows[s].tolist()
    scores = counts.popularity.scores(np.array([row]), np.array([now]))[:, 0].tolist()
    close = {
        int(other): share
        for other, share in zip(*counts.companions.of_users.shares(user, now), strict=True)
        if other != ABSENT
    }
    choosers = counts.companions.arrays.choosers[row]
    chosen = int(counts.companions.arrays.chosen[row])
    back = [int(choosers[(chosen - 1 - n) % len(choosers)]) for n in range(min(chosen, len(choosers)))]
    nothing = np.zeros(2)
    lasting = [float(close.get(other, nothing)[1]) for other in back]
    logs = [
        *scores,
        *(evidence[part] for part in range(WAYS.start)),
        sum(float(close.get(other, nothing)[0]) for other in back),
        sum(lasting),
        sum(share / (1 + n) for n, share in enumerate(lasting)),
        max([0.0, *lasting]),
        sum(lasting) / (1 + len(back)),
    ]
    times, last_s = counts.own.of(user, row)
    places = [n for n, item in enumerate(reversed(history)) if item == row] if times else []
    known = bool(counts.popularity.is_known(np.array([row]))[0])

    def events_since(item: int) -> list[int]:
        if item == ABSENT or not counts.popularity.is_known(np.array([item]))[0]:
            return [0, 0]
        return [counts.popularity.events - int(n[item]) for n in (of.first_n, of.last_n)]

    since, last = events_since(row), history[-1]
    apart = [ago - own for ago, own in zip(events_since(last), since, strict=True)]
    signed = [math.copysign(math.log1p(abs(n)) / 8, n) if last != ABSENT else 0.0 for n in apart]
    habit = counts.arrays.habits[user].tolist()
    plain = [
        *(math.log1p(ways) for ways in evidence[WAYS]),
        math.log1p(times),
        math.log1p(max(now - last_s, 0) / 60) / 10 if times else 0.0,
        float(times > 0),
        float(row == last),
        1 / (1 + places[0]) if places else 0.0,
        sum(0.8**n for n in places),
        math.log1p(max(now - of.first_s[row], 0) / 60) / 10 if known else 0.0,
        math.log1p(max(now - of.last_s[row], 0) / 60) / 10 if known else 0.0,
        *(math.log1p(events) / 8 for events in since),
        signed[0],
        abs(signed[0]),
        signed[1],
        math.log1p(chosen) / 3,
        *(math.log(ratio) for ratio in counts.expectations.exceeded(np.array([row]))[:, 0].tolist()),
        (math.log1p(since[0]) - habit[AGE]) / 8,
        (math.log1p(since[1]) - habit[SILENCE]) / 8,
        (math.log1p(scores[TIMED - 1]) - habit[POPULARITY]) / 4,
    ]
    filled, age_s = [item != ABSENT for item in history], moments.age_s[s].tolist()
    session = 0
    while (
        session + 1 < len(history)
        and filled[-2 - session]
        and age_s[-2 - session] - age_s[-1 - session] <= 1_800
    ):
        session += 1
    about = [
        math.log1p(age_s[-1] / 60 if filled[-1] else 0.0) / 8,
        math.log1p(int(moments.lengths[s])) / 4,
        math.log1p(session) / 2,
        habit[AGE] / 8,
        habit[SILENCE] / 8,
        habit[POPULARITY] / 4,
        habit[REPEATS],
    ]
    return [*(math.log(x + 1e-3) for x in logs), *plain, *about]


some_histories = st.lists(st.lists(st.integers(0, 14), max_size=8), min_size=1, max_size=3)


def surroundings(items: list[list[int]], seed: int, gap_s: float) -> tuple[Counts, Histories, Candidates]:
    counts = counted(seed)
    counts.expectations.learn_many(
        np.tile(np.arange(6), (20, 1)),
        np.random.default_rng(seed).normal(size=(20, 6)).astype(np.float32),
        np.arange(20) % 6,
    )
    moments = histories(items, slots=8, gap_s=gap_s)
    retrieval = CandidateRetrieval(counts, 500, exclude_seen=False)
    return counts, moments, retrieval.retrieve(moments, np.full((len(items), 1), 13))


@given(some_histories, st.integers(0, 3), st.sampled_from([60.0, 2_000.0]))
@law(25)
def test_features_are_those_of_the_reference(items: list[list[int]], seed: int, gap_s: float) -> None:
    counts, moments, candidates = surroundings(items, seed, gap_s)
    found = full_features(candidates, moments, counts, np.zeros(candidates.rows.shape, np.float32))
    for s, c in zip(*np.nonzero(candidates.rows != ABSENT), strict=True):
        expected = dict(zip(NAMES, naive_features(candidates, moments, counts, s, c), strict=False))
        assert len(expected) == COUNTS
        assert dict(zip(NAMES, found[s, c, :COUNTS].tolist(), strict=False)) == pytest.approx(
            expected, rel=2e-3, abs=2e-4
        )


def test_the_names_are_in_the_order_of_the_evidence() -> None:
    assert [NAMES[DECAYS + part.start] for part in (FROM_LAST, FROM_RECENT, EVENLY, TOGETHER)] == [
        "from_last_1h",
        "from_recent_1h",
        "evenly_1d",
        "together_1w",
    ]
    assert NAMES[DECAYS + WAYS.start] == "companions_1w"


@given(some_histories, st.integers(0, 3))
@law(15)
def test_compiled_and_interpreted_agree(items: list[list[int]], seed: int) -> None:
    counts, moments, candidates = surroundings(items, seed, 60.0)
    facts = ItemFacts.of(candidates.rows, moments.now_s, counts)

    def described(describe: Any) -> np.ndarray:
        out = np.zeros((*candidates.rows.shape, len(NAMES)), np.float32)
        describe(
            counts.arrays,
            counts.popularity.events,
            facts.values,
            facts.places,
            candidates.rows,
            candidates.evidence,
            moments.users,
            moments.item_rows,
            moments.age_s,
            moments.now_s,
            moments.lengths,
            out,
        )
        return out

    assert described(module._collect) == pytest.approx(described(module._collect.py_func), rel=1e-4, abs=1e-6)
