"""What the experts of every kind of heads give. B rows, E experts, K tasks, W an expert's outputs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from learners.task_axes import Axis, TaskAxes


class Mixture(NamedTuple):
    """What the towers see, kept apart so that tasks' gradients can be balanced there.

    Attributes:
        mixed: (B, K, W) each task's mixture of the experts' outputs.
        gates: (B, K, E) how much of each expert a task takes; sums to one over E.
        shared: (B, K, S) the part of `gates` on which tasks meet; a task that shares nothing has a column of
            its own.
    """

    mixed: Tensor
    gates: Tensor
    shared: Tensor


def gates_of(logits: Tensor, tasks: int) -> Tensor:
    """(B, K E) logits to (B, K, E) gates.

    A softmax over the few experts where they lie last does one number at a time; over the first axis it does many,
    and takes a tenth of the time.
    """
    experts = logits.shape[1] // tasks
    by_expert = logits.view(-1, experts).T.contiguous()
    return by_expert.softmax(dim=0).T.reshape(-1, tasks, experts)


class Experts(Protocol):
    """A module that turns rows into a mixture for each task.

    Attributes:
        experts: E.
        width: W.
    """

    experts: int
    width: int

    def mix(self, rows: Tensor) -> Mixture:
        """(B, inputs) to each task's mixture."""
        ...

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """Where the tasks are in its parameters, given where they are in a row."""
        ...
