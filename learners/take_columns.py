"""Some columns of each row, which differ from row to row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray


def take_columns(values: NDArray[Any], columns: IntArray) -> NDArray[Any]:
    """(S, N, ...) what (S, C, ...) values have in columns (S, N), by one flat `take`.

    NumPy's `take_along_axis` does the same in four times the time: it indexes each number.
    """
    S, C = values.shape[:2]
    flat = columns + C * np.arange(S)[:, None]
    taken: NDArray[Any] = values.reshape(S * C, *values.shape[2:]).take(flat, axis=0)
    return taken
