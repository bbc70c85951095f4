"""A task: one thing to predict about a user and an item. An ordered tuple of tasks is axis K, everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to predict.

    Attributes:
        name: Unique among the tasks.
        kind: `binary` is a probability, trained by cross-entropy; `regression` an expected value in [0, 1].
        value: What one positive is worth to the business; multiplies the task's weight and its part of a score.
        window_s: Attribution window, seconds: how long after an impression a positive still counts for it.
    """

    name: str
    kind: Literal["binary", "regression"] = "binary"
    value: float = 1.0
    window_s: float = 1_800.0

    def __post_init__(self) -> None:
        if self.value < 0.0 or self.window_s <= 0.0:
            raise ValueError(f"task {self.name!r}: value must be >= 0 and window_s > 0")
