"""Retrieval: from everything known to a few hundred candidates a sequence, with the counts that speak for each.

Columns all the way: the sources of many users are concatenated as (sequence, item) keys, sorted once, and
summed per key, so the cost does not depend on the catalogue and no Python object stands for a candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.covisitation import HALF_LIVES_S as TRANSITION_HALF_LIVES_S
from learners.covisitation import CoVisitation
from learners.event_batch import FloatArray, Histories, IntArray
from learners.popularity import Popularity
from learners.row_index import ABSENT

SOURCES: tuple[str, ...] = ("repeat", "covisitation", "neural", "popularity")
"""Candidate sources; where several bring an item, the first of them is named."""

SOURCE_ITEMS = 10
"""How many of a user's latest different items lead to candidates."""

_REPEAT, _COVISITATION, _NEURAL, _POPULARITY = (1 << n for n in range(len(SOURCES)))
_P = len(TRANSITION_HALF_LIVES_S)
_PRIOR_SHARE = 1e-3
_CHUNK = 64  # sequences at a time: temporaries stay small enough for the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """C candidates for each of S sequences.

    Attributes:
        rows: (S, C) item rows, `ABSENT` where a sequence has fewer.
        from_last: (S, C, P) transition shares from the user's last item.
        from_recent: (S, C, P) the same from the latest different items, weighted by 1 / distance.
        own_count: (S, C) how often the item stands in the user's history.
        own_age_s: (S, C) seconds since it last did, infinite where it does not.
        sources: (S, C) bits of the sources that brought it, in the order of `SOURCES`.
        last_item: (S,) the user's last item, `ABSENT` where there is none.
    """

    rows: IntArray
    from_last: FloatArray
    from_recent: FloatArray
    own_count: FloatArray
    own_age_s: FloatArray
    sources: NDArray[np.uint8]
    last_item: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: IntArray) -> Candidates:
        """The candidates of the sequences at `index`."""
        return Candidates(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def latest_distinct(item_rows: IntArray, count: int) -> IntArray:
    """Each sequence's latest different items, newest first.

    Args:
        item_rows: (S, H) oldest first, `ABSENT` in empty slots.
        count: L, how many.

    Returns:
        (S, L), `ABSENT` where there are fewer.
    """
    newest_first = item_rows[:, ::-1]
    H = newest_first.shape[1]
    same = newest_first[:, :, None] == newest_first[:, None, :]
    seen_before = (same & np.tri(H, H, -1, dtype=np.bool_)).any(axis=2)
    drop = seen_before | (newest_first == ABSENT)
    order = np.argsort(drop, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(np.where(drop, ABSENT, newest_first), order, axis=1)
    if found.shape[1] < count:
        found = np.pad(found, ((0, 0), (0, count - found.shape[1])), constant_values=ABSENT)
    return found


class CandidateRetrieval:
    """Brings candidates from what users did next, what is chosen by all, and what is near the user's vector.

    Args:
        covisitation: Transitions between items.
        popularity: Choices of items.
        limit: C, most candidates of a sequence.
    """

    def __init__(self, covisitation: CoVisitation, popularity: Popularity, limit: int) -> None:
        self._covisitation = covisitation
        self._popularity = popularity
        self._limit = limit

    def retrieve(self, histories: Histories, nearest: IntArray) -> Candidates:
        """The candidates of S sequences.

        Args:
            histories: S users at S moments.
            nearest: (S, T) item rows nearest to the user vectors, `ABSENT` where there are fewer.
        """
        general = self._popularity.leaders()
        parts = [
            self._retrieve_chunk(histories.take(index), nearest[index], general)
            for start in range(0, max(len(histories), 1), _CHUNK)
            for index in (np.arange(start, min(start + _CHUNK, len(histories))),)
        ]
        width = max(part.rows.shape[1] for part in parts)
        return _concatenated([_widened(part, width) for part in parts])

    def describe(self, histories: Histories, sequence: IntArray, item_rows: IntArray) -> Candidates:
        """The same counts for given items, whether they would have been retrieved or not.

        Args:
            histories: S users at S moments.
            sequence: (B,) which of them each row has.
            item_rows: (B,) one item a row.

        Returns:
            B sequences with one candidate each; `sources` is empty.
        """
        B, S = len(item_rows), len(histories)
        recent = latest_distinct(histories.item_rows[:, -2 * SOURCE_ITEMS :], SOURCE_ITEMS)
        L = recent.shape[1]
        successors, share = self._covisitation.successors(recent.ravel(), np.repeat(histories.now_s, L))
        M = successors.shape[1]
        successors, share = successors.reshape(S, L, M), share.reshape(S, L, M, _P)
        from_last, from_recent = np.zeros((2, B, 1, _P), np.float32)
        own_count = np.zeros((B, 1), np.float32)
        own_age_s = np.full((B, 1), np.inf, np.float32)
        for start in range(0, B, _CHUNK):
            rows = slice(start, start + _CHUNK)
            of, wanted = sequence[rows], item_rows[rows, None]
            row, distance, slot = np.nonzero(successors[of] == wanted[:, :, None])
            found = share[of[row], distance, slot]
            np.add.at(from_last[rows, 0], row, found * (distance == 0)[:, None])
            np.add.at(from_recent[rows, 0], row, found / (distance + 1)[:, None])
            own = histories.item_rows[of] == wanted
            own_count[rows, 0] = own.sum(axis=1)
            own_age_s[rows, 0] = np.where(own, histories.age_s[of], np.inf).min(axis=1, initial=np.inf)
        return Candidates(
            rows=item_rows[:, None],
            from_last=from_last,
            from_recent=from_recent,
            own_count=own_count,
            own_age_s=own_age_s,
            sources=np.zeros((B, 1), np.uint8),
            last_item=recent[sequence, 0],
        )

    def _retrieve_chunk(self, histories: Histories, nearest: IntArray, general: IntArray) -> Candidates:
        S = len(histories)
        recent = latest_distinct(histories.item_rows[:, -2 * SOURCE_ITEMS :], SOURCE_ITEMS)
        L = recent.shape[1]
        successors, share = self._covisitation.successors(recent.ravel(), np.repeat(histories.now_s, L))
        M = successors.shape[1]
        nearness = np.tile(1.0 / np.arange(1, L + 1, dtype=np.float32), S)
        columns = np.concatenate(
            [
                share * np.tile(np.arange(L) == 0, S)[:, None, None],
                share * nearness[:, None, None],
                np.zeros((S * L, M, 1), np.float32),
            ],
            axis=2,
        )
        own = histories.item_rows
        entries = [
            _Entries(
                np.repeat(np.arange(S), L * M),
                successors.ravel(),
                columns.reshape(-1, 2 * _P + 1),
                _COVISITATION,
            ),
            _Entries.plain(S, own, _REPEAT, count=1.0, age_s=histories.age_s),
            _Entries.plain(S, nearest, _NEURAL),
            _Entries.plain(S, np.broadcast_to(general, (S, len(general))), _POPULARITY),
        ]
        return self._merge(S, entries, recent[:, 0])

    def _merge(self, S: int, entries: list[_Entries], last_item: IntArray) -> Candidates:
        """One row a (sequence, item), its columns summed; then the most promising C of each sequence."""
        rows = np.concatenate([entry.rows for entry in entries]).astype(np.int64)
        sequence = np.concatenate([entry.sequence for entry in entries])
        real = np.flatnonzero(rows != ABSENT)
        span = int(rows.max(initial=0)) + 1
        key = sequence[real] * span + rows[real]
        order = np.argsort(key, kind="stable")
        key, real = key[order], real[order]
        if not len(key):
            return no_candidates(S, last_item)
        start = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        summed = np.add.reduceat(np.concatenate([entry.columns for entry in entries])[real], start, axis=0)
        bits = np.bitwise_or.reduceat(np.concatenate([entry.bits for entry in entries])[real], start)
        age_s = np.minimum.reduceat(np.concatenate([entry.age_s for entry in entries])[real], start)
        key = key[start]
        sequence, rows = key // span, key % span

        # What several users' worth of counts supports comes first; what the user knows, what is near and
        # what everybody takes is few and always kept.
        promise = summed[:, _P : 2 * _P].sum(axis=1) + np.where(bits != _COVISITATION, 1e3, 0.0)
        per_sequence = np.bincount(sequence, minlength=S)
        offset = np.concatenate([[0], np.cumsum(per_sequence)])
        place = np.arange(len(key)) - offset[sequence]
        padded = np.full((S, int(per_sequence.max())), -1.0, np.float32)
        padded[sequence, place] = promise
        if padded.shape[1] > self._limit:
            chosen = np.argpartition(-padded, self._limit - 1, axis=1)[:, : self._limit]
        else:
            chosen = np.broadcast_to(np.arange(padded.shape[1]), padded.shape)
        filled = np.take_along_axis(padded, chosen, axis=1) >= 0.0
        index = np.where(filled, offset[:-1, None] + chosen, 0)
        summed = np.where(filled[:, :, None], summed[index], 0.0).astype(np.float32)
        return Candidates(
            rows=np.where(filled, rows[index], ABSENT),
            from_last=summed[:, :, :_P],
            from_recent=summed[:, :, _P : 2 * _P],
            own_count=summed[:, :, 2 * _P],
            own_age_s=np.where(filled, age_s[index], np.inf).astype(np.float32),
            sources=np.where(filled, bits[index], 0).astype(np.uint8),
            last_item=last_item,
        )


@dataclass(frozen=True, slots=True)
class _Entries:
    """What one source says: one line a (sequence, item), `ABSENT` lines ignored."""

    sequence: IntArray
    rows: NDArray[Any]
    columns: FloatArray
    bit: int
    age: FloatArray | None = None

    @classmethod
    def plain(
        cls, S: int, rows: IntArray, bit: int, count: float = 0.0, age_s: FloatArray | None = None
    ) -> _Entries:
        """A source without transition counts: rows (S, N)."""
        N = rows.shape[1]
        columns = np.zeros((S * N, 2 * _P + 1), np.float32)
        columns[:, 2 * _P] = count
        return cls(
            np.repeat(np.arange(S), N), rows.ravel(), columns, bit, None if age_s is None else age_s.ravel()
        )

    @property
    def bits(self) -> NDArray[np.uint8]:
        return np.full(len(self.rows), self.bit, np.uint8)

    @property
    def age_s(self) -> FloatArray:
        return self.age if self.age is not None else np.full(len(self.rows), np.inf, np.float32)


def no_candidates(S: int, last_item: IntArray) -> Candidates:
    """S sequences that have one empty slot each; `last_item` (S,) as in `Candidates`."""
    return Candidates(
        rows=np.full((S, 1), ABSENT, np.int64),
        from_last=np.zeros((S, 1, _P), np.float32),
        from_recent=np.zeros((S, 1, _P), np.float32),
        own_count=np.zeros((S, 1), np.float32),
        own_age_s=np.full((S, 1), np.inf, np.float32),
        sources=np.zeros((S, 1), np.uint8),
        last_item=last_item,
    )


def _widened(part: Candidates, width: int) -> Candidates:
    missing = width - part.rows.shape[1]
    if not missing:
        return part

    def pad(array: NDArray[Any], fill: float) -> NDArray[Any]:
        return np.pad(array, ((0, 0), (0, missing), *((0, 0),) * (array.ndim - 2)), constant_values=fill)

    return Candidates(
        rows=pad(part.rows, ABSENT),
        from_last=pad(part.from_last, 0.0),
        from_recent=pad(part.from_recent, 0.0),
        own_count=pad(part.own_count, 0.0),
        own_age_s=pad(part.own_age_s, np.inf),
        sources=pad(part.sources, 0),
        last_item=part.last_item,
    )


def _concatenated(parts: list[Candidates]) -> Candidates:
    if len(parts) == 1:
        return parts[0]
    return Candidates(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Candidates.__dataclass_fields__
        }
    )
