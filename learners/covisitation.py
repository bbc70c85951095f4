"""What users choose after what: decayed, directed item-to-item transitions at several half-lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.decay import decayed
from learners.event_batch import FloatArray, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays, grown

_HOUR = 3_600.0
HALF_LIVES_S = np.array([1, 24, 1_440, 87_600]) * _HOUR
"""An hour, a day, two months, ten years."""

_PRIOR = 0.5


class CoVisitation:
    """For each item the items chosen after it, weighted by nearness (1 / distance) and recency.

    Args:
        neighbours: M, most successors kept of an item; the weakest gives way to a new one.
    """

    def __init__(self, neighbours: int = 64) -> None:
        self.neighbours = neighbours
        half_lives = len(HALF_LIVES_S)
        self._rows: NDArray[np.int32] = np.full((16, neighbours), ABSENT, np.int32)
        self._weights: FloatArray = np.zeros((16, neighbours, half_lives), np.float32)
        self._totals: FloatArray = np.zeros((16, half_lives), np.float32)
        self._touched_s = np.zeros(16)

    def learn_many(self, previous: IntArray, chosen: IntArray, now_s: NDArray[np.float64]) -> None:
        """Count transitions.

        Args:
            previous: (B, L) the item rows chosen before, newest first, `ABSENT` where there are fewer.
            chosen: (B,) the item rows chosen now.
            now_s: (B,) when, seconds.
        """
        B, L = previous.shape
        if not B:
            return
        self._grow(int(max(previous.max(initial=0), chosen.max())) + 1)
        target = np.repeat(chosen, L)
        source = previous.ravel()
        nearness = np.tile(1.0 / np.arange(1, L + 1, dtype=np.float32), B)
        when = np.repeat(now_s, L)
        real = (source != ABSENT) & (source != target)
        source, target, nearness, when = source[real], target[real], nearness[real], when[real]
        if not len(source):
            return

        sources, of_source = np.unique(source, return_inverse=True)
        latest = self._touched_s[sources].copy()
        np.maximum.at(latest, of_source, when)
        factor = decayed(latest - self._touched_s[sources], HALF_LIVES_S)
        self._weights[sources] *= factor[:, None, :]
        self._totals[sources] *= factor
        self._touched_s[sources] = latest
        added = decayed(latest[of_source] - when, HALF_LIVES_S) * nearness[:, None]
        np.add.at(self._totals, source, added)

        pair, inverse = np.unique(source * len(self._rows) + target, return_inverse=True)
        weight = np.zeros((len(pair), len(HALF_LIVES_S)), np.float32)
        np.add.at(weight, inverse, added)
        self._add_pairs(pair // len(self._rows), (pair % len(self._rows)).astype(np.int32), weight)

    def _add_pairs(self, source: IntArray, target: NDArray[np.int32], weight: FloatArray) -> None:
        """Add to successors that have a slot; the others take their source's weakest slots."""
        match = self._rows[source] == target[:, None]
        slot = match.argmax(axis=1)
        found = match[np.arange(len(source)), slot]
        self._weights[source[found], slot[found]] += weight[found]
        source, target, weight = source[~found], target[~found], weight[~found]
        if not len(source):
            return
        # `source` is sorted, so the n-th newcomer of a source takes its n-th weakest slot.
        sources, first, inverse = np.unique(source, return_index=True, return_inverse=True)
        nth = np.arange(len(source)) - first[inverse]
        strength = self._weights[sources].sum(axis=2)
        strength[self._rows[sources] == ABSENT] = -1.0
        weakest = np.argsort(strength, axis=1, kind="stable")
        fits = nth < self.neighbours
        source, target, weight = source[fits], target[fits], weight[fits]
        slot = weakest[inverse[fits], nth[fits]]
        self._rows[source, slot] = target
        self._weights[source, slot] = weight

    def successors(self, rows: IntArray, now_s: NDArray[np.float64]) -> tuple[NDArray[np.int32], FloatArray]:
        """What follows the items in `rows` (N,), at the moments `now_s` (N,).

        Returns:
            Item rows (N, M), `ABSENT` in empty slots, and their transition shares (N, M, P): decayed count
            over the source's decayed total plus a prior. Rows of `ABSENT` have no successors.
        """
        known = (rows >= 0) & (rows < len(self._rows))
        safe = np.where(known, rows, 0)
        factor = decayed(now_s - self._touched_s[safe], HALF_LIVES_S)
        share = np.where(known[:, None], factor / (self._totals[safe] * factor + _PRIOR), 0.0).astype(
            np.float32
        )
        found = np.where(known[:, None], self._rows[safe], ABSENT).astype(np.int32)
        return found, self._weights[safe] * share[:, None, :]

    def forget(self, rows: IntArray) -> None:
        """Give up rows whose items are gone, as sources and as successors."""
        own = rows[rows < len(self._rows)]
        self._rows[own] = ABSENT
        self._weights[own] = 0.0
        self._totals[own] = 0.0
        self._touched_s[own] = 0.0
        gone = np.isin(self._rows, rows)
        self._rows[gone] = ABSENT
        self._weights[gone] = 0.0

    def _grow(self, rows: int) -> None:
        self._rows = grown(self._rows, rows, fill=ABSENT)
        self._weights = grown(self._weights, rows)
        self._totals = grown(self._totals, rows)
        self._touched_s = grown(self._touched_s, rows)

    def state_dict(self) -> Arrays:
        """All transitions as arrays."""
        return {
            "rows": self._rows.copy(),
            "weights": self._weights.copy(),
            "totals": self._totals.copy(),
            "touched_s": self._touched_s.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with another number of neighbours.
        """
        if arrays["rows"].shape[1] != self.neighbours:
            raise ValueError(
                f"saved with {arrays['rows'].shape[1]} neighbours, configured are {self.neighbours}"
            )
        self._rows = arrays["rows"].copy()
        self._weights = arrays["weights"].copy()
        self._totals = arrays["totals"].copy()
        self._touched_s = arrays["touched_s"].copy()
