"""The last touches of a slate: exploration with its propensities, and the reason behind each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.covisitation import CoVisitation
from learners.event_batch import BoolArray, FloatArray, IntArray
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


def reasons(
    rows: IntArray, recent: IntArray, now_s: NDArray[np.float64], covisitation: CoVisitation
) -> IntArray:
    """Which of the user's recent items speaks most for each place.

    Args:
        rows: (S, N) a slate's item rows.
        recent: (S, L) the users' latest different items, newest first.
        now_s: (S,) the moments.
        covisitation: Transitions between items.

    Returns:
        (S, N) item rows, `ABSENT` where no transition leads to the item.
    """
    S, L = recent.shape
    successors, share = covisitation.successors(recent.ravel(), np.repeat(now_s, L))
    M = successors.shape[1]
    successors = successors.reshape(S, L, M)
    strength = share.sum(axis=2).reshape(S, L, M) / np.arange(1, L + 1)[:, None]
    best = np.zeros(rows.shape)
    because = np.full(rows.shape, ABSENT, np.int64)
    for distance in range(L):  # L is ten; one (S, N, M) comparison at a time keeps the temporaries small
        same = successors[:, distance, None, :] == rows[:, :, None]
        spoken = (same * strength[:, distance, None, :]).max(axis=2, initial=0.0)
        better = (spoken > best) & (rows != ABSENT)
        best = np.where(better, spoken, best)
        because = np.where(better, recent[:, distance, None], because)
    return because
