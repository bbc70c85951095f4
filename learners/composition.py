"""From ranked candidates to slates: arrays in, arrays out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.candidates import NEW, SOURCES
from learners.diversity import Diversity, choose
from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.exploration import PLACED, ExplorationRules, explore
from learners.row_index import ABSENT
from learners.take_columns import take_columns

_BEHIND = 1e4  # more than scores differ
_ROUNDING = 1e-9  # .28 x 25 is a little more than 7
_NEW_PLACE = PLACED.index("new")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateRules:
    """What makes a slate out of scores.

    Attributes:
        max_share_per_source: Largest share of a slate's places for items of one source, rounded up; it gives way
            where there is nothing else.
        diversity: How items that are alike keep each other out, see `diversity.choose`.
        diversity_strength: How much, in the unit of the score.
        exploration: What is tried.
    """

    max_share_per_source: float = 1.0
    diversity: Diversity = "none"
    diversity_strength: float = 0.5
    exploration: ExplorationRules = field(default_factory=ExplorationRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """M candidates of each of S sequences, in no order.

    Attributes:
        rows: (S, M) item rows, `ABSENT` where there are fewer.
        sources: (S, M) bits of the sources that brought each.
        parts: (S, M, P) parts of the score.
        vectors: (S, M, D) what says which items are alike.
    """

    rows: IntArray
    sources: NDArray[np.uint8]
    parts: NDArray[np.float64]
    vectors: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """N places of S slates.

    Attributes:
        columns: (S, N) of the candidates.
        rows: (S, N) item rows, `ABSENT` where a slate is shorter.
        scores: (S, N) the sum of the parts; -inf where a slate is shorter.
        parts: (S, N, P + 1) those of the candidates, and what diversity did.
        sources: (S, N) numbers in `SOURCES`.
        placed: (S, N) numbers in `exploration.PLACED`.
        propensity: (S, N) see `exploration.explore`.
    """

    columns: IntArray
    rows: IntArray
    scores: FloatArray
    parts: FloatArray
    sources: IntArray
    placed: NDArray[np.int8]
    propensity: FloatArray


def compose(scored: Scored, size: int, rules: SlateRules, rng: np.random.Generator) -> Composed:
    """Choose by score, within the caps and apart from each other; then explore.

    What is explored is not bound by caps and diversity, so that every candidate stays possible.

    Args:
        scored: Candidates.
        size: Most places of a slate.
        rules: How.
        rng: Source of what is explored.
    """
    filled: BoolArray = scored.rows != ABSENT
    scores = np.where(filled, scored.parts.sum(axis=2), -np.inf)
    sources = first_source(scored.sources)
    N = min(size, scores.shape[1])
    chosen, adjustment = choose(
        scores,
        scored.vectors,
        sources,
        N,
        kind=rules.diversity,
        strength=rules.diversity_strength,
        most_of_a_source=most_of_a_source(rules, size) or N,
    )
    rest = scores.copy()
    np.put_along_axis(rest, chosen, np.inf, axis=1)
    below = np.argsort(-rest, axis=1, kind="stable")[:, N:]
    order, placed, propensity = explore(
        np.concatenate([chosen, below], axis=1),
        filled,
        scores,
        scored.sources & (1 << NEW) > 0,
        N,
        rules.exploration,
        rng,
    )
    parts = np.concatenate(
        [
            take_columns(scored.parts, order),
            np.where(placed == 0, adjustment, 0.0)[:, :, None],
        ],
        axis=2,
    )
    there = take_columns(filled, order)
    return Composed(
        columns=order,
        rows=np.where(there, take_columns(scored.rows, order), ABSENT),
        scores=np.where(there, parts.sum(axis=2), -np.inf).astype(np.float32),
        parts=np.where(there[:, :, None], parts, 0.0).astype(np.float32),
        sources=np.where(placed == _NEW_PLACE, NEW, take_columns(sources, order)),
        placed=placed,
        propensity=propensity,
    )


def with_others(size: int) -> int:
    """Candidates of which a slate of so many places is composed: half as many again, or there is nothing to explore."""
    return size + size // 2


def most_of_a_source(rules: SlateRules, size: int) -> int | None:
    """Places of a slate of so many that one source may take; None where it may take all."""
    if rules.max_share_per_source >= 1.0:
        return None
    return max(math.ceil(rules.max_share_per_source * size - _ROUNDING), 1)


def shortlist(
    scores: FloatArray, sources: NDArray[np.uint8], count: int, most: int | None = None
) -> IntArray:
    """(S, min(count, C)) columns of the largest scores, in no order.

    New items come first, for they have no past; then, where a slate may take only so many of one source, the best
    `most` of each, so that it finds others.
    """
    if scores.shape[1] <= count:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape).copy()
    favoured = np.where((sources == 1 << NEW) & np.isfinite(scores), np.inf, scores)
    if most is not None:
        favoured = np.where(_among_best(scores, first_source(sources), most), favoured, favoured - _BEHIND)
    return np.argpartition(-favoured, count - 1, axis=1)[:, :count]


def _among_best(scores: FloatArray, sources: IntArray, most: int) -> BoolArray:
    """(S, C) which candidates are among the best so many of their own source."""
    order = np.argsort(-scores, axis=1, kind="stable")
    source = take_columns(sources, order)[:, :, None]
    places = np.take_along_axis((source == np.arange(len(SOURCES))).cumsum(axis=1), source, axis=2)
    among = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(among, order, places[:, :, 0] <= most, axis=1)
    return among


def first_source(bits: NDArray[np.uint8]) -> IntArray:
    """Number of the lowest set bit, 0 where none is."""
    numbers: IntArray = ((bits[:, :, None] & (1 << np.arange(len(SOURCES), dtype=np.uint8))) > 0).argmax(
        axis=2
    )
    return numbers
