"""Whether one recommender is better than another, from what both said about the very same events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_EXACT_BELOW = 1_000
_MOST_BLOCKS = 100
_FEWEST_IN_A_BLOCK = 10

Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class McNemar:
    """McNemar's test on paired hits (McNemar, 1947).

    Attributes:
        only_one: Events that the first hit and the other missed.
        only_other: The reverse.
        p: Two-sided; of the binomial distribution below 1,000 such events, else of chi-square with continuity
            correction.
    """

    only_one: int
    only_other: int
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A block-bootstrap interval of a mean difference.

    Attributes:
        difference: First minus other, of all events.
        low: Lower end of the 95 % interval.
        high: Upper end.
        block: Consecutive events of a block.
        resamples: How often blocks were drawn.
    """

    difference: float
    low: float
    high: float
    block: int
    resamples: int


def mcnemar(one: Hits, other: Hits) -> McNemar:
    """Whether (M,) hits of `one` and of `other` differ by more than chance; p = 1 where no event tells them apart."""
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    told = only_one + only_other
    if not told:
        p = 1.0
    elif told < _EXACT_BELOW:
        p = float(stats.binomtest(only_one, told).pvalue)
    else:
        p = float(stats.chi2.sf(max(abs(only_one - only_other) - 1.0, 0.0) ** 2 / told, 1))
    return McNemar(only_one=only_one, only_other=only_other, p=p)


def wilcoxon(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test (1945) on (W,) windows' figures; 1 where all are alike."""
    difference = one - other
    difference = difference[np.abs(difference) > 1e-12]
    return float(stats.wilcoxon(difference).pvalue) if len(difference) else 1.0


def block_bootstrap(
    one: NDArray[np.floating] | Hits,
    other: NDArray[np.floating] | Hits,
    rng: np.random.Generator,
    *,
    resamples: int = 2_000,
) -> Interval:
    """A 95 % interval of the mean difference that respects that neighbouring events are alike.

    Circular blocks of consecutive events are drawn with replacement (Politis and Romano, 1992), a hundred of
    them where there are enough events, and the interval is between percentiles 2.5 and 97.5 of their means.

    Args:
        one: (M,) figures of the first.
        other: (M,) figures of the other for the same events.
        rng: Draws the blocks.
        resamples: How often.
    """
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    M = len(difference)
    if not M:
        nothing = float("nan")
        return Interval(difference=nothing, low=nothing, high=nothing, block=0, resamples=0)
    block = min(max(_FEWEST_IN_A_BLOCK, -(-M // _MOST_BLOCKS)), max(M // 2, 1))
    blocks = -(-M // block)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([difference, difference[:block]]))])
    starts = rng.integers(0, M, (resamples, blocks))
    means = (sums[starts + block] - sums[starts]).sum(axis=1) / (blocks * block)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(
        difference=float(difference.mean()),
        low=float(low),
        high=float(high),
        block=block,
        resamples=resamples,
    )
