"""A task: one thing to predict about a user and an item. An ordered tuple of tasks is axis K, everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["binary", "regression", "ranking"]
Negative = Literal["window", "impression", "none"]
Loss = Literal["auto", "cross_entropy", "focal", "weighted", "squared", "huber", "listwise"]

LOSSES: dict[str, tuple[str, ...]] = {
    "binary": ("cross_entropy", "focal", "weighted"),
    "regression": ("squared", "huber", "cross_entropy"),
    "ranking": ("listwise",),
}
"""For each kind the losses that fit it, the default first."""

_BENT = ("focal", "weighted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to predict.

    Attributes:
        name: Unique among the tasks.
        kind: `binary` is a probability; `regression` an expected value in [0, 1]; `ranking` a probability too,
            but what is learned is which items of a list that was shown together are taken, so all its labels
            come when the window closes.
        value: What one positive is worth to the business; multiplies the task's weight and its part of a score.
        window_s: Attribution window, seconds: how long after an impression a positive still counts for it.
        negative: What says no. `window`: nobody said yes, whoever opened it. `impression`: the same, but only for
            what was really shown; an event that stands for an impression is no row of this task. `none`:
            nothing does, as is fit for a regression, which learns from values.
        wait_s: After how many seconds without a yes a no is taught, at most the window's; a yes that comes later
            corrects it. A ranking waits for the window.
        late_s: How long after its window a positive still corrects the negative that was taught, seconds.
        after: The task that comes before in a funnel, None where there is none.
        loss: What it learns by; `auto` is the default of its kind.
        weight: Factor of the weighting `fixed`: for learning only, where `value` is for the slate too.
    """

    name: str
    kind: Kind = "binary"
    value: float = 1.0
    window_s: float = 1_800.0
    negative: Negative = "window"
    wait_s: float = 60.0
    late_s: float = 0.0
    after: str | None = None
    loss: Loss = "auto"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.window_s <= 0.0 or min(self.value, self.weight, self.wait_s, self.late_s) < 0.0:
            raise ValueError(
                f"task {self.name!r}: value, weight, wait_s and late_s must be >= 0 and window_s > 0, got "
                f"{self.value:g}, {self.weight:g}, {self.wait_s:g}, {self.late_s:g} and {self.window_s:g}"
            )
        if self.kind != "regression" and self.negative == "none":
            raise ValueError(
                f"task {self.name!r}: a {self.kind} task learns from yes and no, and negative is 'none'; choose "
                "'window' or 'impression', or kind 'regression' to learn values alone"
            )
        if self.loss != "auto" and self.loss not in LOSSES[self.kind]:
            raise ValueError(
                f"task {self.name!r}: loss {self.loss!r} does not fit kind {self.kind!r}; "
                f"allowed: {', '.join(LOSSES[self.kind])}"
            )

    @property
    def learned_by(self) -> str:
        """The name of its loss."""
        return LOSSES[self.kind][0] if self.loss == "auto" else self.loss


def funnel(tasks: Sequence[Task]) -> tuple[int, ...]:
    """(K,) the number of the task before each, -1 where there is none.

    Raises:
        ValueError: A task comes after one that is not declared before it, or not binary.
    """
    numbers = {task.name: number for number, task in enumerate(tasks)}
    before = []
    for number, task in enumerate(tasks):
        if task.after is None:
            before.append(-1)
            continue
        former = numbers.get(task.after, number)
        if former >= number or tasks[former].kind != "binary" or task.kind != "binary":
            raise ValueError(
                f"task {task.name!r} comes after {task.after!r}: both must be binary, and {task.after!r} must be "
                f"declared before {task.name!r}"
            )
        before.append(former)
    return tuple(before)


def refuse_bent_products(tasks: Sequence[Task]) -> None:
    """A funnel by products needs probabilities: a loss that is not proper asks for others than there can be.

    Raises:
        ValueError: A task of a funnel has such a loss.
    """
    for task, before in zip(tasks, funnel(tasks), strict=True):
        for bent in (task, tasks[before]) if before >= 0 else ():
            if bent.learned_by in _BENT:
                raise ValueError(
                    f"task {task.name!r} comes after {task.after!r}, and their probabilities are multiplied; what "
                    f"{bent.name!r} learns by, {bent.learned_by!r}, gives none: set learner.chain to 'gate', or its "
                    f"loss to 'cross_entropy'"
                )
