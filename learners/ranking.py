"""From users at moments to ranked candidates: retrieve, a brief look at all, a close one at the most promising."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from learners.candidates import CandidateRetrieval, Candidates, no_candidates
from learners.counts.counts import Counts
from learners.event_batch import FloatArray, Histories, IntArray
from learners.features import NAMES, ranking_features
from learners.item_facts import ItemFacts
from learners.neural import NeuralModel
from learners.prerank import BRIEF, Brief, Preranker
from learners.ranker import Ranker
from learners.row_index import ABSENT


@dataclass(frozen=True, slots=True)
class Query:
    """What is sought for S sequences.

    Attributes:
        histories: As far as anybody may look back.
        users: (S, D) tensor of user vectors.
        nearest: (S, T) the items nearest to them.
    """

    histories: Histories
    users: Any
    nearest: IntArray

    def __len__(self) -> int:
        return len(self.histories)

    def take(self, index: IntArray) -> Query:
        """What is sought for the sequences at `index`."""
        return Query(self.histories.take(index), self.users[index], self.nearest[index])


class Ranked(NamedTuple):
    """Candidates of S sequences, and what was found of them.

    Attributes:
        brief: What the brief look saw of all of them.
        candidates: The most promising ones.
        features: (S, C, F) of these.
        scores: (S, C) the ranker's.
    """

    brief: Brief
    candidates: Candidates
    features: FloatArray
    scores: FloatArray

    def take(self, index: IntArray) -> Ranked:
        """Those of the sequences at `index`."""
        return Ranked(
            self.brief.take(index), self.candidates.take(index), self.features[index], self.scores[index]
        )


class Ranking:
    """The stages of ranking one after the other; it has learned nothing itself.

    Args:
        counts: What is known of items.
        retrieval: Brings candidates.
        neural: Brings the nearest, and scores candidates.
        preranker: Looks briefly.
        ranker: Looks closely.
        nearest: How many of its nearest items the neural model brings.
    """

    def __init__(
        self,
        counts: Counts,
        retrieval: CandidateRetrieval,
        neural: NeuralModel,
        preranker: Preranker,
        ranker: Ranker,
        nearest: int,
    ) -> None:
        self._counts, self._retrieval, self._neural = counts, retrieval, neural
        self._preranker, self._ranker = preranker, ranker
        self._nearest = nearest

    def query(self, histories: Histories) -> Query:
        """What is sought for S sequences."""
        users = self._neural.user_vectors(histories)
        nearest = self._neural.nearest(users, self._counts.popularity.known_rows, self._nearest)
        return Query(histories, users, nearest)

    def of_everything(self, query: Query) -> Ranked:
        """Whatever is retrieved, ranked."""
        if not len(query):  # a step of impressions alone: no need to ask a network about nobody
            return Ranked(
                Brief(np.zeros((0, 1), np.int64), np.zeros((0, 1, len(BRIEF)), np.float32)),
                no_candidates(0),
                np.zeros((0, 1, len(NAMES)), np.float32),
                np.zeros((0, 1), np.float32),
            )
        return self.of(query, self._retrieval.retrieve(query.histories, query.nearest, rest=True))

    def of(self, query: Query, candidates: Candidates) -> Ranked:
        """Candidates of S sequences, ranked."""
        histories = query.histories
        neural = self._neural.scores(query.users, candidates.rows)
        facts = ItemFacts.of(candidates.rows, histories.now_s, self._counts)
        brief = self._preranker.look(candidates, facts, histories, neural)
        candidates, facts, neural = self._preranker.most_promising(candidates, facts, neural, brief)
        features = ranking_features(candidates, facts, histories, self._counts, neural)
        scores = self._ranker.score(features, candidates.rows != ABSENT)
        return Ranked(brief, candidates, features, scores)
