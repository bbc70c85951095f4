"""Between the candidates and the ranker: a brief look at each, and only the most promising get the full one.

A cascade (Wang, Lin and Metzler, SIGIR 2011, "A cascade ranking model for efficient ranked retrieval"): full features
and the ranker's networks cost several times of what a sum of a few counts does, and most candidates are nobody's next
choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.candidates import NEW, WAYS, Candidates
from learners.compiled import compiled
from learners.counts.counts import Counts
from learners.counts.own_items import Pairs
from learners.event_batch import FloatArray, Histories, IntArray
from learners.features import EVIDENCE_0, NAMES, OWN, OWN_0, PRIOR, tell_own
from learners.item_facts import FACT_AGES, FLOOR, ItemFacts
from learners.row_index import ABSENT
from learners.state_arrays import Arrays
from learners.take_columns import take_columns

_POPULARITY = ("popularity_1d", "popularity_500n")
_AGES = ("last_age", "last_age_events")
_EVIDENCE = (
    *("from_last_1d", "from_last_10y", "from_recent_1d", "from_recent_10y", "from_recent_10n"),
    *("together_10y", "together_near"),
)
_WAYS = ("transition_ways", "together_ways")
_OWN = ("own", "own_lately")

BRIEF: tuple[str, ...] = (*_POPULARITY, *_AGES, *_EVIDENCE, *_WAYS, *_OWN, "neural")
"""Axis P, the features of the brief look; all of them `features.NAMES`."""

COLUMNS: IntArray = np.array([NAMES.index(name) for name in BRIEF])
"""(P,) where they stand among all."""

_FACTS = np.array([*COLUMNS[: len(_POPULARITY)], FACT_AGES + 1, FACT_AGES + 3])
_SHARES = np.array([NAMES.index(name) - EVIDENCE_0 for name in _EVIDENCE])
_OWN_COLUMNS = np.array([NAMES.index(name) - OWN_0 for name in _OWN])
_NEW_ALONE = 1 << NEW
_RATE = 0.05
_KEPT = 0.9995  # of the sums of squared gradients, at each choice


@dataclass(frozen=True, slots=True)
class Brief:
    """What the brief look saw.

    Attributes:
        rows: (S, C) item rows, `ABSENT` in empty places.
        features: (S, C, P), nothing in empty places.
    """

    rows: IntArray
    features: FloatArray

    def take(self, index: IntArray) -> Brief:
        """That of the sequences at `index`."""
        return Brief(self.rows[index], self.features[index])


class Preranker:
    """Learns what promises a choice: one weight a feature, by softmax cross-entropy over all candidates.

    A step for each choice, as long as Adagrad's (Duchi et al., 2011) whose sums forget.

    Args:
        counts: Where the features come from.
        most: How many candidates of a sequence stay.
    """

    def __init__(self, counts: Counts, most: int) -> None:
        self._counts, self._most = counts, most
        self._weights: FloatArray = PRIOR[COLUMNS]
        self._squares: FloatArray = np.full(len(BRIEF), 1e-6, np.float32)

    def look(
        self, candidates: Candidates, facts: ItemFacts, histories: Histories, neural: FloatArray
    ) -> Brief:
        """What is briefly seen of S sequences' candidates, given their facts and neural scores (S, C)."""
        features = np.zeros((*candidates.rows.shape, len(BRIEF)), np.float32)
        _look(
            self._counts.own.arrays,
            facts.values,
            facts.places,
            candidates.rows,
            candidates.evidence,
            histories.users,
            histories.item_rows,
            histories.now_s,
            neural,
            features,
        )
        return Brief(candidates.rows, features)

    def most_promising(
        self, candidates: Candidates, facts: ItemFacts, neural: FloatArray, brief: Brief
    ) -> tuple[Candidates, ItemFacts, FloatArray]:
        """The candidates that promise most, their facts, and their neural scores (S, most).

        What nobody has chosen yet and is there to be tried stays. The others join the rest, ahead of what was there.
        """
        if candidates.rows.shape[1] <= self._most:
            return candidates, facts, neural
        promises = self.promises(brief)
        promises[candidates.sources == _NEW_ALONE] = np.inf
        promises[candidates.rows == ABSENT] = -np.inf
        order = np.argpartition(-promises, self._most - 1, axis=1)
        kept = order[:, : self._most]
        return (
            candidates.divided(order, self._most),
            facts.take(kept),
            take_columns(neural, kept),
        )

    def promises(self, brief: Brief) -> FloatArray:
        """(S, C)."""
        promises: FloatArray = brief.features @ self._weights
        return promises

    def learn_many(self, brief: Brief, chosen: IntArray) -> None:
        """Learn from the choices (T,) that were among the candidates, one after the other."""
        _learn_many(brief.features, brief.rows, chosen, self._weights, self._squares)

    def state_dict(self) -> Arrays:
        """Weights, and their squared gradients."""
        return {"weights": self._weights.copy(), "squares": self._squares.copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; what was saved before there was a brief look goes on with the prior."""
        if arrays:
            self._weights, self._squares = arrays["weights"].copy(), arrays["squares"].copy()


@compiled
def _look(
    pairs: Pairs,
    facts: FloatArray,
    places: IntArray,
    rows: IntArray,
    evidence: FloatArray,
    users: IntArray,
    histories: IntArray,
    now_s: NDArray[np.float64],
    neural: FloatArray,
    out: FloatArray,
) -> None:
    """Fill (S, C, P); `features.ranking_features` says the same of each feature."""
    nothing = np.log(FLOOR)
    own = np.empty(OWN, np.float32)
    for s in range(len(rows)):
        for c in range(rows.shape[1]):
            row = rows[s, c]
            if row == ABSENT:
                continue
            x, of_item = out[s, c], facts[places[s, c]]
            p = 0
            for fact in _FACTS:
                x[p] = of_item[fact]
                p += 1
            for e in _SHARES:
                share = evidence[s, c, e]
                x[p] = np.log(share + FLOOR) if share > 0.0 else nothing
                p += 1
            for way in range(WAYS.start, WAYS.stop):
                if evidence[s, c, way] > 0.0:
                    x[p] = np.log1p(evidence[s, c, way])
                p += 1
            own[:] = 0.0
            tell_own(pairs, users[s], row, histories[s], now_s[s], own)
            for n in _OWN_COLUMNS:
                x[p] = own[n]
                p += 1
            x[p] = neural[s, c]


@compiled
def _learn_many(
    features: FloatArray, rows: IntArray, chosen: IntArray, weights: FloatArray, squares: FloatArray
) -> None:
    """A step of `weights` (P,) for each choice; `squares` (P,) are of the gradients, and forget."""
    T, C, P = features.shape
    scores = np.empty(C, np.float32)
    gradient = np.empty(P, np.float32)
    for t in range(T):
        own, best = -1, np.float32(-np.inf)
        for c in range(C):
            if rows[t, c] == chosen[t]:
                own = c
            scores[c] = -np.inf
            if rows[t, c] != ABSENT:
                total = np.float32(0.0)
                for p in range(P):
                    total += weights[p] * features[t, c, p]
                scores[c] = total
                best = max(best, total)
        if own < 0 or not np.isfinite(best):
            continue
        total = np.float32(0.0)
        for c in range(C):
            scores[c] = np.exp(scores[c] - best)
            total += scores[c]
        gradient[:] = -features[t, own]
        for c in range(C):
            share = scores[c] / total
            for p in range(P):
                gradient[p] += share * features[t, c, p]
        if not np.isfinite(gradient.sum()):
            continue
        for p in range(P):
            squares[p] = squares[p] * _KEPT + gradient[p] * gradient[p]
            weights[p] -= _RATE * gradient[p] / np.sqrt(squares[p])
