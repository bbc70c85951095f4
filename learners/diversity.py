"""Which items make a slate together: the best ones, not too alike, not too many of one source."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import FloatArray, IntArray

Diversity = Literal["none", "mmr", "dpp"]

_KINDS = {"none": 0, "mmr": 1, "dpp": 2}
_LEAST = 1e-6  # what is left of an item that the slate spans already


def choose(
    scores: NDArray[np.float64],
    vectors: FloatArray,
    sources: NDArray[np.int64],
    size: int,
    *,
    kind: Diversity = "none",
    strength: float = 0.0,
    most_of_a_source: int,
) -> tuple[IntArray, NDArray[np.float64]]:
    """Choose slates one item after the other, each time the one that has the highest score and adjustment.

    - `mmr`: the adjustment is -strength · max cos(v_i, v_j) over the items j above, at most 0 (maximal marginal
      relevance: Carbonell and Goldstein, SIGIR 1998). O(N C D).
    - `dpp`: strength · log(d_i²), with d_i² the part of item i that the items above do not span. With
      q_i = exp(score_i / (2 strength)), the chosen item is the one that raises log det L most, L_ij = q_i q_j S_ij:
      the greedy MAP of a determinantal point process, by its incremental Cholesky factor (Chen et al., NeurIPS 2018,
      arXiv:1709.05135). S_ij = (1 + cos) / 2, so that opposite items count as different. O(N C (D + N)).

    Both are in the unit of the scores. An item whose source is full is passed over as long as there are others.

    Args:
        scores: (S, C), -inf where there is no candidate.
        vectors: (S, C, D) of any length; not read where `kind` is `none`.
        sources: (S, C) numbers of sources, 0 and up.
        size: N.
        kind: Which adjustment.
        strength: How much it counts.
        most_of_a_source: Most items of one source.

    Returns:
        (S, min(N, C)) columns, and the adjustment of each at the time of its choice.
    """
    S, C = scores.shape
    N = min(size, C)
    if strength == 0.0 or not S:
        kind = "none"
    if kind == "none" and most_of_a_source >= N:
        return np.argsort(-scores, axis=1, kind="stable")[:, :N], np.zeros((S, N))
    if kind == "none":
        units = np.zeros((S, C, 1), np.float32)
    else:
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-12)
    order = np.zeros((S, N), np.int64)
    adjustment = np.zeros((S, N))
    _choose(
        scores,
        np.ascontiguousarray(units, np.float32),
        sources,
        _KINDS[kind],
        strength,
        most_of_a_source,
        int(sources.max(initial=0)) + 1,
        order,
        adjustment,
    )
    return order, adjustment


@compiled
def _choose(
    scores: NDArray[np.float64],
    units: FloatArray,
    sources: NDArray[np.int64],
    kind: int,
    strength: float,
    most_of_a_source: int,
    number_of_sources: int,
    order: IntArray,
    adjustments: NDArray[np.float64],
) -> None:
    S, C = scores.shape
    N, D = order.shape[1], units.shape[2]
    taken = np.empty(C, np.bool_)
    alike = np.empty(C)  # mmr: the largest cosine with the slate
    left = np.empty(C)  # dpp: d²
    factor = np.empty((C, N))  # dpp: rows of the Cholesky factor
    of_source = np.empty(number_of_sources, np.int64)
    for s in range(S):
        taken[:] = False
        alike[:] = 0.0
        left[:] = 1.0
        of_source[:] = 0
        for n in range(N):
            best, best_value, best_adjustment = -1, -np.inf, 0.0
            spare, spare_value, spare_adjustment = -1, -np.inf, 0.0
            for c in range(C):
                if taken[c]:
                    continue
                adjustment = 0.0
                if kind == 1:
                    adjustment = -strength * alike[c]
                elif kind == 2:
                    adjustment = strength * np.log(max(left[c], _LEAST))
                value = scores[s, c] + adjustment
                if of_source[sources[s, c]] < most_of_a_source or scores[s, c] == -np.inf:
                    if best < 0 or value > best_value:
                        best, best_value, best_adjustment = c, value, adjustment
                elif spare < 0 or value > spare_value:
                    spare, spare_value, spare_adjustment = c, value, adjustment
            if spare >= 0 and (best < 0 or best_value == -np.inf):
                best, best_adjustment = spare, spare_adjustment
            taken[best] = True
            order[s, n] = best
            if scores[s, best] == -np.inf:
                continue
            adjustments[s, n] = best_adjustment
            of_source[sources[s, best]] += 1
            if kind == 0:
                continue
            root = np.sqrt(max(left[best], _LEAST))
            for c in range(C):
                if taken[c]:
                    continue
                cosine = 0.0
                for d in range(D):
                    cosine += units[s, best, d] * units[s, c, d]
                if kind == 1:
                    alike[c] = max(alike[c], cosine)
                else:
                    entry = (1.0 + cosine) / 2.0
                    for t in range(n):
                        entry -= factor[best, t] * factor[c, t]
                    factor[c, n] = entry / root
                    left[c] -= factor[c, n] ** 2
