"""What of a learner can be turned for a while, and undone: its knobs. Each is a piece of it with a shadow beside it.

A turn is made on a shadow of the piece, which learns beside it and is asked about the same examples. So a trial
compares pairs, and nobody is served by what is not better yet: a turn that is given up has never been. One that is
better changes places with the piece, which goes on as its shadow, as it was; to undo the turn is to change again, and
what came meanwhile is not lost with it.

Pieces, and what their shadows cost while they are there:

- `histories`: only what users did since a moment counts for slates. A view without a state of its own: all of the model
  goes on learning from whole histories, so the view leaves no trace. Choices are ranked twice.
- `ranker`: its step size. The shadow is a second ranker without a memory of its own.
- `heads`: of one task, its step size and how quickly its rates are forgotten, or how much its gradient counts, or all
  that its head has learned. The shadow is a second multi-task part.

Item vectors and encoder have no knob: a shadow would be a second model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from learners.history_view import EVER
from learners.learner import Learner

Piece = Literal["histories", "ranker", "heads"]

PIECES: tuple[Piece, ...] = ("histories", "ranker", "heads")

FACTORS = (0.125, 8.0)
"""Bounds of what a knob may multiply by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How a piece is turned.

    Attributes:
        piece: Which.
        since_s: `histories`: events before this moment do not count.
        rate: `ranker`, `heads`: what the step size is multiplied by.
        task: `heads`: number of the task.
        weight: `heads`: what the task's gradient is multiplied by.
        reset: `heads`: whether the task's head begins anew.
    """

    piece: Piece
    since_s: float = EVER
    rate: float = 1.0
    task: int = 0
    weight: float = 1.0
    reset: bool = False

    def __post_init__(self) -> None:
        """Refuse what is out of bounds.

        Raises:
            ValueError: A factor is beyond `FACTORS`.
        """
        for name in ("rate", "weight"):
            factor = getattr(self, name)
            if not FACTORS[0] <= factor <= FACTORS[1]:
                raise ValueError(f"{name} {factor} is not within {FACTORS[0]} and {FACTORS[1]}")


@runtime_checkable
class AdjustableLearner(Learner, Protocol):
    """A learner with knobs. While a shadow is there, `Lesson.compared` tells how its piece does, turned and not."""

    def turn(self, turn: Turn) -> None:
        """Turn a shadow of a piece, which serves as before; what was turned of it before is turned back."""
        ...

    def swap(self, piece: Piece) -> None:
        """Let piece and shadow change places."""
        ...

    def settle(self, piece: Piece, *, keep: bool) -> None:
        """End the comparison: go on with what is turned, or without; what does not go on is given up."""
        ...

    def turn_back(self, piece: Piece) -> None:
        """Turn a piece back; what it has learned meanwhile stays."""
        ...
