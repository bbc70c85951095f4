"""Exploration: some places of a slate go to candidates from below it, others to new items; each with its propensity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import BoolArray, FloatArray, IntArray

RANKED, EXPLORED, NEW = range(3)
PLACED: tuple[str, ...] = ("ranked", "explored", "new")
"""Why an item stands in its place: it was composed to stand there, it was tried, or it was tried because it is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationRules:
    """How much is tried.

    Attributes:
        probability: Chance of each place to go to a candidate from below the slate.
        temperature: Of the softmax over their scores, by which one is drawn; large ones draw evenly.
        new_share: Chance of each place to go to a new item, while there are any.
    """

    probability: float = 0.0
    temperature: float = 1.0
    new_share: float = 0.0


class Explored(NamedTuple):
    """N places of S slates.

    Attributes:
        order: (S, N) columns of candidates.
        placed: (S, N) numbers in `PLACED`.
        propensity: (S, N) probability of the item in its place, given those above it.
    """

    order: IntArray
    placed: NDArray[np.int8]
    propensity: FloatArray


def explore(
    order: IntArray,
    filled: BoolArray,
    scores: NDArray[np.float64],
    new: BoolArray,
    size: int,
    rules: ExplorationRules,
    rng: np.random.Generator,
) -> Explored:
    """Give places to candidates from below the slate.

    From the top, place r goes

    - with `new_share` to one of the new items that stand neither in the composed slate nor above, evenly;
    - with `probability` to a candidate from below the composed slate that does not stand above, drawn in
      proportion to exp(score / temperature). Places that are explored so follow a Plackett-Luce order of
      what is below (Gumbel top-k draws the same);
    - else to the item that was composed to stand there.

    Where nothing is left to draw from, a part's probability goes to the last of these. A new item can come both
    ways, and its propensity is the sum of both. Propensities are conditional: the probability of the item given
    what stands above it (and the candidates at hand). So their product is the probability of the slate, and the
    weights of a policy that would have drawn otherwise are products over places (reward interaction IPS,
    McInerney et al., KDD 2020). The item that was composed for a place stands there with 1 - probability -
    new_share, whatever stands above, so for the composed slate a place's weight needs no other place.

    Args:
        order: (S, C) columns, the composed slate first, then what is below it.
        filled: (S, C) by column, whether there is a candidate.
        scores: (S, C) by column.
        new: (S, C) by column, whether the candidate is a new item.
        size: Most places of a slate.
        rules: How much is tried.
        rng: Source of the draws; as many are taken whatever comes of them.
    """
    S, C = order.shape
    N = min(size, C)
    slate = order[:, :N].copy()
    placed = np.zeros((S, N), np.int8)
    propensity = np.ones((S, N), np.float32)
    draws = rng.random((S, N, 2))
    _explore(
        order,
        filled,
        scores,
        new,
        draws,
        rules.probability,
        rules.temperature,
        rules.new_share,
        slate,
        placed,
        propensity,
    )
    return Explored(slate, placed, propensity)


@compiled
def _explore(
    order: IntArray,
    filled: BoolArray,
    scores: NDArray[np.float64],
    new: BoolArray,
    draws: NDArray[np.float64],
    probability: float,
    temperature: float,
    new_share: float,
    slate: IntArray,
    placed: NDArray[np.int8],
    propensity: FloatArray,
) -> None:
    S, C = order.shape
    N = slate.shape[1]
    weights = np.empty(C)
    for s in range(S):
        below, newcomers, peak = 0, 0, -np.inf
        for n in range(N, C):
            column = order[s, n]
            weights[n] = 0.0
            if filled[s, column]:
                below += 1
                peak = max(peak, scores[s, column])
                newcomers += new[s, column]
        total = 0.0
        for n in range(N, C):
            column = order[s, n]
            if filled[s, column]:
                weights[n] = np.exp((scores[s, column] - peak) / temperature)
                # what is far below must stay possible, or its propensity would be no number to divide by
                weights[n] = max(weights[n], 1e-9)
                total += weights[n]
        for r in range(N):
            if not filled[s, order[s, r]]:
                break
            tries = probability if below > 0 else 0.0
            tries_new = min(new_share, 1.0 - tries) if newcomers > 0 else 0.0
            propensity[s, r] = 1.0 - tries - tries_new
            lot = draws[s, r, 0]
            if lot >= tries + tries_new:
                continue
            by_newness = lot < tries_new
            left = draws[s, r, 1] * (newcomers if by_newness else total)
            drawn = -1
            for n in range(N, C):
                if weights[n] == 0.0 or (by_newness and not new[s, order[s, n]]):
                    continue
                drawn = n  # the last one also takes what rounding has left over
                left -= 1.0 if by_newness else weights[n]
                if left < 0.0:
                    break
            column = order[s, drawn]
            slate[s, r] = column
            placed[s, r] = 2 if by_newness else 1
            chance = tries * weights[drawn] / total
            if new[s, column]:
                chance += tries_new / newcomers
                newcomers -= 1
            propensity[s, r] = chance
            below -= 1
            weights[drawn] = 0.0
            total = 0.0  # summed anew: differences would lose the small weights
            for n in range(N, C):
                total += weights[n]
