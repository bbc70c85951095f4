"""What a model has learned since it was last told to others, and what is told by them; see `contribution`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learners.contribution import RowChanges
from learners.state_arrays import Arrays

_NO_SLOT = _NO_ROW = -1
_LEAST_SLOTS = 1_024
_LARGEST = 60_000.0  # of a half-precision float


class DenseChanges:
    """What changed of dense parameters since the last contribution.

    Args:
        modules: Whose parameters, by name.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self._parameters = {
            f"{name}.{inner}": parameter.detach()
            for name, module in modules.items()
            for inner, parameter in module.named_parameters()
        }
        self._before = {name: parameter.clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def cut(self, share: float) -> Arrays:
        """The change by name; of which this model keeps its share, as everybody's will."""
        changes: Arrays = {}
        for name, parameter in self._parameters.items():
            before = self._before[name]
            change = parameter - before
            changes[name] = change.cpu().numpy()
            before += change * share
            parameter.copy_(before)
        return changes

    @torch.no_grad()
    def merge(self, changes: Mapping[str, NDArray[np.float32]], share: float) -> None:
        """Add another worker's change, as far as it is of these modules."""
        for name in self._parameters.keys() & changes.keys():
            parameter = self._parameters[name]
            added = torch.tensor(changes[name], device=parameter.device) * share
            parameter += added
            self._before[name] += added

    @contextmanager
    def kept_apart(self) -> Iterator[None]:
        """Whatever becomes of the parameters meanwhile was not learned: it is this model's alone, and is not told."""
        before = {name: parameter.clone() for name, parameter in self._parameters.items()}
        yield
        for name, parameter in self._parameters.items():
            self._before[name] += parameter - before[name]


class TableChanges:
    """Which rows of a table of vectors were written since the last contribution, and what they held before.

    Args:
        weight: (N, D) the table; only its width and its device count.
    """

    def __init__(self, weight: Tensor) -> None:
        self._slots = torch.zeros(0, dtype=torch.int64, device=weight.device)
        self._rows = torch.zeros(0, dtype=torch.int64, device=weight.device)
        self._weight, self._accumulator = weight[:0].clone(), weight[:0, 0].clone()
        self._count = 0

    def note(self, rows: Tensor, weight: Tensor, accumulator: Tensor) -> None:
        """Different rows (R,) are about to be written."""
        self._slots = _longer(self._slots, len(weight), _NO_SLOT)
        new = rows[self._slots[rows] < 0]
        count = self._count + len(new)
        if count > len(self._rows):
            capacity = max(count, 2 * len(self._rows), _LEAST_SLOTS)
            self._rows = _longer(self._rows, capacity)
            self._weight = _longer(self._weight, capacity)
            self._accumulator = _longer(self._accumulator, capacity)
        there = slice(self._count, count)
        self._slots[new] = torch.arange(self._count, count, device=rows.device)
        self._rows[there], self._weight[there] = new, weight[new]
        self._accumulator[there] = accumulator[new]
        self._count = count

    def forget(self, rows: Tensor) -> None:
        """Rows (R,) are other items' from now on."""
        rows = rows[rows < len(self._slots)]
        slots = self._slots[rows]
        self._rows[slots[slots >= 0]] = _NO_ROW
        self._slots[rows] = _NO_SLOT

    def cut(self, weight: Tensor, accumulator: Tensor) -> RowChanges:
        """What changed; the table is left as what is told of it, which is rounded."""
        rows = self._rows[: self._count]
        written = rows != _NO_ROW
        rows = rows[written]
        before = self._weight[: self._count][written]
        change = (weight[rows] - before).clamp(-_LARGEST, _LARGEST).half()
        weight[rows] = before + change.float()
        accumulated = accumulator[rows] - self._accumulator[: self._count][written]
        self._slots[rows] = _NO_SLOT
        self._count = 0
        return RowChanges(
            rows.cpu().numpy(),
            change.cpu().numpy(),
            accumulated.cpu().numpy(),
            weight[rows].half().cpu().numpy(),
            accumulator[rows].cpu().numpy(),
        )

    def merge(self, changes: RowChanges, weight: Tensor, accumulator: Tensor, *, over: bool) -> None:
        """Add another worker's changes to the table.

        Rows that were never learned here become as they are there: they began with other numbers.

        Args:
            changes: Of another worker.
            weight: (N, D) the table.
            accumulator: (N,) of the table.
            over: All rows become as they are there.
        """
        self._slots = _longer(self._slots, len(weight), _NO_SLOT)
        rows = torch.tensor(changes.rows, device=weight.device)
        added = accumulator[rows] > 0.0
        if over:
            added[:] = False
        change = torch.tensor(changes.change, device=weight.device).float()[added]
        accumulated = torch.tensor(changes.accumulated, device=weight.device)[added]
        known, new = rows[added], rows[~added]
        weight[known] += change
        accumulator[known] += accumulated
        slots = self._slots[known]
        own = slots >= 0
        self._weight[slots[own]] += change[own]
        self._accumulator[slots[own]] += accumulated[own]
        weight[new] = torch.tensor(changes.weight, device=weight.device).float()[~added]
        accumulator[new] = torch.tensor(changes.accumulator, device=weight.device)[~added]
        self.forget(new)


def _longer(tensor: Tensor, rows: int, fill: float = 0) -> Tensor:
    """`tensor` with at least so many rows."""
    if len(tensor) >= rows:
        return tensor
    more = torch.full((rows - len(tensor), *tensor.shape[1:]), fill, dtype=tensor.dtype, device=tensor.device)
    return torch.cat([tensor, more])
