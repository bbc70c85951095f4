"""From users at moments to slates: candidates are retrieved, barred, ranked, foreseen by the heads and composed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learners.blend import Blend
from learners.candidates import CandidateRetrieval
from learners.composition import Scored, SlateRules, compose, most_of_a_source, shortlist, with_others
from learners.counts.counts import Counts
from learners.event_batch import FloatArray, Histories, IntArray
from learners.features import NAMES
from learners.filters import FILTERS, Filters
from learners.learner import Slates
from learners.neural import NeuralModel
from learners.newcomers import Newcomers
from learners.pair_inputs import PairInputs
from learners.ranking import Query, Ranking
from learners.reasons import reasons
from learners.row_index import ABSENT
from learners.take_columns import take_columns

_AT_A_TIME = 128  # slates: more save nothing, and no temporary is large
_SCORED_BY_TASKS = 32
_NEW_ITEMS = 4  # that are tried are candidates of a slate


class SlateMaker:
    """Makes slates of what others have learned; it has learned nothing itself.

    Args:
        counts: Say why an item is there.
        retrieval: Brings candidates.
        ranking: Ranks them.
        neural: Foresees tasks.
        pairs: What the heads take in beside vectors.
        blend: What a ranker's score and forecasts are worth together.
        filters: Bar candidates.
        newcomers: Items to be tried.
        rules: What makes a slate out of scores.
    """

    def __init__(
        self,
        counts: Counts,
        retrieval: CandidateRetrieval,
        ranking: Ranking,
        neural: NeuralModel,
        pairs: PairInputs,
        blend: Blend,
        filters: Filters,
        newcomers: Newcomers,
        rules: SlateRules,
    ) -> None:
        self._counts, self._retrieval, self._ranking = counts, retrieval, ranking
        self._neural, self._pairs, self._blend = neural, pairs, blend
        self._filters, self._newcomers, self._rules = filters, newcomers, rules

    def make(
        self,
        histories: Histories,
        seen: Histories,
        size: int,
        evidence: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Slates:
        """Slates for S users at moments.

        Args:
            histories: The users.
            seen: As far as anybody may look back.
            size: Most places.
            evidence: (K,) how much each task has to go by.
            rng: Source of what is explored.
        """
        query = self._ranking.query(seen)
        parts = np.array_split(np.arange(len(query)), -(-len(query) // _AT_A_TIME) or 1)
        return Slates.joined(
            [self._make(histories.take(some), query.take(some), size, evidence, rng) for some in parts]
        )

    def _make(
        self,
        histories: Histories,
        query: Query,
        size: int,
        evidence: NDArray[np.float64],
        rng: np.random.Generator,
    ) -> Slates:
        new = None
        if self._rules.exploration.new_share > 0.0:
            new = self._newcomers.draw(len(query), _NEW_ITEMS, rng)
        retrieved = self._retrieval.retrieve(query.histories, query.nearest, new)
        barred = self._filters.barred(retrieved.rows, histories)
        _, candidates, features, scores = self._ranking.of(query, retrieved.without(barred >= 0))
        most = most_of_a_source(self._rules, size)
        top = shortlist(scores, candidates.sources, max(_SCORED_BY_TASKS, with_others(size)), most)
        ranked = take_columns(scores, top)
        rows = np.where(np.isfinite(ranked), take_columns(candidates.rows, top), ABSENT)
        foreseen, inputs = self._foresee(query, rows, take_columns(features, top))
        scored = Scored(
            rows=rows,
            sources=take_columns(candidates.sources, top),
            parts=self._blend.parts(ranked, foreseen, inputs, evidence),
            vectors=self._neural.vectors(rows),
        )
        composed = compose(scored, size, self._rules, rng)
        removed = np.bincount(barred[barred >= 0], minlength=len(FILTERS))
        removed[FILTERS.index("seen")] += retrieved.seen
        return Slates(
            item_rows=composed.rows,
            scores=composed.scores,
            parts=composed.parts,
            task_scores=take_columns(foreseen, composed.columns),
            trained=evidence > 0.0,
            sources=composed.sources,
            placed=composed.placed,
            because=reasons(composed.rows, query.histories, self._counts.transitions),
            propensity=composed.propensity,
            removed=removed,
            new=np.isin(composed.rows, self._newcomers.rows),
        )

    def _foresee(self, query: Query, rows: IntArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the heads say of (S, N) items, (S, N, K), and what they take in beside vectors, (S, N, I)."""
        S, N = rows.shape
        items = np.maximum(rows, 0).ravel()
        known = self._pairs.with_rates(
            query.histories, np.repeat(np.arange(S), N), items, features.reshape(S * N, len(NAMES))
        )
        inputs = self._pairs.scaled(known)
        foreseen = self._neural.multitask.calibrated(
            self._neural.task_logits(
                query.users.repeat_interleave(N, dim=0), items, np.zeros(S * N, np.int64), inputs
            )
        )
        return foreseen.reshape(S, N, foreseen.shape[1]), inputs.reshape(S, N, inputs.shape[1])
