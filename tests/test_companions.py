"""Who chooses what whom else chose, against lists."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.counts.companions import HALF_LIVES_S, Companions, follow
from learners.counts.neighbours import PRIOR
from learners.row_index import ABSENT

START_S = 1.7e9
V = 16

# (user, item, seconds since the event before); only a user's first choice of an item is told to the counts
choices = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 3), st.sampled_from([0.0, 60.0, 86_400.0, 1e7, -30.0])),
    min_size=1,
    max_size=60,
    unique_by=lambda step: step[:2],
)
Steps = list[tuple[int, int, float]]


def moments(steps: Steps) -> list[float]:
    return (START_S + np.cumsum([elapsed for *_, elapsed in steps])).tolist()


def followed(steps: Steps) -> Companions:
    companions = Companions()
    companions.ensure(21, 4, len(steps))
    for (user, item, _), at in zip(steps, moments(steps), strict=True):
        follow(companions.arrays, user, item, at)
    return companions


def closeness(companions: Companions, user: int, now_s: float) -> dict[int, list[float]]:
    rows, shares = companions.of_users.shares(user, now_s)
    return dict(zip(rows.tolist(), shares.tolist(), strict=True))


def latest(companions: Companions, item: int) -> list[int]:
    """Who chose an item, newest first."""
    of = companions.arrays
    back = [of.choosers[item, (of.chosen[item] - 1 - n) % V] for n in range(min(V, of.chosen[item]))]
    return [int(user) for user in back if user != ABSENT]


@given(choices)
@law(60)
def test_companions_are_the_latest_who_were_there_before(steps: Steps) -> None:
    companions = followed(steps)
    later = max(moments(steps)) + 100.0
    choosers: dict[int, list[int]] = defaultdict(list)
    told: dict[tuple[int, int], np.ndarray] = defaultdict(lambda: np.zeros(2))
    totals: dict[int, np.ndarray] = defaultdict(lambda: np.zeros(2))
    for (user, item, _), at in zip(steps, moments(steps), strict=True):
        for other in choosers[item][-V:]:
            told[user, other] += 2 ** (-(later - at) / HALF_LIVES_S)
            totals[user] += 2 ** (-(later - at) / HALF_LIVES_S)
        choosers[item].append(user)
    for user in range(21):
        expected = {of[1]: weight / (totals[user] + PRIOR) for of, weight in told.items() if of[0] == user}
        found = closeness(companions, user, later)
        assert found.keys() == expected.keys()
        for other, share in found.items():
            assert share == pytest.approx(expected[other], rel=1e-3, abs=1e-6)
    for item in range(4):
        assert latest(companions, item) == choosers[item][::-1][:V]
        assert companions.arrays.chosen[item] == len(choosers[item])


def test_who_comes_later_follows_who_was_there_and_not_the_other_way() -> None:
    companions = followed([(1, 0, 0.0), (2, 0, 0.0)])
    assert list(closeness(companions, 2, START_S)) == [1]
    assert closeness(companions, 1, START_S) == {}


def test_nobody_accompanies_themselves() -> None:
    """A pair that was let go of and comes again."""
    companions = followed([(1, 0, 0.0), (2, 0, 0.0), (1, 0, 0.0)])
    assert list(closeness(companions, 1, START_S)) == [2]


def test_the_more_they_share_the_closer_they_are() -> None:
    companions = followed([(1, 0, 0.0), (1, 1, 0.0), (2, 2, 0.0), (3, 0, 0.0), (3, 1, 0.0), (3, 2, 0.0)])
    found = closeness(companions, 3, START_S)
    assert found[1] == pytest.approx([2 / 3.5] * 2)
    assert found[2] == pytest.approx([1 / 3.5] * 2)


def test_only_the_latest_choosers_are_known() -> None:
    companions = followed([(user, 0, 0.0) for user in range(20)])
    assert latest(companions, 0) == list(range(19, 3, -1))
    assert sorted(closeness(companions, 19, START_S)) == list(range(3, 19))


# --- forgetting


def test_a_forgotten_user_is_nobodys_companion_and_no_chooser() -> None:
    companions = followed([(1, 0, 0.0), (2, 0, 0.0), (3, 0, 0.0)])
    companions.forget(users=np.array([1, 77]))
    assert list(closeness(companions, 3, START_S)) == [2]
    assert closeness(companions, 2, START_S) == {}
    assert latest(companions, 0) == [3, 2]
    follow(companions.arrays, 4, 0, START_S)
    assert sorted(closeness(companions, 4, START_S)) == [2, 3]


def test_a_forgotten_user_begins_anew() -> None:
    companions = followed([(1, 0, 0.0), (2, 0, 0.0)])
    companions.forget(users=np.array([2]))
    assert closeness(companions, 2, START_S) == {}


def test_a_forgotten_item_has_had_no_choosers() -> None:
    companions = followed([(1, 0, 0.0), (2, 0, 0.0), (1, 1, 0.0)])
    companions.forget(items=np.array([0, 400]))
    assert latest(companions, 0) == []
    assert companions.arrays.chosen[:2].tolist() == [0, 1]
    assert list(closeness(companions, 2, START_S)) == [1], "what its choosers have in common stays"
    follow(companions.arrays, 5, 0, START_S)
    assert closeness(companions, 5, START_S) == {}


@given(choices, choices)
@law(30)
def test_a_restored_one_goes_on_alike(before: Steps, after: Steps) -> None:
    one, other = followed(before), Companions()
    other.load_state_dict({name: array.copy() for name, array in one.state_dict().items()})
    for companions in (one, other):
        companions.ensure(21, 4, len(after))
        for user, item, _ in after:
            follow(companions.arrays, user, item, START_S + 1e8)
    for name, array in one.state_dict().items():
        assert (array == other.state_dict()[name]).all(), name
    assert other.arrays.closeness.shape[0] >= 21
    assert not other.arrays.closeness.any()


@given(choices)
@law(30)
def test_compiled_and_interpreted_agree(steps: Steps) -> None:
    compiled, interpreted = followed(steps), Companions()
    interpreted.ensure(21, 4, len(steps))
    for (user, item, _), at in zip(steps, moments(steps), strict=True):
        follow.py_func(interpreted.arrays, user, item, at)
    for name, array in compiled.state_dict().items():
        assert (array == interpreted.state_dict()[name]).all(), name
