"""Where saved arrays hold something for each task, and the same arrays laid out for other tasks.

A piece of state says so once, in its `task_axes`: names of arrays, and for each of their axes that has to do with the
tasks what stands along it. So nothing else need know what a change of tasks does to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.row_index import ABSENT
from learners.state_arrays import Arrays
from learners.task_map import TaskMap


class Each(NamedTuple):
    """Some numbers of each task, one task after the other.

    Attributes:
        size: How many each has.
        fill: What a new task has there; None for what the piece begins with.
    """

    size: int = 1
    fill: float | None = None


class Rest(NamedTuple):
    """Numbers that are no task's."""

    size: int


class Bits(NamedTuple):
    """Not an axis: each number has a bit for every task, and this one for a new one."""

    fill: bool


Axis: TypeAlias = Sequence[Each | Rest]
"""What stands along an axis, in order."""

TaskAxes: TypeAlias = dict[str, Mapping[int, Axis] | Bits]
"""By an array's name the axes that have to do with tasks, by their numbers."""

BY_TASK: Axis = (Each(),)
"""One number a task."""

COUNTED: Axis = (Each(fill=0.0),)
"""The same, where a new task begins with nothing."""


def width(axis: Axis, tasks: int) -> int:
    """Length of an axis for K tasks."""
    return sum(part.size * tasks if isinstance(part, Each) else part.size for part in axis)


def filled(axis: Axis, fill: float | None) -> Axis:
    """The same axis, where a new task has something else."""
    return [part._replace(fill=fill) if isinstance(part, Each) else part for part in axis]


def carried_over(
    arrays: Mapping[str, NDArray[Any]],
    begun: Mapping[str, NDArray[Any]],
    axes: TaskAxes,
    tasks: TaskMap,
) -> Arrays:
    """Saved arrays as they would be if they had been saved with the configured tasks.

    What a task has stays with it, what a new one has is as the piece begins with it, and of a task that is gone nothing
    is left.

    Args:
        arrays: What was saved.
        begun: What a piece that has learned nothing saves.
        axes: Where the tasks are.
        tasks: Which tasks are which.

    Raises:
        ValueError: An array has another shape than its axes: it was saved with other settings.
    """
    found = dict(arrays)
    if not tasks.changed:
        return found
    for name, of in axes.items():
        if name in arrays and isinstance(of, Bits):
            found[name] = _bits(arrays[name], of, tasks)
        elif name in arrays and not isinstance(of, Bits):
            found[name] = _along(name, arrays[name], begun.get(name), of, tasks)
        elif name in begun:
            found[name] = begun[name]
    return found


def _bits(array: NDArray[Any], of: Bits, tasks: TaskMap) -> NDArray[Any]:
    carried = np.zeros_like(array)
    for number, source in enumerate(tasks.sources):
        bit = int(of.fill) if source == ABSENT else array >> source & 1
        carried |= bit << number
    return carried


def _along(
    name: str, array: NDArray[Any], begun: NDArray[Any] | None, axes: Mapping[int, Axis], tasks: TaskMap
) -> NDArray[Any]:
    begins: list[tuple[int, BoolArray]] = []
    carried = array
    for axis, parts in axes.items():
        if not array.shape[axis]:
            continue  # nobody has kept anything of the kind yet
        if array.shape[axis] != width(parts, tasks.saved):
            raise ValueError(
                f"saved with other settings of the heads: {name} is of shape {array.shape} for {tasks.saved} tasks"
            )
        places, fill, as_begun = _layout(parts, tasks)
        new = places == ABSENT
        carried = carried.take(np.maximum(places, 0), axis=axis)
        carried[_at(axis, new)] = fill[new].reshape(-1, *[1] * (carried.ndim - axis - 1))
        begins.append((axis, new & as_begun))
    if begun is not None:
        for axis, new in begins:
            if new.any():
                carried[_at(axis, new)] = begun[_at(axis, new)]
    return carried


def _layout(axis: Axis, tasks: TaskMap) -> tuple[IntArray, FloatArray, BoolArray]:
    """Where each number of the new axis stood, `ABSENT` where new; what it is then, and whether that is as begun."""
    sources = np.array(tasks.sources, np.int64)[:, None]
    places, fills, as_begun, first = [], [], [], 0
    for part in axis:
        own = np.arange(part.size)
        if isinstance(part, Rest):
            places.append(first + own)
            fills.append(np.zeros(part.size))
            as_begun.append(np.zeros(part.size, np.bool_))
            first += part.size
            continue
        places.append(np.where(sources == ABSENT, ABSENT, first + sources * part.size + own).ravel())
        fills.append(np.full(len(sources) * part.size, part.fill or 0.0))
        as_begun.append(np.full(len(sources) * part.size, part.fill is None))
        first += tasks.saved * part.size
    return np.concatenate(places), np.concatenate(fills).astype(np.float32), np.concatenate(as_begun)


def _at(axis: int, which: BoolArray) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, which)
