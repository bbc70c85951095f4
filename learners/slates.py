"""The last touches of a slate: exploration with its propensities, and the reason behind each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.counts import FOLLOWED, latest_distinct
from learners.counts.neighbours import Neighbours, NeighbourTable, share_factors
from learners.event_batch import BoolArray, FloatArray, Histories, IntArray
from learners.row_index import ABSENT


def explore(
    order: IntArray, filled: BoolArray, size: int, probability: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Give places to candidates from below the slate, each with some probability.

    Args:
        order: (S, C) columns, best first.
        filled: (S, C) by column, whether there is a candidate.
        size: N, places of a slate.
        probability: Chance of each place to be explored.
        rng: Source of the draws.

    Returns:
        (S, min(N, C)) columns, and the probability with which the policy put each into its place.
    """
    S, C = order.shape
    N = min(size, C)
    slate = order[:, :N].copy()
    left = np.maximum(np.take_along_axis(filled, order, axis=1).sum(axis=1) - N, 0)  # (S,) candidates below
    drawn = (rng.random((S, N)) < probability) & (np.arange(N) < left[:, None])
    # Explored places take different candidates: the n-th of a slate takes the n-th of a random order.
    lottery = np.where(np.arange(C - N) < left[:, None], rng.random((S, C - N)), 2.0)
    random_order = N + np.argsort(lottery, axis=1)
    nth = np.cumsum(drawn, axis=1) - 1
    where = np.nonzero(drawn)
    slate[where] = order[where[0], random_order[where[0], nth[where]]]
    share = np.where(drawn, probability / np.maximum(left, 1)[:, None], 1.0 - probability)
    propensity = np.where(left[:, None] > np.arange(N), share, 1.0)
    return slate, propensity.astype(np.float32)


def reasons(rows: IntArray, histories: Histories, transitions: NeighbourTable) -> IntArray:
    """Which of the user's recent items speaks most for each place, by the transitions that lead from it.

    Args:
        rows: (S, N) slates' item rows.
        histories: S users at S moments.
        transitions: From item to item.

    Returns:
        (S, N) item rows, `ABSENT` where no transition leads to the item.
    """
    because = np.full(rows.shape, ABSENT, np.int64)
    _reasons(transitions.arrays, rows, histories.item_rows, histories.now_s, because)
    return because


@compiled
def _reasons(
    transitions: Neighbours, rows: IntArray, histories: IntArray, now_s: NDArray[np.float64], out: IntArray
) -> None:
    recent = np.empty(FOLLOWED, np.int64)
    factors = np.empty(transitions.weights.shape[2], np.float32)
    best = np.empty(rows.shape[1])
    for s in range(len(rows)):
        best[:] = 0.0
        for distance in range(latest_distinct(histories[s], recent)):
            source = recent[distance]
            share_factors(transitions, source, now_s[s], factors)
            for m in range(transitions.rows.shape[1]):
                successor = transitions.rows[source, m]
                if successor == ABSENT:
                    break
                for n in range(rows.shape[1]):
                    if rows[s, n] == successor:
                        strength = (transitions.weights[source, m] * factors).sum() / (1.0 + distance)
                        if strength > best[n]:
                            best[n], out[s, n] = strength, source
