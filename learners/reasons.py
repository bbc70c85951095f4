"""The reason behind each place of a slate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.counts import FOLLOWED, latest_distinct
from learners.counts.neighbours import Neighbours, NeighbourTable, list_of, share_factors
from learners.event_batch import Histories, IntArray
from learners.row_index import ABSENT


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
    factors = np.empty(transitions.weights.shape[1], np.float32)
    best = np.empty(rows.shape[1])
    for s in range(len(rows)):
        best[:] = 0.0
        for distance in range(latest_distinct(histories[s], recent)):
            source = recent[distance]
            share_factors(transitions, source, now_s[s], factors)
            successors, weights = list_of(transitions, source)
            for m in range(len(successors)):
                for n in range(rows.shape[1]):
                    if rows[s, n] == successors[m]:
                        strength = (weights[m] * factors).sum() / (1.0 + distance)
                        if strength > best[n]:
                            best[n], out[s, n] = strength, source
