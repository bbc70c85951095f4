"""What the ranker sees of a candidate: every count that could speak for it, on logarithmic scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.candidates import WAYS, Candidates
from learners.compiled import compiled
from learners.counts.companions import CompanionArrays
from learners.counts.counts import CountArrays, Counts
from learners.counts.habits import AGE, POPULARITY, REPEATS, SILENCE
from learners.counts.neighbours import list_of, share_factors
from learners.counts.own_items import Pairs, find_pair
from learners.counts.popularity import DECAYS
from learners.event_batch import FloatArray, Histories, IntArray
from learners.item_facts import (
    AGES,
    CHOSEN,
    FACT_AGES,
    FACT_CHOSEN,
    FACT_EVENTS_AGO,
    FACT_LASTING,
    FLOOR,
    ItemFacts,
    scaled_age,
    scaled_events,
)
from learners.log_shares import log_shares
from learners.row_index import ABSENT

_SESSION_GAP_S = 1_800.0
_FADE = 0.8  # of a repeat, for each event since

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

_LOGS = len(_LOG_NAMES)
EVIDENCE_0 = DECAYS
"""Where the columns of `Candidates.evidence` begin, those before `WAYS`."""

_COMPANIONS_0 = NAMES.index("companions_1w")
_WAYS_0 = NAMES.index("transition_ways")
OWN_0 = NAMES.index("own_count")
"""Where `tell_own` fills in `OWN` columns."""

_OWN_AGE = NAMES.index("own_age")
_AGES_0 = NAMES.index("first_age")
OWN = _AGES_0 - OWN_0
_SINCE_0 = NAMES.index("first_after_last")
_CHOOSERS_0 = NAMES.index("choosers")
_HABITS_0 = NAMES.index("newer_than_habit")
_USER_0 = NAMES.index("user_gap")
_USERS = len(_USER_NAMES)
_NEURAL = COUNTS


def ranking_features(
    candidates: Candidates, facts: ItemFacts, histories: Histories, counts: Counts, neural: FloatArray
) -> FloatArray:
    """The ranker's input.

    Args:
        candidates: S sequences with C candidates each.
        facts: Of the candidates.
        histories: The same S sequences.
        counts: As of before the events that are being predicted.
        neural: (S, C) the neural model's scores.

    Returns:
        (S, C, F) in the order of `NAMES`; rows of `ABSENT` candidates mean nothing.
    """
    S, C = candidates.rows.shape
    features = np.zeros((S, C, len(NAMES)), np.float32)
    _collect(
        counts.arrays,
        counts.popularity.events,
        facts.values,
        facts.places,
        candidates.rows,
        candidates.evidence,
        histories.users,
        histories.item_rows,
        histories.age_s,
        histories.now_s,
        histories.lengths,
        features,
    )
    _scale(features)
    features[:, :, _NEURAL] = neural
    features[:, :, _NEURAL + 1] = log_shares(neural, candidates.rows != ABSENT)
    return features


def _scale(features: FloatArray) -> None:
    """Take the logarithms of what `_collect` has left as counts, seconds and numbers of events."""
    shares = features[:, :, EVIDENCE_0:_LOGS]
    np.log(shares + FLOOR, out=shares)
    counts = features[:, :, _WAYS_0:_OWN_AGE]
    np.log1p(counts, out=counts)
    features[:, :, _OWN_AGE] = scaled_age(features[:, :, _OWN_AGE])
    between = features[:, :, _SINCE_0:_CHOOSERS_0]
    between[...] = np.copysign(scaled_events(np.abs(between)), between)


@compiled
def _collect(
    counts: CountArrays,
    events: int,
    facts: FloatArray,
    places: IntArray,
    rows: IntArray,
    evidence: FloatArray,
    users: IntArray,
    histories: IntArray,
    ages_s: FloatArray,
    now_s: NDArray[np.float64],
    lengths: IntArray,
    out: FloatArray,
) -> None:
    """Fill (S, C, F) but for the neural columns; `_scale` takes the logarithms."""
    S, C = rows.shape
    of_user, last_ago = np.zeros(_USERS, np.float32), np.zeros(2, np.float32)
    for s in range(S):
        user, now, history = users[s], now_s[s], histories[s]
        _tell_user(counts.habits, user, history, ages_s[s], lengths[s], of_user)
        last_ago[:] = 0.0
        if history[-1] != ABSENT and np.isfinite(counts.popularity.first_s[history[-1]]):
            last_ago[0] = events - counts.popularity.first_n[history[-1]]
            last_ago[1] = events - counts.popularity.last_n[history[-1]]
        has_company = _bring_close(counts.companions, user, now)
        for c in range(C):
            row = rows[s, c]
            if row == ABSENT:
                continue
            x, of_item = out[s, c], facts[places[s, c]]
            for decay in range(DECAYS):  # an assignment of slices takes longer than all the rest
                x[decay] = of_item[decay]
            for n in range(AGES):
                x[_AGES_0 + n] = of_item[FACT_AGES + n]
            for n in range(CHOSEN):
                x[_CHOOSERS_0 + n] = of_item[FACT_CHOSEN + n]
            for e in range(WAYS.start):
                x[EVIDENCE_0 + e] = evidence[s, c, e]
            if has_company:
                _tell_company(counts.companions, row, x[_COMPANIONS_0:_WAYS_0])
            x[_WAYS_0] = evidence[s, c, WAYS.start]
            x[_WAYS_0 + 1] = evidence[s, c, WAYS.start + 1]
            tell_own(counts.own, user, row, history, now, x[OWN_0:_AGES_0])
            if history[-1] != ABSENT:
                _tell_since(of_item, last_ago, x[_SINCE_0:_CHOOSERS_0])
            if user < len(counts.habits):
                _compare_habit(counts.habits[user], of_item, x[_HABITS_0:_USER_0])
            x[_USER_0:_NEURAL] = of_user
        _send_away(counts.companions, user)


@compiled
def _tell_user(
    habits: FloatArray, user: int, history: IntArray, age_s: FloatArray, length: int, out: FloatArray
) -> None:
    """What is the same for all candidates: `_USER_NAMES`."""
    H = len(history)
    session = 0
    for slot in range(H - 1, 0, -1):
        if history[slot - 1] == ABSENT or age_s[slot - 1] - age_s[slot] > _SESSION_GAP_S:
            break
        session += 1
    gap_s = age_s[H - 1] if history[H - 1] != ABSENT else 0.0
    out[:] = 0.0
    out[0] = np.log1p(gap_s / 60.0) / 8.0
    out[1] = np.log1p(float(length)) / 4.0
    out[2] = np.log1p(float(session)) / 2.0
    if user < len(habits):
        out[3] = habits[user, AGE] / 8.0
        out[4] = habits[user, SILENCE] / 8.0
        out[5] = habits[user, POPULARITY] / 4.0
        out[6] = habits[user, REPEATS]


@compiled
def _bring_close(companions: CompanionArrays, user: int, now_s: float) -> bool:
    """Write the user's companions' shares where `_tell_company` looks for them; returns whether there are any."""
    table = companions.of_users
    if user >= len(table.filled) or table.filled[user] == 0:
        return False
    factors = np.empty(companions.closeness.shape[1], np.float32)
    share_factors(table, user, now_s, factors)
    rows, weights = list_of(table, user)
    for m in range(len(rows)):
        companions.closeness[rows[m]] = weights[m] * factors
    return True


@compiled
def _send_away(companions: CompanionArrays, user: int) -> None:
    """The inverse of `_bring_close`."""
    table = companions.of_users
    if user >= len(table.filled):
        return
    rows, _ = list_of(table, user)
    for m in range(len(rows)):
        companions.closeness[rows[m]] = 0.0


@compiled
def _tell_company(companions: CompanionArrays, row: int, out: FloatArray) -> None:
    """How close an item's latest choosers are to the user: of the week, lasting, by nearness, the best, the mean."""
    V = companions.choosers.shape[1]
    choosers = 0
    slot = companions.chosen[row] % V
    for back in range(min(V, companions.chosen[row])):
        slot = slot - 1 if slot > 0 else V - 1
        other = companions.choosers[row, slot]
        if other == ABSENT:
            continue
        choosers += 1
        lasting = companions.closeness[other, 1]
        out[0] += companions.closeness[other, 0]
        out[1] += lasting
        out[2] += lasting / (1.0 + back)
        out[3] = max(out[3], lasting)
    out[4] = out[1] / (1.0 + choosers)


@compiled
def tell_own(own: Pairs, user: int, row: int, history: IntArray, now_s: float, out: FloatArray) -> None:
    """The user's choices of the item: how often, how many seconds ago, whether, whether last, where in the history."""
    H = len(history)
    out[3] = 1.0 if row == history[H - 1] else 0.0
    pair = find_pair(own, user, row)
    if pair < 0:  # as most candidates are
        return
    out[0] = own.counts[pair]
    out[1] = max(now_s - own.last_s[pair], 0.0)
    out[2] = 1.0
    fade = 1.0
    for slot in range(H - 1, -1, -1):
        if history[slot] == row:
            if out[4] == 0.0:
                out[4] = 1.0 / (H - slot)
            out[5] += fade
        fade *= _FADE


@compiled
def _tell_since(of_item: FloatArray, last_ago: FloatArray, out: FloatArray) -> None:
    """What lies between an item and the user's last one, by first and by last choices, in events."""
    out[0] = last_ago[0] - of_item[FACT_EVENTS_AGO]
    out[1] = abs(out[0])
    out[2] = last_ago[1] - of_item[FACT_EVENTS_AGO + 1]


@compiled
def _compare_habit(habit: FloatArray, of_item: FloatArray, out: FloatArray) -> None:
    """How an item differs from what the user usually chooses."""
    out[0] = of_item[FACT_AGES + 2] - habit[AGE] / 8.0
    out[1] = of_item[FACT_AGES + 3] - habit[SILENCE] / 8.0
    out[2] = (of_item[FACT_LASTING] - habit[POPULARITY]) / 4.0
