"""Which of a saved state's tasks each configured one is: by name, as long as its head means the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from learners.row_index import ABSENT
from learners.state_arrays import Arrays, nest, pack_strings, unnest, unpack_strings
from learners.task import Task


@dataclass(frozen=True, slots=True)
class TaskMap:
    """From saved tasks to configured ones.

    Attributes:
        sources: (K,) the number that each configured task had, `ABSENT` where it is new.
        saved: How many tasks there were.
        new: Names of those that begin now, in their order.
        dropped: Names of those whose parts are given up, in theirs; one that means something else is in both.
    """

    sources: tuple[int, ...]
    saved: int
    new: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], tasks: Sequence[Task], chain: str = "") -> TaskMap:
        """From the tasks that saved arrays name, see `named`, to these; what is not named is as it is now.

        Args:
            arrays: What was saved.
            tasks: The configured ones.
            chain: As in `named`.
        """
        now = [task.name for task in tasks]
        means = dict(zip(now, _meanings(tasks, chain), strict=True))
        before = unpack_strings(unnest("tasks", arrays)) if "tasks.bytes" in arrays else now
        meant = [means.get(name, "") for name in before]
        if "meanings.bytes" in arrays:
            meant = unpack_strings(unnest("meanings", arrays))
        known = {name: n for n, name in enumerate(before) if means.get(name) == meant[n]}
        return cls(
            sources=tuple(known.get(name, ABSENT) for name in now),
            saved=len(before),
            new=tuple(name for name in now if name not in known),
            dropped=tuple(name for name in before if name not in known),
        )

    @property
    def changed(self) -> bool:
        """Whether anything is not where it was."""
        return self.sources != tuple(range(self.saved))

    def __str__(self) -> str:
        """What becomes of them, for people."""
        parts = [
            f"{what} {', '.join(names)}"
            for what, names in (("new:", self.new), ("dropped:", self.dropped))
            if names
        ]
        return "; ".join(parts) or "another order"


def named(tasks: Sequence[Task], chain: str = "") -> Arrays:
    """What saved arrays say of their tasks.

    Args:
        tasks: Axis K.
        chain: How a task with `after` uses the one before; "" where nothing is learned of that.
    """
    return {
        **nest("tasks", pack_strings([task.name for task in tasks])),
        **nest("meanings", pack_strings(_meanings(tasks, chain))),
    }


def _meanings(tasks: Sequence[Task], chain: str) -> list[str]:
    """What each task's head says: a conditional probability is another thing than a probability."""
    return [task.kind + (f" after {task.after} by {chain}" if task.after and chain else "") for task in tasks]
