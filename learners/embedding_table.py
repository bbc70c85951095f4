"""A growing table of vectors, learned by row-wise Adagrad on the touched rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learners.contribution import RowChanges
from learners.event_batch import BoolArray, IntArray
from learners.state_arrays import Arrays
from learners.state_changes import CHANGED, LiveState, Marks, Taken, changed_rows, whole
from learners.untold_changes import TableChanges

_EPSILON = 1e-6


class EmbeddingTable:
    """N vectors of D numbers.

    Row-wise Adagrad keeps one accumulator a row instead of one a number: G_r += mean_d g_rd^2,
    w_r -= lr / sqrt(G_r) g_r (Duchi et al., 2011; row-wise as in Naumov et al., 2019, arXiv:1906.00091).

    Args:
        dimension: D.
        scale: Standard deviation of a new row's numbers.
        generator: Source of new rows.
        device: Where the table lives.
    """

    def __init__(
        self, dimension: int, *, scale: float, generator: torch.Generator, device: str = "cpu"
    ) -> None:
        self._scale = scale
        self._generator = generator
        self._device = device
        self.weight = self._fresh(16, dimension)
        self._accumulator = torch.zeros(16, device=device)
        self._marks: Marks = np.zeros(16, np.uint8)
        self._written = np.ones(16, np.bool_)
        self._changes: TableChanges | None = None

    def ensure(self, rows: int) -> None:
        """Make room for rows 0 .. rows - 1, doubling."""
        have, dimension = self.weight.shape
        if rows <= have:
            return
        more = max(rows, 2 * have) - have
        self.weight = torch.cat([self.weight, self._fresh(more, dimension)])
        self._accumulator = torch.cat([self._accumulator, torch.zeros(more, device=self._device)])
        drawn = np.full(more, CHANGED, np.uint8)  # new rows are not what fills a table
        self._marks = np.concatenate([self._marks, drawn])
        self._written = np.concatenate([self._written, np.ones(more, np.bool_)])

    def take(self, rows: Tensor) -> Tensor:
        """(..., D) the vectors of rows (...): a copy, and a twentieth of the time that indexing takes."""
        return F.embedding(rows, self.weight)

    def learn_many(self, rows: Tensor, gradient: Tensor, learning_rate: float) -> None:
        """One step on the touched rows; a row that is named several times gets the sum of its gradients.

        Args:
            rows: (R,) rows.
            gradient: (R, D) the loss's gradients.
            learning_rate: Step size before Adagrad's scaling.
        """
        unique, inverse = torch.unique(rows, return_inverse=True)
        summed = torch.zeros(len(unique), self.weight.shape[1], device=self._device)
        summed.index_add_(0, inverse, gradient)
        if self._changes is not None:
            self._changes.note(unique, self.weight, self._accumulator)
        accumulated = self._accumulator[unique] + summed.square().mean(dim=1)
        self._accumulator[unique] = accumulated
        self._mark(unique.cpu().numpy())
        self.weight[unique] -= learning_rate * summed / (accumulated.sqrt() + _EPSILON).unsqueeze(1)

    def forget(self, rows: IntArray) -> None:
        """Start rows anew whose items are gone."""
        rows = rows[rows < len(self.weight)]
        index = torch.from_numpy(rows).to(self._device)
        self.weight[index] = self._fresh(len(index), self.weight.shape[1])
        self._accumulator[index] = 0.0
        self._mark(rows)
        if self._changes is not None:
            self._changes.forget(index)

    def share(self) -> None:
        """Remember what changes from now on, for `cut`."""
        self._changes = TableChanges(self.weight)

    def cut(self) -> RowChanges:
        """What changed since the last call; `share` was called before."""
        assert self._changes is not None
        changes = self._changes.cut(self.weight, self._accumulator)
        self._mark(changes.rows)
        return changes

    def merge(self, changes: RowChanges, *, over: bool) -> None:
        """Add what changed of another worker's table, or take its rows over; `share` and `ensure` came before."""
        assert self._changes is not None
        self._changes.merge(changes, self.weight, self._accumulator, over=over)
        self._mark(changes.rows)

    def written(self, rows: IntArray) -> BoolArray:
        """(R,) which rows were written since somebody who keeps copies has `seen` them."""
        written: BoolArray = self._written[rows]
        return written

    def seen(self, rows: IntArray) -> None:
        """Rows were copied by whoever keeps copies; there may be one who does."""
        self._written[rows] = False

    def _mark(self, rows: IntArray) -> None:
        self._marks[rows] = CHANGED
        self._written[rows] = True

    def _fresh(self, rows: int, dimension: int) -> Tensor:
        return (torch.randn(rows, dimension, generator=self._generator) * self._scale).to(self._device)

    def live_state(self) -> LiveState:
        """Vectors and accumulators."""
        return {
            "weight": _TensorTable(self.weight, self._marks),
            "accumulator": _TensorTable(self._accumulator, self._marks),
        }

    def state_dict(self) -> Arrays:
        """Vectors and accumulators, as arrays."""
        return whole(self.live_state())

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: Saved with another dimension.
        """
        if arrays["weight"].shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"saved with dimension {arrays['weight'].shape[1]}, configured is {self.weight.shape[1]}"
            )
        self.weight = torch.from_numpy(arrays["weight"]).to(self._device)
        self._accumulator = torch.from_numpy(arrays["accumulator"]).to(self._device)
        self._marks = np.zeros(len(self.weight), np.uint8)
        self._written = np.ones(len(self.weight), np.bool_)


@dataclass(frozen=True, slots=True)
class _TensorTable:
    """A `Table` whose rows lie on a device."""

    tensor: Tensor
    marks: Marks

    def whole(self) -> Arrays:
        return {"": self.tensor.cpu().numpy().copy()}

    @property
    def row_bytes(self) -> float:
        return 4.0 + self.tensor[:1].nbytes

    def changed(self, taken: Taken) -> Arrays:
        rows = taken.rows(self.marks)
        values = self.tensor.index_select(0, torch.from_numpy(rows).to(self.tensor.device))
        return changed_rows(rows, values.cpu().numpy(), len(self.tensor))

    def load_marks(self, saved: NDArray[Any] | None) -> None:
        """Rows are always taken over."""
