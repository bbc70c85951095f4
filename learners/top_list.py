"""The list that a ranking shows, in agreement with pessimistic ranks."""

from __future__ import annotations

import numpy as np

from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.take_columns import take_columns


def pessimistic_top(
    rows: IntArray, scores: FloatArray, chosen: IntArray, size: int
) -> tuple[IntArray, IntArray]:
    """The best items, best first, and where the chosen one stands; every tie counts against the chosen item.

    Args:
        rows: (T, C) candidates, in no order; `ABSENT` where there are fewer.
        scores: (T, C) their scores; -inf for a candidate that may not be shown, and without meaning at `ABSENT`.
        chosen: (T,) the chosen items.
        size: N, places of the list.

    Returns:
        (T, N) rows, `ABSENT` where the list is shorter, and (T,) zero-based ranks of the chosen items among
        all candidates, -1 where it is none of them. Where the rank is below N, it is the item's place.

    Raises:
        FloatingPointError: A candidate's score is NaN or infinitely good: any rank would be a lie.
    """
    real = rows != ABSENT
    if not (np.isfinite(scores) | np.isneginf(scores) | ~real).all():
        raise FloatingPointError("A candidate's score is not finite; no rank can be told.")
    shown = real & np.isfinite(scores)
    hit = shown & (rows == chosen[:, None])
    order = np.lexsort((hit, -np.where(shown, scores, -np.inf)), axis=1)[:, :size]
    top = np.where(take_columns(shown, order), take_columns(rows, order), ABSENT)
    if top.shape[1] < size:
        top = np.pad(top, ((0, 0), (0, size - top.shape[1])), constant_values=ABSENT)
    own = np.where(hit, scores, -np.inf).max(axis=1, initial=-np.inf)
    ranks = (shown & (scores >= own[:, None])).sum(axis=1) - 1
    return top, np.where(hit.any(axis=1), ranks, -1)


def pessimistic_ranks(rows: IntArray, scores: FloatArray, chosen: IntArray) -> IntArray:
    """Zero-based ranks of the chosen items; every tie counts against them.

    Args:
        rows: (T, C) candidates.
        scores: (T, C) their scores.
        chosen: (T,) the chosen items.

    Returns:
        (T,), -1 where the chosen item is not among the candidates.

    Raises:
        FloatingPointError: A candidate's score is NaN: any rank would be a lie.
    """
    if np.isnan(scores).any():
        raise FloatingPointError("a candidate's score is not a number; no rank can be told")
    hit = rows == chosen[:, None]
    found = hit.any(axis=1)
    own = np.where(found, np.where(hit, scores, -np.inf).max(axis=1, initial=-np.inf), np.inf)
    better = (scores >= own[:, None]).sum(axis=1) - 1
    return np.where(found, better, -1)
