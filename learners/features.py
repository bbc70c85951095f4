"""What the ranker sees of a candidate: every count that could speak for it, on logarithmic scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.candidates import WAYS, Candidates
from learners.compiled import compiled
from learners.counts.counts import CountArrays, Counts
from learners.counts.expectations import HALF_LIVES_CHOICES, over_expectation
from learners.counts.habits import AGE, POPULARITY, REPEATS, SILENCE
from learners.counts.neighbours import share_factors
from learners.counts.own_items import find_pair
from learners.counts.popularity import DECAYS, TIMED, popularity_of
from learners.event_batch import FloatArray, Histories, IntArray
from learners.row_index import ABSENT

_FLOOR = np.float32(1e-3)
_SESSION_GAP_S = 1_800.0

_TRANSITIONS = ("1h", "1d", "2mo", "10y", "2n", "10n", "50n")

_LOG_NAMES = (
    *(f"popularity_{name}" for name in ("6m", "1h", "6h", "1d", "1w", "2mo", "2y", "20y")),
    *(f"popularity_{name}" for name in ("20n", "100n", "500n", "2500n", "12500n")),
    *(f"from_last_{name}" for name in _TRANSITIONS),
    *(f"from_recent_{name}" for name in _TRANSITIONS),
    *("evenly_1d", "evenly_10y"),
    *("together_1w", "together_10y", "together_root", "together_near"),
    *("companions_1w", "companions_10y", "companions_latest", "companions_best", "companions_mean"),
)
"""Shares and counts that are taken as log(x + 0.001)."""

_PLAIN_NAMES = (
    *("transition_ways", "together_ways"),
    *("own_count", "own_age", "own", "own_is_last", "own_place", "own_lately"),
    *("first_age", "last_age", "first_age_events", "last_age_events"),
    *("first_after_last", "first_from_last", "chosen_after_last"),
    *("choosers", "over_expected_300n", "over_expected_3000n"),
    *("newer_than_habit", "livelier_than_habit", "rarer_than_habit"),
)

_USER_NAMES = (
    "user_gap",
    "user_length",
    "user_session",
    "habit_age",
    "habit_silence",
    "habit_popularity",
    "habit_repeats",
)

NAMES: tuple[str, ...] = (*_LOG_NAMES, *_PLAIN_NAMES, *_USER_NAMES, "neural", "neural_share")
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

COUNTS = NAMES.index("neural")
"""How many of them, from the first, need no vectors."""

_LOGS = len(_LOG_NAMES)
_EVIDENCE_0 = DECAYS
_COMPANIONS_0 = DECAYS + WAYS.start
_PLAIN_0 = _LOGS
_USER_0 = _LOGS + len(_PLAIN_NAMES)
_NEURAL = COUNTS
_LASTING = TIMED - 1


def ranking_features(
    candidates: Candidates, histories: Histories, counts: Counts, neural: FloatArray
) -> FloatArray:
    """The ranker's input.

    Args:
        candidates: S sequences with C candidates each.
        histories: The same S sequences.
        counts: As of before the events that are being predicted.
        neural: (S, C) the neural model's scores.

    Returns:
        (S, C, F) in the order of `NAMES`; rows of `ABSENT` candidates mean nothing.
    """
    S, C = candidates.rows.shape
    features = np.zeros((S, C, len(NAMES)), np.float32)
    _describe(
        counts.arrays,
        counts.popularity.events,
        counts.expectations.ranked,
        candidates.rows,
        candidates.evidence,
        histories.users,
        histories.item_rows,
        histories.age_s,
        histories.now_s,
        histories.lengths,
        features,
    )
    logs = features[:, :, :_LOGS]
    np.log(logs + _FLOOR, out=logs)
    features[:, :, _NEURAL] = neural
    filled = candidates.rows != ABSENT
    peak = np.where(filled, neural, -np.inf).max(axis=1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    total = np.where(filled, np.exp(neural - peak), 0.0).sum(axis=1, keepdims=True)
    features[:, :, _NEURAL + 1] = neural - peak - np.log(np.maximum(total, 1e-30))
    return features


@compiled
def _describe(
    counts: CountArrays,
    events: int,
    ranked: int,
    rows: IntArray,
    evidence: FloatArray,
    users: IntArray,
    histories: IntArray,
    ages_s: FloatArray,
    now_s: NDArray[np.float64],
    lengths: IntArray,
    out: FloatArray,
) -> None:
    """Fill (S, C, F) but for the logarithms and the neural columns."""
    S, C = rows.shape
    H = histories.shape[1]
    popularity, companions = counts.popularity, counts.companions
    V = companions.choosers.shape[1]
    of_users = companions.of_users
    known_users = min(len(counts.habits), len(of_users.rows))
    closeness = companions.closeness
    factors = np.empty(2, np.float32)
    for s in range(S):
        user, now = users[s], now_s[s]
        last = histories[s, H - 1]
        gap_s = ages_s[s, H - 1] if last != ABSENT else 0.0
        session = 0
        for slot in range(H - 1, 0, -1):
            if histories[s, slot - 1] == ABSENT or ages_s[s, slot - 1] - ages_s[s, slot] > _SESSION_GAP_S:
                break
            session += 1
        known_user = user < known_users
        if known_user:
            share_factors(of_users, user, now, factors)
            for m in range(of_users.rows.shape[1]):
                other = of_users.rows[user, m]
                if other == ABSENT:
                    break
                for h in range(2):
                    closeness[other, h] = of_users.weights[user, m, h] * factors[h]
        for c in range(C):
            row = rows[s, c]
            if row == ABSENT:
                continue
            x = out[s, c]
            for decay in range(DECAYS):
                x[decay] = popularity_of(popularity, row, decay, now, events)
            for e in range(WAYS.start):
                x[_EVIDENCE_0 + e] = evidence[s, c, e]
            weekly, lasting, latest, best, choosers = 0.0, 0.0, 0.0, 0.0, 0
            for back in range(min(V, companions.chosen[row])):
                other = companions.choosers[row, (companions.chosen[row] - 1 - back) % V]
                if other == ABSENT:
                    continue
                choosers += 1
                weekly += closeness[other, 0]
                lasting += closeness[other, 1]
                latest += closeness[other, 1] / (1.0 + back)
                best = max(best, closeness[other, 1])
            x[_COMPANIONS_0] = weekly
            x[_COMPANIONS_0 + 1] = lasting
            x[_COMPANIONS_0 + 2] = latest
            x[_COMPANIONS_0 + 3] = best
            x[_COMPANIONS_0 + 4] = lasting / (1.0 + choosers)

            place, lately = 0.0, 0.0
            pair = find_pair(counts.own, user, row)
            if pair >= 0:  # most candidates are new to the user
                fade = 1.0
                for slot in range(H - 1, -1, -1):
                    if histories[s, slot] == row:
                        lately += fade
                        if place == 0.0:
                            place = 1.0 / (1.0 + H - 1 - slot)
                    fade *= 0.8
            f = _PLAIN_0
            x[f] = np.log1p(evidence[s, c, WAYS.start])
            x[f + 1] = np.log1p(evidence[s, c, WAYS.start + 1])
            if pair >= 0:
                x[f + 2] = np.log1p(counts.own.counts[pair])
                x[f + 3] = np.log1p(max(now - counts.own.last_s[pair], 0.0) / 60.0) / 10.0
                x[f + 4] = 1.0
            x[f + 5] = 1.0 if row == last else 0.0
            x[f + 6] = place
            x[f + 7] = lately
            known = popularity.last_s[row] != -np.inf
            if known:
                x[f + 8] = np.log1p(max(now - popularity.first_s[row], 0.0) / 60.0) / 10.0
                x[f + 9] = np.log1p(max(now - popularity.last_s[row], 0.0) / 60.0) / 10.0
            since_first = np.log1p(float(events - popularity.first_n[row]))
            since_last = np.log1p(float(events - popularity.last_n[row]))
            x[f + 10] = since_first / 8.0
            x[f + 11] = since_last / 8.0
            if last != ABSENT:
                distance = float(popularity.first_n[row] - popularity.first_n[last])
                x[f + 13] = np.log1p(abs(distance)) / 8.0
                x[f + 12] = x[f + 13] if distance > 0.0 else -x[f + 13]
                distance = float(popularity.last_n[row] - popularity.last_n[last])
                x[f + 14] = np.log1p(abs(distance)) / 8.0 * (1.0 if distance > 0.0 else -1.0)
            x[f + 15] = np.log1p(float(companions.chosen[row])) / 3.0
            for h in range(len(HALF_LIVES_CHOICES)):
                x[f + 16 + h] = np.log(over_expectation(counts.expectations, row, h, ranked))
            f = _USER_0
            x[f] = np.log1p(gap_s / 60.0) / 8.0
            x[f + 1] = np.log1p(float(lengths[s])) / 4.0
            x[f + 2] = np.log1p(float(session)) / 2.0
            if known_user:
                habit = counts.habits[user]
                x[f + 3] = habit[AGE] / 8.0
                x[f + 4] = habit[SILENCE] / 8.0
                x[f + 5] = habit[POPULARITY] / 4.0
                x[f + 6] = habit[REPEATS]
                f = _USER_0 - 3
                x[f] = (since_first - habit[AGE]) / 8.0
                x[f + 1] = (since_last - habit[SILENCE]) / 8.0
                x[f + 2] = (np.log1p(x[_LASTING]) - habit[POPULARITY]) / 4.0
        if known_user:
            for m in range(of_users.rows.shape[1]):
                other = of_users.rows[user, m]
                if other == ABSENT:
                    break
                closeness[other] = 0.0
