"""Peers against naive sums, and on real logs against the figures that stand in the protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.peers.covisitation import HALF_LIVES_S as TRANSITION_HALF_LIVES_S
from learners.peers.covisitation import Transitions
from learners.peers.line_up import RIVER_MOST_CHOICES, line_up
from learners.peers.own_history import OwnHistory
from learners.peers.peer import Peer, pessimistic_peer_ranks
from learners.peers.popularity import HALF_LIVES_S, DecayedPopularity
from learners.peers.recency import Recency
from learners.peers.river_factors import RiverFactors
from monitoring.ranking_quality import ranking_quality

LOGS = Path(__file__).parents[1] / ".." / "shared" / "data"

ITEMS, USERS = 6, 3
choices = st.lists(
    st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.integers(0, 5_000)), max_size=25
)
Choice = tuple[int, int, int]


def timed(rows: Sequence[Choice]) -> list[Choice]:
    """Gaps become times."""
    times = np.cumsum([gap for _, _, gap in rows]).tolist() if rows else []
    return [(user, item, time) for (user, item, _), time in zip(rows, times, strict=True)]


def taught(peer: Peer, rows: Sequence[Choice]) -> Peer:
    for user, item, at_s in rows:
        peer.learn(user, item, float(at_s))
    return peer


def order(scores: np.ndarray) -> list[float]:
    """Scores as dense ranks, so that only their order is compared."""
    return np.unique(np.round(scores, 9), return_inverse=True)[1].tolist()


@given(choices)
@law(60)
def test_popularity_is_the_sum_of_decayed_choices(rows: list[Choice]) -> None:
    log = timed(rows)
    now_s = log[-1][2] + 100.0 if log else 0.0
    found = taught(DecayedPopularity(ITEMS), log).scores(0, now_s, ITEMS)
    for row, half_life in zip(found, HALF_LIVES_S.values(), strict=True):
        sums = [
            sum(2 ** (-(now_s - at) / half_life) for _, i, at in log if i == item) for item in range(ITEMS)
        ]
        assert np.exp2(row - now_s / half_life).tolist() == pytest.approx(sums)


@given(choices)
@law(60)
def test_recency_orders_by_last_and_by_first_choice(rows: list[Choice]) -> None:
    log = timed(rows)
    items = [item for _, item, _ in log]
    last, first = taught(Recency(ITEMS), log).scores(0, 0.0, ITEMS)
    for item in range(ITEMS):
        places = [n for n, one in enumerate(items) if one == item] or [-np.inf]
        assert (first[item], last[item]) == (places[0], places[-1])


def test_own_items_come_first_newest_first() -> None:
    log = [(0, item, item) for item in (0, 1, 2, 3)] + [(1, 4, 4), (1, 5, 5)]
    touched, popular = taught(OwnHistory(ITEMS), log).scores(0, 6.0, ITEMS)
    assert np.argsort(-touched).tolist() == [3, 2, 1, 5, 4, 0]
    assert np.argsort(-popular).tolist() == [3, 2, 1, 0, 5, 4]
    assert taught(OwnHistory(ITEMS), log).scores(2, 6.0, ITEMS)[0].argmax() == 5, (
        "a stranger has no own items"
    )


def test_an_own_item_that_comes_again_is_the_newest() -> None:
    log = [(0, item, n) for n, item in enumerate((0, 1, 2, 3, 0))]
    assert np.argsort(-taught(OwnHistory(4), log).scores(0, 6.0, 4)[0]).tolist() == [0, 3, 2, 1]


@given(choices)
@law(60)
def test_transitions_are_sums_over_the_last_different_items(rows: list[Choice]) -> None:
    log = timed(rows)
    now_s = log[-1][2] + 50.0 if log else 0.0
    found = taught(Transitions(ITEMS), log).scores(0, now_s, ITEMS)

    def recent(user: int, until: int) -> list[int]:
        own = [item for u, item, _ in log[:until] if u == user][::-1]
        return list(dict.fromkeys(own))[:10]

    for row, half_life in zip(found, TRANSITION_HALF_LIVES_S.values(), strict=True):
        counts = np.zeros((ITEMS, ITEMS))
        for n, (user, item, at) in enumerate(log):
            for distance, source in enumerate(recent(user, n), start=1):
                if source != item:
                    counts[source, item] += 2 ** (-(now_s - at) / half_life) / distance
        expected = sum(
            (counts[source] / distance for distance, source in enumerate(recent(0, len(log)), start=1)),
            np.zeros(ITEMS),
        )
        assert np.where(np.isneginf(row), 0.0, row).tolist() == pytest.approx(expected.tolist())
        assert np.isneginf(row).tolist() == (expected == 0.0).tolist()


@given(choices.filter(bool))
@law(20)
def test_rivers_scores_are_rivers_predictions(rows: list[Choice]) -> None:
    log = timed(rows)
    numbers: dict[int, int] = {}
    log = [(user, numbers.setdefault(item, len(numbers)), at) for user, item, at in log]
    peer = RiverFactors(len(numbers), seed=3)
    taught(peer, log)
    user = log[0][0]
    found = peer.scores(user, 0.0, len(numbers))[0]
    said = [peer.model.predict_one(user=user, item=item) for item in range(len(numbers))]
    assert (found - found[0]).tolist() == pytest.approx([one - said[0] for one in said])


@pytest.mark.parametrize("make", [DecayedPopularity, Recency, OwnHistory, Transitions, RiverFactors])
def test_asking_changes_nothing(make: Callable[[int], Peer]) -> None:
    log = [(0, 0, 1), (1, 1, 2), (0, 1, 3), (1, 2, 4), (0, 2, 5)]
    peer = taught(make(3), log)
    first = peer.scores(0, 6.0, 3)
    assert first.shape == (len(peer.names), 3)
    first[:] = 7.0
    peer.scores(9, 6.0, 3)
    again, fresh = peer.scores(0, 6.0, 3), taught(make(3), log).scores(0, 6.0, 3)
    assert again.tolist() == fresh.tolist()


# --- ranks


def test_ties_count_against_the_chosen_item() -> None:
    assert pessimistic_peer_ranks(np.array([[1.0, 1.0, 0.0]]), 0).tolist() == [1]


def test_what_was_seen_is_not_in_the_way() -> None:
    assert pessimistic_peer_ranks(np.array([[3.0, 2.0, 1.0]]), 2, np.array([0])).tolist() == [1]


def test_never_is_behind_everything() -> None:
    assert pessimistic_peer_ranks(np.array([[3.0, -np.inf, -np.inf]]), 2).tolist() == [3]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(FloatingPointError):
        pessimistic_peer_ranks(np.array([[np.nan, 1.0]]), 1)


# --- the line-up


def test_who_begins_with_own_items_has_nothing_to_say_where_they_are_excluded() -> None:
    names = [name for peer in line_up(5, 10, exclude_seen=True) for name in peer.names]
    assert not any(name.startswith("own") for name in names)
    assert len(names) == len(set(names)) == 13


def test_rivers_cost_is_bounded() -> None:
    assert not any(
        isinstance(p, RiverFactors) for p in line_up(5, RIVER_MOST_CHOICES + 1, exclude_seen=False)
    )


@pytest.mark.logs
@pytest.mark.parametrize(
    ("name", "kind", "exclude_seen", "expected"),
    [
        (
            "deskdrop",
            "view",
            False,
            {
                "last touched by anyone": (0.6264, 0.7290, 0.3711, 0.4261),
                "own last 3, then last touched": (0.6517, 0.7589, 0.3462, 0.4112),
                "popularity, 1 h": (0.6364, 0.7384, 0.3516, 0.4139),
            },
        ),
        ("deskdrop", "view", True, {"newest item": (0.6138, 0.7108, 0.3130, 0.3787)}),
        ("ml-latest-small", "rating", True, {"popularity, 1 year": (0.0453, 0.0753, 0.0173, 0.0222)}),
    ],
)
def test_peers_reach_their_figures(
    name: str, kind: str, exclude_seen: bool, expected: dict[str, tuple[float, ...]]
) -> None:
    from stream.evaluation.log import read_log
    from stream.evaluation.peers import run_peers
    from stream.evaluation.protocol import apply_protocol

    if not (LOGS / name).is_dir():
        pytest.skip(f"the event log {name} is not beside the checkout")
    types = frozenset({kind})
    protocol = apply_protocol(read_log([LOGS / name], types=types).events, types, exclude_seen=exclude_seen)
    items = len(protocol.item_ids)
    peers: list[Peer] = [DecayedPopularity(items, ["1 h", "1 year"]), Recency(items), OwnHistory(items)]
    ranks = run_peers(peers, protocol, exclude_seen=exclude_seen)
    for peer, figures in expected.items():
        found = ranking_quality(ranks[peer])
        assert (found.hr10, found.hr20, found.mrr20, found.ndcg10) == pytest.approx(figures, abs=5e-4)
