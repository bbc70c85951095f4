"""Retrieval: from everything known to some hundreds of candidates a sequence, with the evidence for each.

The cost does not depend on the catalogue: items are met by following lists, and a table of one stamp an item
says which of them were met before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.counts.counts import (
    ACCOMPANIED,
    FOLLOWED,
    TOGETHER_HALF_LIVES_S,
    TRANSITION_HALF_LIVES_S,
    TRANSITIONS_KEPT,
    CountArrays,
    Counts,
    latest_distinct,
)
from learners.counts.neighbours import list_of, share_factors
from learners.counts.own_items import find_pair
from learners.event_batch import BoolArray, FloatArray, Histories, IntArray
from learners.row_index import ABSENT
from learners.take_columns import take_columns

SOURCES: tuple[str, ...] = ("repeat", "transition", "together", "neural", "popularity", "new")
"""Candidate sources; where several bring an item, the first of them is named."""

NEW = SOURCES.index("new")

_REPEAT, _TRANSITION, _TOGETHER, _NEURAL, _POPULARITY, _NEW = (1 << n for n in range(len(SOURCES)))

_J = len(TRANSITION_HALF_LIVES_S) + len(TRANSITIONS_KEPT)
_G = len(TOGETHER_HALF_LIVES_S)
_LASTING_TRANSITION = len(TRANSITION_HALF_LIVES_S) - 1
_DAY_TRANSITION = 1
_LASTING_TOGETHER = _G - 1

FROM_LAST = slice(0, _J)
FROM_RECENT = slice(_J, 2 * _J)
EVENLY = slice(2 * _J, 2 * _J + 2)
TOGETHER = slice(2 * _J + 2, 2 * _J + 4 + _G)
WAYS = slice(2 * _J + 4 + _G, 2 * _J + 6 + _G)
EVIDENCE = WAYS.stop
"""Columns of the evidence: shares of transitions from the last item, from recent ones by 1 / distance, from recent
ones evenly (by a day and by ten years); shares of what goes together with recent items evenly, at each half-life,
then the lasting one over the root of the total, then by 1 / root of the distance; and by how many recent items'
transitions and companies it was reached."""

_LAST_0, _RECENT_0, _EVENLY_0, _TOGETHER_0, _WAYS_0 = (
    part.start for part in (FROM_LAST, FROM_RECENT, EVENLY, TOGETHER, WAYS)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """C candidates for each of S sequences.

    Attributes:
        rows: (S, C) item rows, `ABSENT` where a sequence has fewer.
        evidence: (S, C, EVIDENCE) what speaks for each.
        sources: (S, C) bits of the sources that brought it, in the order of `SOURCES`.
        rest: (S, W) what was retrieved too and is less promising: it stands behind all candidates. Empty where
            nobody asked for it.
        seen: How many were left out because their users had had them before.
    """

    rows: IntArray
    evidence: FloatArray
    sources: NDArray[np.uint8]
    rest: IntArray
    seen: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: IntArray) -> Candidates:
        """The candidates of the sequences at `index`."""
        return Candidates(
            rows=self.rows[index],
            evidence=self.evidence[index],
            sources=self.sources[index],
            rest=self.rest[index],
        )

    def divided(self, order: IntArray, most: int) -> Candidates:
        """The first `most` of them by (S, C) columns in order; the others come before the rest."""
        kept = order[:, :most]
        return Candidates(
            rows=take_columns(self.rows, kept),
            evidence=take_columns(self.evidence, kept),
            sources=take_columns(self.sources, kept),
            rest=np.concatenate([take_columns(self.rows, order[:, most:]), self.rest], axis=1),
            seen=self.seen,
        )

    def without(self, barred: BoolArray) -> Candidates:
        """But for some (S, C) of them, whose places are empty."""
        return replace(self, rows=np.where(barred, ABSENT, self.rows))

    def with_rest(self, scores: FloatArray) -> tuple[IntArray, FloatArray]:
        """(S, C + W) everything retrieved, and scores: the rest has one score, below all (S, C) of the candidates."""
        lowest = np.where(np.isfinite(scores), scores, np.inf).min(axis=1, initial=0.0, keepdims=True) - 1.0
        below = np.where(self.rest != ABSENT, lowest, -np.inf)
        return np.concatenate([self.rows, self.rest], axis=1), np.concatenate([scores, below], axis=1)


class CandidateRetrieval:
    """Brings candidates from the users' own items, what goes with them, what is chosen by all, and what is near.

    Args:
        counts: Where the evidence comes from.
        limit: C, most candidates of a sequence.
        exclude_seen: Leave out what stands in the user's history and what the user is known to have chosen before.
    """

    def __init__(self, counts: Counts, limit: int, *, exclude_seen: bool) -> None:
        self._counts = counts
        self._limit = limit
        self._exclude_seen = exclude_seen

    def retrieve(
        self, histories: Histories, nearest: IntArray, new: IntArray | None = None, *, rest: bool = False
    ) -> Candidates:
        """The candidates of S sequences.

        Args:
            histories: S users at S moments.
            nearest: (S, T) item rows nearest to the user vectors, `ABSENT` where there are fewer.
            new: (S, M) new items to try, `ABSENT` where there are fewer; None for none.
            rest: Whether to tell what else was retrieved.
        """
        if new is None:
            new = np.zeros((len(histories), 0), np.int64)
        general = self._counts.popularity.leaders()
        S, H = histories.item_rows.shape
        reach = (FOLLOWED + ACCOMPANIED) * int(self._counts.transitions.arrays.most[0])
        most = reach + H + len(general) + nearest.shape[1] + new.shape[1]
        rows = np.full((S, self._limit), ABSENT, np.int64)
        evidence = np.zeros((S, self._limit, EVIDENCE), np.float32)
        sources = np.zeros((S, self._limit), np.uint8)
        others = np.full((S, max(most - self._limit, 0) if rest else 0), ABSENT, np.int64)
        width, spare, seen = _retrieve(
            self._counts.arrays,
            histories.users,
            histories.item_rows,
            histories.now_s,
            general,
            nearest,
            new,
            self._exclude_seen,
            *self._counts.stamps(S),
            np.empty((most, EVIDENCE), np.float32),
            rows,
            evidence,
            sources,
            others,
        )
        width = max(width, 1)
        return Candidates(  # what is contiguous where there are fewer, too, takes the same compiled loops
            rows=np.ascontiguousarray(rows[:, :width]),
            evidence=np.ascontiguousarray(evidence[:, :width]),
            sources=np.ascontiguousarray(sources[:, :width]),
            rest=others[:, :spare],
            seen=seen,
        )

    def describe(self, histories: Histories, sequence: IntArray, item_rows: IntArray) -> Candidates:
        """The same evidence for given items, whether they would have been retrieved or not.

        Args:
            histories: S users at S moments.
            sequence: (B,) which of them each row has.
            item_rows: (B,) one item a row.

        Returns:
            B sequences with one candidate each; `sources` is empty.
        """
        B = len(item_rows)
        evidence = np.zeros((B, EVIDENCE), np.float32)
        order = np.argsort(sequence, kind="stable")
        _describe(
            self._counts.arrays,
            histories.item_rows,
            histories.now_s,
            sequence,
            item_rows,
            order,
            *self._counts.stamps(B),
            evidence,
        )
        return Candidates(
            rows=item_rows[:, None],
            evidence=evidence[:, None],
            sources=np.zeros((B, 1), np.uint8),
            rest=np.zeros((B, 0), np.int64),
        )


@compiled
def _meet(
    row: np.int64,
    stamps: IntArray,
    slots: IntArray,
    stamp: int,
    rows: IntArray,
    evidence: FloatArray,
    bits: NDArray[np.uint8],
    found: int,
) -> int:
    """Let an item in that was not met before; returns how many have been met."""
    stamps[row], slots[row], rows[found] = stamp, found, row
    for e in range(EVIDENCE):
        evidence[found, e] = 0.0
    bits[found] = 0
    return found + 1


@compiled
def _gather(
    counts: CountArrays,
    history: IntArray,
    now_s: float,
    stamps: IntArray,
    slots: IntArray,
    stamp: int,
    open_to_all: bool,
    rows: IntArray,
    evidence: FloatArray,
    bits: NDArray[np.uint8],
    found: int,
) -> int:
    """Follow a history's transitions and companies; returns how many items have been met.

    Args:
        counts: What is followed.
        history: (H,) oldest first.
        now_s: The moment.
        stamps: (N,) `stamp` at items that were met, whose place in the outputs stands in `slots`.
        slots: (N,).
        stamp: Of this sequence.
        open_to_all: Whether items that were not met before come in.
        rows: (most,) out: items.
        evidence: (most, EVIDENCE) out.
        bits: (most,) out: sources.
        found: How many have been met already.
    """
    transitions, together = counts.transitions, counts.together
    recent = np.empty(FOLLOWED, np.int64)
    factors = np.empty(_J, np.float32)
    for distance in range(latest_distinct(history, recent)):
        source = recent[distance]
        share_factors(transitions, source, now_s, factors)
        followers, weights = list_of(transitions, source)
        for m in range(len(followers)):
            row = np.int64(followers[m])
            if stamps[row] != stamp:
                if not open_to_all:
                    continue
                found = _meet(row, stamps, slots, stamp, rows, evidence, bits, found)
            slot = slots[row]
            bits[slot] |= _TRANSITION
            evidence[slot, _WAYS_0] += 1.0
            for j in range(_J):
                share = weights[m, j] * factors[j]
                if distance == 0:
                    evidence[slot, _LAST_0 + j] = share
                evidence[slot, _RECENT_0 + j] += share / (1.0 + distance)
                if j == _DAY_TRANSITION:
                    evidence[slot, _EVENLY_0] += share
                if j == _LASTING_TRANSITION:
                    evidence[slot, _EVENLY_0 + 1] += share
    others = np.empty(ACCOMPANIED, np.int64)
    factors = np.empty(_G, np.float32)
    for distance in range(latest_distinct(history, others)):
        source = others[distance]
        share_factors(together, source, now_s, factors)
        root = np.sqrt(factors[_LASTING_TOGETHER])
        nearness = 1.0 / np.sqrt(1.0 + distance)
        company, weights = list_of(together, source)
        for m in range(len(company)):
            row = np.int64(company[m])
            if stamps[row] != stamp:
                if not open_to_all:
                    continue
                found = _meet(row, stamps, slots, stamp, rows, evidence, bits, found)
            slot = slots[row]
            bits[slot] |= _TOGETHER
            evidence[slot, _WAYS_0 + 1] += 1.0
            for g in range(_G):
                evidence[slot, _TOGETHER_0 + g] += weights[m, g] * factors[g]
            lasting = weights[m, _LASTING_TOGETHER]
            evidence[slot, _TOGETHER_0 + _G] += lasting * root
            evidence[slot, _TOGETHER_0 + _G + 1] += lasting * factors[_LASTING_TOGETHER] * nearness
    return found


@compiled
def _add(
    items: IntArray,
    bit: int,
    stamps: IntArray,
    slots: IntArray,
    stamp: int,
    rows: IntArray,
    evidence: FloatArray,
    bits: NDArray[np.uint8],
    found: int,
) -> int:
    """Let items in that speak for themselves; returns how many have been met."""
    for n in range(len(items)):
        row = items[n]
        if row == ABSENT:
            continue
        if stamps[row] != stamp:
            found = _meet(row, stamps, slots, stamp, rows, evidence, bits, found)
        bits[slots[row]] |= bit
    return found


@compiled
def _retrieve(
    counts: CountArrays,
    users: IntArray,
    item_rows: IntArray,
    now_s: NDArray[np.float64],
    general: IntArray,
    nearest: IntArray,
    new: IntArray,
    exclude_seen: bool,
    stamps: IntArray,
    slots: IntArray,
    first_stamp: int,
    met_evidence: FloatArray,
    rows: IntArray,
    evidence: FloatArray,
    sources: NDArray[np.uint8],
    rest: IntArray,
) -> tuple[int, int, int]:
    """Fill (S, C) outputs and (S, W) of the rest; returns how many of their columns are used, and how many were seen.

    Where more were met than there is room for, new items stay, which have no counts at all, then what comes from more
    than counts of pairs, and of the rest the most promising.
    """
    limit = rows.shape[1]
    most = len(met_evidence)
    met = np.empty(most, np.int64)
    bits = np.empty(most, np.uint8)
    promise = np.empty(most, np.float32)
    width, spare, seen = 0, 0, 0
    for s in range(len(users)):
        stamp = first_stamp + s
        history = item_rows[s]
        found = _gather(counts, history, now_s[s], stamps, slots, stamp, True, met, met_evidence, bits, 0)
        found = _add(history, _REPEAT, stamps, slots, stamp, met, met_evidence, bits, found)
        found = _add(nearest[s], _NEURAL, stamps, slots, stamp, met, met_evidence, bits, found)
        found = _add(general, _POPULARITY, stamps, slots, stamp, met, met_evidence, bits, found)
        found = _add(new[s], _NEW, stamps, slots, stamp, met, met_evidence, bits, found)
        kept = 0
        for n in range(found):
            if exclude_seen and (bits[n] & _REPEAT != 0 or find_pair(counts.own, users[s], met[n]) >= 0):
                seen += 1
                continue
            if kept < n:
                met[kept], bits[kept] = met[n], bits[n]
                for e in range(EVIDENCE):
                    met_evidence[kept, e] = met_evidence[n, e]
            promise[kept] = 0.0
            if bits[kept] & _NEW:
                promise[kept] = 2e3
            elif bits[kept] & (_REPEAT | _NEURAL | _POPULARITY):
                promise[kept] = 1e3
            for e in range(_RECENT_0, _WAYS_0):
                promise[kept] += met_evidence[kept, e]
            kept += 1
        least = -np.inf
        if kept > limit:
            least = np.partition(promise[:kept], kept - limit)[kept - limit]
        equal = limit  # of those that promise just enough, so many come in
        for n in range(kept):
            if promise[n] > least:
                equal -= 1
        taken, passed = 0, 0
        for n in range(kept):
            if promise[n] > least or (promise[n] == least and equal > 0):
                if promise[n] == least:
                    equal -= 1
                rows[s, taken], sources[s, taken] = met[n], bits[n]
                for e in range(EVIDENCE):
                    evidence[s, taken, e] = met_evidence[n, e]
                taken += 1
            elif rest.shape[1]:
                rest[s, passed] = met[n]
                passed += 1
        width, spare = max(width, taken), max(spare, passed)
    return width, spare, seen


@compiled
def _describe(
    counts: CountArrays,
    item_rows: IntArray,
    now_s: NDArray[np.float64],
    sequence: IntArray,
    wanted: IntArray,
    order: IntArray,
    stamps: IntArray,
    slots: IntArray,
    first_stamp: int,
    evidence: FloatArray,
) -> None:
    """Fill (B, EVIDENCE): rows of one sequence, which `order` brings together, follow its history once."""
    B = len(order)
    met = np.empty(B, np.int64)
    bits = np.empty(B, np.uint8)
    gathered = np.zeros((B, EVIDENCE), np.float32)
    begin = 0
    while begin < B:
        end = begin
        s = sequence[order[begin]]
        found = 0
        while end < B and sequence[order[end]] == s:
            row = wanted[order[end]]
            if stamps[row] != first_stamp + begin:
                stamps[row], slots[row], met[found] = first_stamp + begin, found, row
                gathered[found] = 0.0
                bits[found] = 0
                found += 1
            end += 1
        _gather(
            counts,
            item_rows[s],
            now_s[s],
            stamps,
            slots,
            first_stamp + begin,
            False,
            met,
            gathered,
            bits,
            found,
        )
        for n in range(begin, end):
            evidence[order[n]] = gathered[slots[wanted[order[n]]]]
        begin = end


def no_candidates(S: int) -> Candidates:
    """S sequences that have one empty slot each."""
    return Candidates(
        rows=np.full((S, 1), ABSENT, np.int64),
        evidence=np.zeros((S, 1, EVIDENCE), np.float32),
        sources=np.zeros((S, 1), np.uint8),
        rest=np.zeros((S, 0), np.int64),
    )
