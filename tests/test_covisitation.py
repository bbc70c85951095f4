"""Directed, decayed transitions, against dictionaries."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.covisitation import HALF_LIVES_S, CoVisitation
from learners.row_index import ABSENT

START_S = 1.7e9
PRIOR = 0.5

# (items chosen before, newest first; item chosen now; seconds since the event before)
steps_of = st.lists(
    st.tuples(
        st.lists(st.integers(0, 5), max_size=3),
        st.integers(0, 5),
        st.sampled_from([0.0, 60.0, 3_600.0, 86_400.0, 1e7, -30.0]),
    ),
    min_size=1,
    max_size=25,
)
Steps = list[tuple[list[int], int, float]]


def columns(steps: Steps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    previous = np.full((len(steps), 3), ABSENT, np.int64)
    for n, (before, _, _) in enumerate(steps):
        previous[n, : len(before)] = before
    chosen = np.array([item for _, item, _ in steps], np.int64)
    return previous, chosen, START_S + np.cumsum([elapsed for *_, elapsed in steps])


def learned(steps: Steps, cut: int | None = None, neighbours: int = 8) -> CoVisitation:
    previous, chosen, now_s = columns(steps)
    covisitation = CoVisitation(neighbours)
    for start in range(0, len(chosen), cut or len(chosen)):
        some = slice(start, start + (cut or len(chosen)))
        covisitation.learn_many(previous[some], chosen[some], now_s[some])
    return covisitation


def shares(covisitation: CoVisitation, source: int, now_s: float) -> dict[int, list[float]]:
    rows, share = covisitation.successors(np.array([source]), np.array([now_s]))
    assert (share[rows == ABSENT] == 0.0).all(), "an empty slot speaks for nothing"
    return {row: share[0, slot].tolist() for slot, row in enumerate(rows[0].tolist()) if row != ABSENT}


@given(steps_of, st.integers(1, 25))
@law(80)
def test_shares_are_those_of_a_list_of_transitions(steps: Steps, cut: int) -> None:
    covisitation = learned(steps, cut)
    previous, chosen, now_s = columns(steps)
    later = float(now_s.max()) + 1_000.0
    told: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(len(HALF_LIVES_S)))
    totals: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(len(HALF_LIVES_S)))
    for before, target, at in zip(previous.tolist(), chosen.tolist(), now_s.tolist(), strict=True):
        for distance, source in enumerate(before):
            if source not in (ABSENT, target):
                weight = 2 ** (-(later - at) / HALF_LIVES_S) / (distance + 1)
                told[source, target] += weight
                totals[source] += weight
    for source in range(6):
        expected = {to: told[source, to] / (totals[source] + PRIOR) for of, to in list(told) if of == source}
        found = shares(covisitation, source, later)
        assert found.keys() == expected.keys()
        for target, share in expected.items():
            assert found[target] == pytest.approx(share, rel=1e-3, abs=1e-6)


def test_a_transition_has_a_direction() -> None:
    covisitation = learned([([1], 2, 0.0)])
    assert list(shares(covisitation, 1, START_S)) == [2]
    assert shares(covisitation, 2, START_S) == {}


def test_an_item_does_not_follow_itself() -> None:
    assert shares(learned([([1, 2], 1, 0.0)]), 1, START_S) == {}


def test_farther_items_speak_less() -> None:
    covisitation = learned([([1, 2], 3, 0.0)])
    near, far = shares(covisitation, 1, START_S)[3][0], shares(covisitation, 2, START_S)[3][0]
    assert near == pytest.approx(1 / 1.5)
    assert far == pytest.approx(0.5 / 1.0)


def test_unknown_and_absent_sources_have_no_successors() -> None:
    rows, share = learned([([1], 2, 0.0)]).successors(np.array([ABSENT, 5, 99_999]), np.full(3, START_S))
    assert (rows == ABSENT).all()
    assert (share == 0.0).all()


def test_the_weakest_successor_gives_way() -> None:
    steps: Steps = [([0], 1, 0.0)] * 3 + [([0], 2, 0.0)] * 2 + [([0], 3, 0.0)]
    covisitation = learned(steps, cut=1, neighbours=2)
    assert sorted(shares(covisitation, 0, START_S)) == [1, 3], "2 was the weaker of the two when 3 came"


def test_more_newcomers_than_slots_fill_the_slots_once_each() -> None:
    steps: Steps = [([0], target, 0.0) for target in range(1, 6)]
    assert len(shares(learned(steps, neighbours=2), 0, START_S)) == 2


def test_a_batch_without_transitions_teaches_nothing() -> None:
    covisitation = CoVisitation(4)
    covisitation.learn_many(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros(0))
    covisitation.learn_many(np.full((1, 3), ABSENT), np.array([2]), np.array([START_S]))
    assert not covisitation.state_dict()["totals"].any()


def test_a_forgotten_item_is_neither_source_nor_successor() -> None:
    covisitation = learned([([1], 2, 0.0), ([2], 3, 0.0), ([3], 2, 0.0), ([3], 4, 0.0)])
    covisitation.forget(np.array([2, 55_555]))
    assert shares(covisitation, 1, START_S) == {}
    assert shares(covisitation, 2, START_S) == {}
    assert list(shares(covisitation, 3, START_S)) == [4]
    covisitation.learn_many(np.array([[2]]), np.array([5]), np.array([START_S + 60.0]))
    fresh = learned([([2], 5, 60.0)])
    assert shares(covisitation, 2, START_S + 90.0) == shares(fresh, 2, START_S + 90.0)


@given(steps_of, steps_of)
@law(40)
def test_a_restored_one_goes_on_alike(before: Steps, after: Steps) -> None:
    one, other = learned(before, neighbours=2), CoVisitation(2)
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for covisitation in (one, other):
        covisitation.learn_many(*columns(after))
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name


def test_another_number_of_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match="saved with 8 neighbours, configured are 4"):
        CoVisitation(4).load_state_dict(CoVisitation(8).state_dict())
