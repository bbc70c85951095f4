"""Peers that one would write first learn what is chosen, and asking them changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers import hit_rate
from benchmarks.plain_peers import DenseFactors, RiverMachine
from learners.peers.peer import Peer
from stream.evaluation.run import UNRANKED


@pytest.mark.parametrize("kind", ["river", "torch"])
def test_each_user_gets_what_he_chose_before(kind: str) -> None:
    peer: Peer = RiverMachine(4) if kind == "river" else DenseFactors(2, 4, learning_rate=0.05)
    for _ in range(150):
        for user in (0, 1):
            for item in (2 * user, 2 * user + 1):
                peer.learn(user, item, 0.0)
    for user in (0, 1):
        scores = peer.scores(user, 0.0, 4)
        assert scores.shape == (1, 4)
        assert set(np.argsort(-scores[0])[:2].tolist()) == {2 * user, 2 * user + 1}
        assert (peer.scores(user, 0.0, 4) == scores).all()


def test_rivers_mirror_orders_items_as_river_does() -> None:
    peer = RiverMachine(5)
    for n in range(100):
        peer.learn(n % 3, n % 5, 0.0)
    said = [peer.model.predict_proba_one({"user": "1", "item": str(item)})[True] for item in range(5)]
    assert np.argsort(said).tolist() == np.argsort(peer.scores(1, 0.0, 5)[0]).tolist()


def test_what_was_not_found_is_a_miss_and_what_was_not_ranked_is_nobodys() -> None:
    assert hit_rate(np.array([0, 9, 10, -1, UNRANKED])) == 0.5
