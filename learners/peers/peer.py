"""What the measuring room asks of a peer, and the rank that a peer gives to a chosen item."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


class Peer(Protocol):
    """A family of P recommenders that differ in one number and share their counts.

    Users and items are numbers from 0 in the order of their first appearance, so the items that are known at
    a moment are `0 .. known - 1`. Scores are comparable within one call only, on any scale that rises with
    preference; every one of them is a number or -inf, which says "never".

    """

    @property
    def names(self) -> tuple[str, ...]:
        """The P recommenders, as they are printed."""
        ...

    def scores(self, user: int, now_s: float, known: int) -> Scores:
        """(P, known) scores of every known item for `user` at a moment; changes nothing."""
        ...

    def learn(self, user: int, item: int, now_s: float) -> None:
        """`user` chose `item`."""
        ...


def pessimistic_peer_ranks(scores: Scores, chosen: int, seen: NDArray[np.int64] | None = None) -> Scores:
    """Zero-based ranks of the chosen item among all items that may be shown; every tie counts against it.

    Args:
        scores: (P, N) scores; used up.
        chosen: Number of the chosen item, below N.
        seen: Items that may not be shown; None where everything may be.

    Returns:
        (P,) ranks; N where the recommender would never name the item.

    Raises:
        FloatingPointError: A score is NaN: any rank would be a lie.
    """
    own = scores[:, chosen].copy()
    if seen is not None:
        scores[:, seen] = -np.inf
        scores[:, chosen] = own
    if np.isnan(scores).any():
        raise FloatingPointError("a peer's score is not a number; no rank can be told")
    better: Scores = (scores >= own[:, None]).sum(axis=1) - 1
    return np.where(np.isneginf(own), scores.shape[1], better)
