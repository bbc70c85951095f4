"""What the ranker sees of a candidate: every count that could speak for it, on logarithmic scales."""

from __future__ import annotations

import numpy as np

from learners.candidates import Candidates
from learners.event_batch import FloatArray, Histories
from learners.popularity import Popularity
from learners.row_index import ABSENT

_FLOOR = 1e-3

NAMES: tuple[str, ...] = (
    *(f"popularity_{name}" for name in ("6m", "1h", "6h", "1d", "1w", "2mo", "2y", "20y")),
    *(f"from_last_{name}" for name in ("1h", "1d", "2mo", "10y")),
    *(f"from_recent_{name}" for name in ("1h", "1d", "2mo", "10y")),
    *("own_count", "own_age", "own", "own_is_last"),
    *("first_age", "last_age", "first_age_events", "last_age_events"),
    *("user_gap", "user_length"),
    *("neural", "neural_share"),
)
"""Axis F."""

_PRIOR = {
    "popularity_1d": 0.3,
    "from_last_1d": 0.2,
    "from_last_10y": 0.2,
    "from_recent_1d": 0.4,
    "from_recent_10y": 0.4,
    "neural": 0.2,
}

PRIOR = np.array([_PRIOR.get(name, 0.0) for name in NAMES], np.float32)
"""Weights of the scaled features for a ranker that has learned nothing: what follows, and what is popular."""

COUNTS = NAMES.index("neural")
"""How many of them, from the first, are counts: what changes when events are counted, the item's own among them."""

PAIR_FEATURES = len(NAMES) - 1
"""How many of them, from the first, say something of a user and an item alone, whatever else is a candidate."""


def ranking_features(
    candidates: Candidates, histories: Histories, popularity: Popularity, neural: FloatArray
) -> FloatArray:
    """The ranker's input.

    Args:
        candidates: S sequences with C candidates each.
        histories: The same S sequences.
        popularity: Choices of items, as of before the events that are being predicted.
        neural: (S, C) the neural model's scores.

    Returns:
        (S, C, F) in the order of `NAMES`; rows of `ABSENT` candidates mean nothing.
    """
    S, C = candidates.rows.shape
    filled = candidates.rows != ABSENT
    rows = np.where(filled, candidates.rows, 0).ravel()
    moments = np.repeat(histories.now_s, C)
    features = np.empty((S, C, len(NAMES)), np.float32)
    features[:, :, 0:8] = np.log(popularity.scores(rows, moments) + _FLOOR).reshape(S, C, 8)
    features[:, :, 8:12] = np.log(candidates.from_last + _FLOOR)
    features[:, :, 12:16] = np.log(candidates.from_recent + _FLOOR)

    own = candidates.own_count > 0.0
    features[:, :, 16] = np.log1p(candidates.own_count)
    features[:, :, 17] = np.where(own, np.log1p(np.where(own, candidates.own_age_s, 0.0) / 60.0) / 10.0, 0.0)
    features[:, :, 18] = own
    features[:, :, 19] = candidates.rows == candidates.last_item[:, None]

    ages = popularity.ages(rows, moments).reshape(S, C, 4)
    features[:, :, 20:22] = np.log1p(ages[:, :, 0:2] / 60.0) / 10.0
    features[:, :, 22:24] = np.log1p(ages[:, :, 2:4]) / 8.0

    gap_s = np.where(histories.mask[:, -1], histories.age_s[:, -1], 0.0)
    features[:, :, 24] = (np.log1p(gap_s / 60.0) / 8.0)[:, None]
    features[:, :, 25] = (np.log1p(histories.lengths) / 4.0)[:, None]

    features[:, :, 26] = neural
    peak = np.where(filled, neural, -np.inf).max(axis=1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    total = np.where(filled, np.exp(neural - peak), 0.0).sum(axis=1, keepdims=True)
    features[:, :, 27] = neural - peak - np.log(np.maximum(total, 1e-30))
    return features
