"""What was applied, in numbers that can be counted again from the topic: see `freshet verify`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import IntArray
from learners.row_table import RowTable
from learners.state_arrays import Arrays
from learners.state_changes import LiveState, whole
from learners.task import Task
from learners.task_axes import COUNTED, TaskAxes, carried_over
from learners.task_map import TaskMap, named
from stream.attribution import LabelRows

LABELS = ("yes", "no", "late")
"""Columns of the label counts; `late` are positives that corrected a negative, and are not among `yes`."""

_REFUSED = 10_000  # places that are remembered


class Ledger:
    """Counts that nothing learns from.

    Labels are counted as they become known, those of tasks that nobody ever answered too, although nothing is taught
    of these. A regression's label is a `yes` where it is above 0.

    Args:
        tasks: Axis K.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tuple(tasks)
        self._items = RowTable(items=np.int64(0))
        self.labels: IntArray = np.zeros((len(tasks), len(LABELS)), np.int64)
        """(K, 3) labels of each task."""
        self.first: dict[int, int] = {}
        """The first offset that was ever applied of each partition."""
        self.inherited = False
        """Whether there are counts from a topic before this one, which cannot be counted again."""
        self.other_tasks = False
        """Whether tasks have begun or were given up on the way, so that labels cannot be counted again."""
        self.refused: dict[tuple[int, int], int] = {}
        """Partition and offset of records that the learner could not take, and when that was, UTC milliseconds."""

    @property
    def items(self) -> IntArray:
        """(at least I,) applied events of each item row, of whatever type."""
        return self._items["items"]

    def count(self, items: IntArray, labels: LabelRows) -> None:
        """Count (B,) the item rows of a step's events, and the labels that became known in it."""
        if len(items):
            self._items.ensure(int(items.max()) + 1)
            self._items.mark(items)
            np.add.at(self.items, items, 1)
        yes = labels.mask & (labels.labels > 0.0)
        late = yes & labels.late
        self.labels += np.stack([(yes & ~late).sum(0), (labels.mask & ~yes).sum(0), late.sum(0)], axis=1)

    def reached(self, partition: int, first: int) -> None:
        """Records of a partition were applied, beginning with offset `first`."""
        self.first.setdefault(partition, first)

    def refuse(self, partition: int, offset: int, now_ms: int) -> None:
        """The learner could not take this record; the latest ten thousand such places are remembered."""
        self.refused[partition, offset] = now_ms
        while len(self.refused) > _REFUSED:
            del self.refused[next(iter(self.refused))]

    def refused_since(self, since_ms: int) -> int:
        """How many records were refused since then."""
        return sum(at_ms >= since_ms for at_ms in self.refused.values())

    def begin_anew(self) -> None:
        """Offsets begin again: the topic is another one from now on."""
        self.first.clear()
        self.refused.clear()
        self.inherited = True

    def forget_items(self, rows: IntArray) -> None:
        """These rows will be other items'."""
        self._items.forget(rows)

    def live_state(self) -> LiveState:
        """All counts."""
        return {
            **self._items.live_state(),
            "labels": self.labels.copy(),
            "first": np.array(sorted(self.first.items()), np.int64).reshape(-1, 2),
            **named(self._tasks),
            "inherited": np.array([self.inherited]),
            "other_tasks": np.array([self.other_tasks]),
            "refused": np.array([(*at, ms) for at, ms in self.refused.items()], np.int64).reshape(-1, 3),
        }

    def state_dict(self) -> Arrays:
        """The same as arrays."""
        return whole(self.live_state())

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in it."""
        return {"labels": {0: COUNTED}}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; tasks that it does not know begin with nothing.

        Raises:
            ValueError: Saved with another number of tasks, of which it does not say which they are.
        """
        tasks = TaskMap.of(arrays, self._tasks)
        arrays = carried_over(arrays, {}, self.task_axes, tasks)
        if len(arrays["labels"]) != len(self.labels):
            raise ValueError(f"saved with {len(arrays['labels'])} tasks, configured are {len(self.labels)}")
        self._items.load_state_dict(arrays)
        self.labels = arrays["labels"].astype(np.int64)
        self.first = {int(partition): int(offset) for partition, offset in arrays["first"]}
        self.inherited = bool(arrays["inherited"][0])
        self.other_tasks = bool(arrays.get("other_tasks", [False])[0]) or bool(tasks.new or tasks.dropped)
        refused = arrays.get("refused", np.zeros((0, 3), np.int64))  # older checkpoints have none
        self.refused = {(partition, offset): at_ms for partition, offset, at_ms in refused.tolist()}
