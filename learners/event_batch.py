"""Columns: what the pipeline hands to a learner. B rows, S sequences, H history slots, F context fields, K tasks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.context_fields import ContextArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


_EMPTY = -1  # `row_index.ABSENT`
_LIST_GAP_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """What S users had done at S moments; a user may appear at several moments. Oldest slot first.

    Attributes:
        users: (S,) user rows.
        item_rows: (S, H) item rows, `ABSENT` (-1) where a slot is empty; filled slots stand at the right end.
        types: (S, H) event types' numbers.
        age_s: (S, H) seconds from the slot's event to the moment.
        context: (S, H, F) buckets of what the slot's event said of the declared fields.
        now_s: (S,) the moments, event time in seconds since 1970.
        lengths: (S,) how many history events the user had had by then, beyond H too.
    """

    users: IntArray
    item_rows: IntArray
    types: IntArray
    age_s: FloatArray
    context: ContextArray
    now_s: NDArray[np.float64]
    lengths: IntArray

    def __len__(self) -> int:
        return len(self.now_s)

    def lists(self, sequence: IntArray) -> IntArray:
        """(B,) numbers of the lists that rows of these sequences belong to.

        Of one user those are one list that come within two seconds of each other: a page logs its places one by one.
        """
        users, now_s = self.users[sequence], self.now_s[sequence]
        order = np.lexsort((now_s, users))
        begins = np.diff(now_s[order], prepend=-np.inf) > _LIST_GAP_S
        begins |= np.diff(users[order], prepend=_EMPTY) != 0
        lists = np.empty(len(sequence), np.int64)
        lists[order] = np.cumsum(begins)
        return lists

    @property
    def mask(self) -> BoolArray:
        """(S, H) which slots are filled."""
        return self.item_rows >= 0

    def take(self, index: IntArray) -> Histories:
        """The sequences at `index`."""
        return Histories(
            users=self.users[index],
            item_rows=self.item_rows[index],
            types=self.types[index],
            age_s=self.age_s[index],
            context=self.context[index],
            now_s=self.now_s[index],
            lengths=self.lengths[index],
        )

    def of_length(self, slots: int) -> Histories:
        """The same with `slots` slots: the newest of them, or empty ones in front."""
        missing = slots - self.item_rows.shape[1]
        if missing == 0:
            return self

        def fitted(column: NDArray[Any], empty: int) -> NDArray[Any]:
            if missing < 0:
                return column[:, -slots:]
            front = ((0, 0), (missing, 0), *[(0, 0)] * (column.ndim - 2))
            return np.pad(column, front, constant_values=empty)

        return replace(
            self,
            item_rows=fitted(self.item_rows, _EMPTY),
            types=fitted(self.types, 0),
            age_s=fitted(self.age_s, 0),
            context=fitted(self.context, 0),
        )


def is_described(shown: FloatArray) -> BoolArray:
    """(N,) which rows of what was said of impressions (N, R) anybody said; what is only followed is not described."""
    if not shown.shape[1]:
        return np.ones(len(shown), np.bool_)
    described: BoolArray = ~np.isnan(shown[:, 0])
    return described


def described_only(said: FloatArray, rows: IntArray, count: int) -> FloatArray:
    """(N, R) what is said of `count` impressions where it is said of rows (n,) alone, (n, R); see `is_described`."""
    described = np.full((count, said.shape[1]), np.nan, np.float32)
    described[rows] = said
    return described


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What came of N impressions in the end, all tasks side by side, which labels that come one by one do not tell.

    Attributes:
        labels: (N, K) which tasks were answered with yes.
        known: (N, K) which tasks took part: answered, or closed without an answer.
    """

    labels: BoolArray
    known: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """N impressions whose windows have closed, yes and no side by side: what forecasts are examined by.

    Labels come one by one, a no after a minute of silence, and some are taken back. What has come so far is not
    what comes in the end.

    Attributes:
        shown: (N, R) what `Learner.describe` said of them when they were shown.
        labels: (N, K) what came.
        mask: (N, K) which tasks are settled.
    """

    shown: FloatArray
    labels: FloatArray
    mask: BoolArray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happenings:
    """What E events say of items, whether or not there is anything to learn from them.

    Attributes:
        users: (E,) user rows.
        items: (E,) item rows.
        now_s: (E,) when, event time in seconds since 1970.
        shown: (E,) whether the item was shown.
        acquired: (E,) whether the user owns the item from now on.
        supply: (E,) 1 where the item is available from now on, -1 where it is not, 0 where nothing is said of that.
    """

    users: IntArray
    items: IntArray
    now_s: NDArray[np.float64]
    shown: BoolArray
    acquired: BoolArray
    supply: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBatch:
    """Rows to predict and to learn from, each a user at a moment with an item.

    Attributes:
        histories: The S different (user, moment) pairs that the rows share: ten impressions of one page
            are ten rows with one history.
        sequence: (B,) which of the histories each row has.
        item_rows: (B,) the item of each row.
        position: (B,) zero-based place where the item was shown, -1 where it is not known.
        target: (B,) whether the row is a choice that the ranking learns to foresee.
        labels: (B, K) 0 or 1 for a binary task, a value in [0, 1] for a regression.
        label_mask: (B, K) whether the label is known: "not yet known" is not "negative".
        late: (B, K) which labels are positives that came after a negative was taught; None where nobody knows of any.
        shown: (B, R) what `Learner.describe` said of rows with labels when they were shown; None where nobody
            kept it.
        outcomes: Of impressions that ended in this step; None where nobody knows of any.
        settled: Impressions whose windows closed in this step; None where nobody knows of any.
        happenings: All events of the step; None where only rows are there to be learned from.
        followed: (B,) which rows are another worker's: they are counted, and neither foreseen nor stepped along;
            None where there are none.
    """

    histories: Histories
    sequence: IntArray
    item_rows: IntArray
    position: IntArray
    target: BoolArray
    labels: FloatArray
    label_mask: BoolArray
    late: BoolArray | None = None
    shown: FloatArray | None = None
    outcomes: Outcomes | None = None
    settled: Settled | None = None
    happenings: Happenings | None = None
    followed: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.item_rows)

    @property
    def own(self) -> BoolArray:
        """(B,) which rows are this worker's to learn from."""
        return np.ones(len(self), np.bool_) if self.followed is None else ~self.followed

    def late_labels(self, rows: IntArray) -> BoolArray:
        """(L, K) which labels of rows (L,) correct a negative; none where nobody knows of any."""
        late: BoolArray = np.zeros_like(self.label_mask[rows]) if self.late is None else self.late[rows]
        return late

    def take(self, rows: IntArray) -> EventBatch:
        """The rows at `rows`, in this order, with the histories that they need; nothing of what came of others."""
        sequences, sequence = np.unique(self.sequence[rows], return_inverse=True)
        return EventBatch(
            histories=self.histories.take(sequences),
            sequence=sequence,
            item_rows=self.item_rows[rows],
            position=self.position[rows],
            target=self.target[rows],
            labels=self.labels[rows],
            label_mask=self.label_mask[rows],
            late=None if self.late is None else self.late[rows],
            shown=None if self.shown is None else self.shown[rows],
        )
