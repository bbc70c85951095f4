"""What is said of an item alone, whoever asks: found out once for all sequences of a second of the events' time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.counts import Counts
from learners.counts.expectations import HALF_LIVES_CHOICES
from learners.counts.popularity import DECAYS, TIMED
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.take_columns import take_columns

FLOOR = np.float32(1e-3)
"""Added to shares and counts before their logarithm."""

FACT_AGES = DECAYS
AGES = 4
FACT_CHOSEN = FACT_AGES + AGES
CHOSEN = 1 + len(HALF_LIVES_CHOICES)
FACT_LASTING = FACT_CHOSEN + CHOSEN
FACT_EVENTS_AGO = FACT_LASTING + 1
FACTS = FACT_EVENTS_AGO + 2
"""Where facts begin, and how many there are: logarithms of the decayed popularities; the four ages; `choosers` and
choices over expectation; the lasting popularity, and how many events ago the first and the last choice were."""

_LASTING = TIMED - 1


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """Facts of the items that are candidates of S sequences.

    Attributes:
        values: (M, FACTS), one row for each item and second.
        places: (S, C) in which of these rows a candidate's facts stand; nothing in empty places.
    """

    values: FloatArray
    places: IntArray

    @classmethod
    def of(cls, rows: IntArray, now_s: NDArray[np.float64], counts: Counts) -> ItemFacts:
        """Facts of items (S, C) at the moments of their sequences (S,), as of the beginning of the second.

        All items are described by one call of each function over an array: the logarithms and powers of a loop take
        many times as long.
        """
        seconds = np.floor(now_s)
        places = np.zeros(rows.shape, np.int64)
        items, moments = np.empty(rows.size, np.int64), np.empty(rows.size)
        order = np.argsort(seconds, kind="stable")
        found = _find(order, *counts.stamps(len(rows)), rows, seconds, places, items, moments)
        return cls(_describe(counts, items[:found], moments[:found]), places)

    def take(self, index: IntArray) -> ItemFacts:
        """Those of the candidates in columns (S, N)."""
        return ItemFacts(self.values, take_columns(self.places, index))


def scaled_age(elapsed_s: FloatArray) -> FloatArray:
    """How long ago, on a logarithmic scale."""
    return np.asarray(np.log1p(elapsed_s / 60.0) / 10.0, np.float32)


def scaled_events(count: FloatArray) -> FloatArray:
    """How many events ago, on a logarithmic scale."""
    return np.asarray(np.log1p(count) / 8.0, np.float32)


def _describe(counts: Counts, items: IntArray, moments: NDArray[np.float64]) -> FloatArray:
    """(M, FACTS) of items (M,) at moments (M,)."""
    popularities, ages = counts.popularity.scores(items, moments), counts.popularity.ages(items, moments)
    choosers = counts.companions.arrays.chosen[items].astype(np.float32)
    facts = np.concatenate(
        [
            np.log(popularities + FLOOR),
            scaled_age(ages[:2]),
            scaled_events(ages[2:]),
            np.log1p(choosers)[None] / np.float32(3.0),
            np.log(counts.expectations.exceeded(items)),
            np.log1p(popularities[_LASTING])[None],
            ages[2:],
        ]
    )
    return np.ascontiguousarray(facts.T, np.float32)


@compiled
def _find(
    order: IntArray,
    stamps: IntArray,
    slots: IntArray,
    first_stamp: int,
    rows: IntArray,
    seconds: NDArray[np.float64],
    places: IntArray,
    items: IntArray,
    moments: NDArray[np.float64],
) -> int:
    """Fill places (S, C), and what stands there; returns how many there are.

    Args:
        order: (S,) brings together the sequences of a second.
        stamps: (N,) that of a second at items that were met in it, whose place stands in `slots`.
        slots: (N,).
        first_stamp: Of S that were never used.
        rows: (S, C).
        seconds: (S,).
        places: Out.
        items: (S C,) out.
        moments: (S C,) out.
    """
    stamp, found, second = first_stamp - 1, 0, -np.inf
    for s in order:
        if seconds[s] != second:
            second = seconds[s]
            stamp += 1
        for c in range(rows.shape[1]):
            row = rows[s, c]
            if row == ABSENT:
                continue
            if stamps[row] != stamp:
                stamps[row], slots[row] = stamp, found
                items[found], moments[found] = row, second
                found += 1
            places[s, c] = slots[row]
    return found
