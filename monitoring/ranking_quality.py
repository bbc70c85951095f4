"""How good a ranking was: hit rate, reciprocal rank and discounted gain of zero-based ranks, and how varied it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HIT_AT = 10
LONG_AT = 20

Ranks = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingQuality:
    """Means over n events with one relevant item each; NaN where n is 0.

    Attributes:
        n: Events.
        hr10: Share of the events whose item stood in the first ten.
        hr20: The same for twenty.
        mrr20: Mean of 1 / (rank + 1) of ranks below twenty, 0 for the others.
        ndcg10: Mean of 1 / log2(rank + 2) of ranks below ten, 0 for the others; with one relevant item this
            is the normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002).
    """

    n: int
    hr10: float
    hr20: float
    mrr20: float
    ndcg10: float


def ranking_quality(ranks: Ranks) -> RankingQuality:
    """The figures of (M,) zero-based ranks; below zero is a miss."""
    if not len(ranks):
        nothing = float("nan")
        return RankingQuality(n=0, hr10=nothing, hr20=nothing, mrr20=nothing, ndcg10=nothing)
    return RankingQuality(
        n=len(ranks),
        hr10=float(hits(ranks).mean()),
        hr20=float(hits(ranks, LONG_AT).mean()),
        mrr20=float(reciprocal_ranks(ranks).mean()),
        ndcg10=float(gains(ranks).mean()),
    )


def hits(ranks: Ranks, at: int = HIT_AT) -> NDArray[np.bool_]:
    """(M,) which ranks are places of a list of `at` items."""
    return (ranks >= 0) & (ranks < at)


def reciprocal_ranks(ranks: Ranks) -> NDArray[np.float64]:
    """(M,) 1 / (rank + 1) of ranks below twenty, 0 for the others."""
    found: NDArray[np.float64] = hits(ranks, LONG_AT) / (np.maximum(ranks, 0) + 1.0)
    return found


def gains(ranks: Ranks) -> NDArray[np.float64]:
    """(M,) 1 / log2(rank + 2) of ranks below ten, 0 for the others."""
    found: NDArray[np.float64] = hits(ranks) / np.log2(np.maximum(ranks, 0) + 2.0)
    return found


def window_means(values: NDArray[np.floating] | NDArray[np.bool_], windows: int) -> NDArray[np.float64]:
    """(W,) means over consecutive windows of (nearly) equal length; no more windows than values."""
    edges = np.linspace(0, len(values), min(windows, len(values)) + 1).astype(np.int64)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])[edges]
    means: NDArray[np.float64] = np.diff(sums) / np.diff(edges)
    return means


@dataclass(frozen=True, slots=True, kw_only=True)
class Variety:
    """How recommendations spread over the catalogue.

    Attributes:
        catalogue: Items that could have been recommended.
        coverage: Share of them that was recommended at least once.
        gini: Gini coefficient of how often each was: 0 all alike, towards 1 a few items only.
    """

    catalogue: int
    coverage: float
    gini: float


def variety(recommended: NDArray[np.integer], catalogue: int) -> Variety:
    """The variety of lists.

    Args:
        recommended: (M, N) item numbers below `catalogue`, negative where a list was shorter.
        catalogue: How many items there are.
    """
    return variety_of_counts(np.bincount(recommended[recommended >= 0].ravel()), catalogue)


def variety_of_counts(counts: NDArray[np.integer], catalogue: int) -> Variety:
    """The variety where items were recommended (M,) times; those of the catalogue that are not counted never were."""
    ordered = np.sort(counts[counts > 0]).astype(np.float64)
    if not len(ordered):
        return Variety(catalogue=catalogue, coverage=0.0, gini=float("nan"))
    n = catalogue
    rank = np.arange(n - len(ordered) + 1, n + 1)  # the others come before, with nothing
    gini = float((2.0 * rank - n - 1.0) @ ordered / (n * ordered.sum()))
    return Variety(catalogue=catalogue, coverage=len(ordered) / n, gini=gini)
