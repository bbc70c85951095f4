"""What a learner knows of one item, for people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.counts.counts import Counts
from learners.counts.neighbours import NeighbourTable
from learners.counts.popularity import HALF_LIVES_EVENTS, HALF_LIVES_S, TIMED
from learners.event_batch import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Company:
    """N items that go with one, strongest first.

    Attributes:
        rows: (N,) item rows.
        strengths: (N,) the sum of their shares at all half-lives: what `reasons` goes by.
        shares: (N, J) of all that ever went with the item, at each half-life and count.
        half_lives_s: (P,) of the first P of these; the others go by what came after, whenever that was.
    """

    rows: IntArray
    strengths: FloatArray
    shares: FloatArray
    half_lives_s: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KnownItem:
    """Counts of an item at a moment.

    Attributes:
        chosen: Whether anybody ever chose it; if not, all else is zero.
        half_lives_s: (T,) half-lives in time.
        choices: (T,) decayed choices at these.
        half_lives_events: (E,) half-lives in choices of anything.
        choices_by_events: (E,) decayed choices at these.
        first_s: Event time of the first choice.
        last_s: Event time of the latest one.
        events_since_first: Choices of anything since.
        events_since_last: Choices of anything since.
        followed_by: What was chosen after it.
        together_with: What the same users chose, whatever the order.
    """

    chosen: bool
    half_lives_s: NDArray[np.float64]
    choices: FloatArray
    half_lives_events: NDArray[np.float64]
    choices_by_events: FloatArray
    first_s: float
    last_s: float
    events_since_first: int
    events_since_last: int
    followed_by: Company
    together_with: Company


def known_item(counts: Counts, row: int, now_s: float, most: int) -> KnownItem:
    """What the counts say of an item row at a moment, with at most so many companions of each kind."""
    popularity = counts.popularity
    rows = np.array([row])
    chosen = bool(popularity.is_known(rows)[0])
    choices = np.zeros(TIMED + len(HALF_LIVES_EVENTS), np.float32)
    first_s = last_s = 0.0
    ages = np.zeros(4, np.float32)
    if chosen:
        choices = popularity.scores(rows, np.array([now_s]))[:, 0]
        first_s, last_s = float(popularity.arrays.first_s[row]), float(popularity.arrays.last_s[row])
        ages = popularity.ages(rows, np.array([now_s]))[:, 0]
    return KnownItem(
        chosen=chosen,
        half_lives_s=HALF_LIVES_S,
        choices=choices[:TIMED],
        half_lives_events=HALF_LIVES_EVENTS,
        choices_by_events=choices[TIMED:],
        first_s=first_s,
        last_s=last_s,
        events_since_first=int(ages[2]),
        events_since_last=int(ages[3]),
        followed_by=_company(counts.transitions, row, now_s, most),
        together_with=_company(counts.together, row, now_s, most),
    )


def _company(table: NeighbourTable, row: int, now_s: float, most: int) -> Company:
    rows, shares = table.shares(row, now_s)
    strengths = shares.sum(axis=1)
    best = np.argsort(-strengths, kind="stable")[:most]
    return Company(
        rows=rows[best].astype(np.int64),
        strengths=strengths[best],
        shares=shares[best],
        half_lives_s=table.arrays.half_lives_s,
    )
