"""What a slot of a history says beside its item: how long ago, when, where in its session, and of which type.

Each of these is a row of one small table, so that what a slot says is a sum of its rows. S sequences, H slots.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learners.compiled import compiled
from learners.event_batch import BoolArray, IntArray

TRAITS = 5

_HOUR_S, _HOURS, _WEEKDAYS = 3_600.0, 24, 7
_AGE_UNIT_S, _AGES = 30.0, 32
_SESSION_GAP_S, _SESSION_PLACES = 1_800.0, 16

_HOURS_0 = _AGES
_WEEKDAYS_0 = _HOURS_0 + _HOURS
_PLACES_0 = _WEEKDAYS_0 + _WEEKDAYS
_TYPES_0 = _PLACES_0 + _SESSION_PLACES


def trait_rows(event_types: int) -> int:
    """How many rows the table has."""
    return _TYPES_0 + event_types


def slot_traits(
    types: NDArray[Any], age_s: NDArray[Any], now_s: NDArray[np.float64], filled: BoolArray
) -> IntArray:
    """The rows of each slot.

    - Age: row n stands for ages around 30 s * 2^n.
    - Hour of the day and day of the week (0 is Monday), UTC.
    - Place in the session, from 0 and at most 15; a session ends when nothing comes for half an hour.
    - Event type.

    Args:
        types: (S, H) event types.
        age_s: (S, H) seconds before the moment, oldest first.
        now_s: (S,) the moments, seconds since 1970.
        filled: (S, H) filled slots, at the right end.

    Returns:
        (S, H, 5); those of a slot that is not filled mean nothing.
    """
    rows = np.zeros((*types.shape, TRAITS), np.int64)
    _fill(types, age_s, now_s, filled, rows)
    return rows


@compiled
def _fill(
    types: NDArray[Any], age_s: NDArray[Any], now_s: NDArray[np.float64], filled: BoolArray, out: IntArray
) -> None:
    for s in range(len(types)):
        place = 0
        for h in range(types.shape[1]):
            if not filled[s, h]:
                continue
            age = max(np.float64(age_s[s, h]), 0.0)
            hours = math.floor((now_s[s] - age_s[s, h]) / _HOUR_S)
            goes_on = h > 0 and filled[s, h - 1] and age_s[s, h - 1] - age_s[s, h] <= _SESSION_GAP_S
            place = min(place + 1, _SESSION_PLACES - 1) if goes_on else 0
            out[s, h, 0] = min(math.log2(1.0 + age / _AGE_UNIT_S), _AGES - 1.0)
            out[s, h, 1] = _HOURS_0 + hours % _HOURS
            out[s, h, 2] = _WEEKDAYS_0 + (hours // _HOURS + 3) % _WEEKDAYS  # 1970 began on a Thursday
            out[s, h, 3] = _PLACES_0 + place
            out[s, h, 4] = _TYPES_0 + types[s, h]


class SumOfRows(torch.autograd.Function):
    """(N, D) sums of rows (N, P) of a table (R, D): `embedding_bag`, whose own backward pass takes twice as long."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, table: Tensor) -> Tensor:
        """See the class."""
        ctx.save_for_backward(rows)
        ctx.shape = table.shape
        return F.embedding_bag(rows, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        """From the sums' gradients (N, D) to the table's."""
        (rows,) = ctx.saved_tensors
        of_table = gradients[0].new_zeros(ctx.shape)
        for column in rows.unbind(dim=1):
            of_table.index_add_(0, column, gradients[0])
        return None, of_table
