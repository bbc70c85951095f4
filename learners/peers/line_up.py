"""Which peers take part in an evaluation."""

from __future__ import annotations

from learners.peers.covisitation import Transitions
from learners.peers.own_history import OwnHistory
from learners.peers.peer import Peer
from learners.peers.popularity import DecayedPopularity
from learners.peers.recency import Recency
from learners.peers.river_factors import RiverFactors

RIVER_MOST_CHOICES = 250_000
"""Beyond so many choices river's learning in Python (about 0.2 ms a choice) is left out."""


def line_up(items: int, choices: int, *, exclude_seen: bool) -> list[Peer]:
    """All peers that have something to say, new.

    Args:
        items: Different items of the log.
        choices: Choices of the log, which bound the cost.
        exclude_seen: Whether seen items are left out; who begins with the user's own items is then left out too.
    """
    peers: list[Peer] = [DecayedPopularity(items), Recency(items)]
    if not exclude_seen:
        peers.append(OwnHistory(items))
    peers.append(Transitions(items))
    if choices <= RIVER_MOST_CHOICES:
        peers.append(RiverFactors(items))
    return peers
