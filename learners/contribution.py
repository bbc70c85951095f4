"""What one worker learned by gradients since it last told the others, and how it becomes part of what they know.

Each of several workers learns from its own events, and all of them should hold one model. Dense parameters are
averaged: McMahan et al. (AISTATS 2017, arXiv:1602.05629), each weighted by its share of the stream. Item vectors are
not: an item's vector is moved by the few events that name it, whoever saw them, so their changes are added up, as in
Hogwild (Niu et al., NeurIPS 2011, arXiv:1106.5730), and so are Adagrad's accumulators.

Both are sums of what was contributed, so the order does not matter, nobody waits for anybody, and what a worker told
before it died stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import FloatArray, IntArray
from learners.state_arrays import Arrays

Half = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class RowChanges:
    """What became of R rows of a table of vectors.

    Attributes:
        rows: (R,) which.
        change: (R, D) what was added to their vectors.
        accumulated: (R,) what was added to their accumulators.
        weight: (R, D) their vectors after that.
        accumulator: (R,) their accumulators after that.
    """

    rows: IntArray
    change: Half
    accumulated: FloatArray
    weight: Half
    accumulator: FloatArray

    def take(self, kept: NDArray[np.bool_] | IntArray, rows: IntArray | None = None) -> RowChanges:
        """Some of it, under the rows that these items have elsewhere."""
        return RowChanges(
            self.rows[kept] if rows is None else rows,
            self.change[kept],
            self.accumulated[kept],
            self.weight[kept],
            self.accumulator[kept],
        )


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a learner learned since its last contribution.

    Attributes:
        share: How much of the stream it learns from, 0 to 1.
        dense: What was added to each dense parameter, by name; before it is weighted.
        tables: What was added to vectors, by the table's name.
    """

    share: float
    dense: Arrays = field(default_factory=dict)
    tables: Mapping[str, RowChanges] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(len(changes.rows) for changes in self.tables.values()) or any(
            bool(change.any()) for change in self.dense.values()
        )
