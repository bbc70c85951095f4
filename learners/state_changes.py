"""What changed of a state since it was last saved: a mark beside each row, set where the row is written.

A piece describes its state once, in `live_state`: names to plain arrays, which are small copies and are saved whole
each time, or to something `Tracked`, of which only what changed is saved. `whole` copies all of it, a `Taken` what
changed; `state_deltas` puts the two together again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learners.compiled import compiled
from learners.event_batch import IntArray
from learners.state_arrays import Arrays, pack_strings, set_aside

CHANGED = 1
"""The mark of a row that was written since it was last taken."""

_TAKEN = 2  # copied and not written since, but nobody has said that the copy is safe
_IN_EACH_OF_EIGHT = 0x0101010101010101
_GROWTH = 1.02

Marks: TypeAlias = NDArray[np.uint8]
"""One for each row of a table, zero where the row is as it was saved; it grows with the table."""


class Tracked(Protocol):
    """Large state that knows what changed of it."""

    @property
    def marks(self) -> Marks:
        """Of its rows; tables that are written together share them."""
        ...

    @property
    def row_bytes(self) -> float:
        """What a copy of a row takes, about."""
        ...

    def whole(self) -> Arrays:
        """All of it, copied; `""` for the name itself, else what stands behind name and dot."""
        ...

    def changed(self, taken: Taken) -> Arrays:
        """The rows that were chosen, copied, by the names that `state_deltas` reads."""
        ...

    def load_marks(self, saved: NDArray[Any] | None) -> None:
        """After a state was loaded: mark what was not taken over row by row from the array of this name."""
        ...


LiveState: TypeAlias = dict[str, NDArray[Any] | Tracked]
"""A piece's state by name: plain arrays are copies already, what is tracked is looked at and copied in time."""


class Taken:
    """What changed, copied in one portion or in several with steps between them; and whether it is safe.

    A row that is written after it was copied is copied again, in a later portion, so all of it together is the state at
    the moment of the last one. First everything is copied once, then what was written meanwhile, as a virtual machine's
    memory is moved while it runs (Clark et al., NSDI 2005). Once there were as many portions as what had changed at
    first called for, they grow, until they overtake whatever the steps do. Until `saved` is called, whatever was taken
    is taken again by the next: an attempt that fails loses nothing.
    """

    def __init__(self) -> None:
        self._looked_at: dict[int, tuple[Marks, int]] = {}
        self._portions, self._first_bytes = 0, 0.0
        self._chosen: dict[int, IntArray] = {}
        self._taken: list[tuple[Marks, IntArray]] = []
        self._given_up: dict[int, tuple[list[IntArray], int]] = {}

    def choose(self, states: Iterable[LiveState], most_bytes: float = math.inf) -> bool:
        """Choose rows for the next portion.

        Args:
            states: Of which to take; the same each time.
            most_bytes: Of the copy, about, before portions grow.

        Returns:
            Whether it is the last portion: nothing that changed is left out.
        """
        groups: dict[int, tuple[Marks, float]] = {}
        for state in states:
            for part in state.values():
                if not isinstance(part, np.ndarray):
                    size = groups.get(id(part.marks), (part.marks, 0.0))[1]
                    groups[id(part.marks)] = part.marks, size + part.row_bytes
        if not self._portions:
            self._first_bytes = sum(np.count_nonzero(marks) * size for marks, size in groups.values())
        left_bytes = most_bytes * _GROWTH ** max(self._portions - self._first_bytes / most_bytes, 0.0)
        self._portions += 1
        chosen: dict[int, list[IntArray]] = {key: [] for key in groups}

        def take(key: int, wanted: int, begin: int) -> int:
            nonlocal left_bytes
            marks, row_bytes = groups[key]
            rows, end = marked_rows(marks, wanted, begin, left_bytes / row_bytes)
            left_bytes -= len(rows) * row_bytes
            marks[rows] = _TAKEN
            chosen[key].append(rows)
            return end

        last = True
        for key, (marks, _) in groups.items():
            _, begin = self._looked_at.get(key, (marks, 0))
            # At first also what an earlier attempt took: nobody has said that it is safe.
            end = take(key, CHANGED | _TAKEN, begin)
            self._looked_at[key] = marks, end  # with the marks, so that no other array gets their id
            last &= end == len(marks)
        if last:
            for key, (marks, _) in groups.items():
                last &= take(key, CHANGED, 0) == len(marks)
        self._chosen = set_aside({key: np.concatenate(rows) for key, rows in chosen.items()})
        self._taken += [(groups[key][0], rows) for key, rows in self._chosen.items()]
        return last

    def rows(self, marks: Marks) -> IntArray:
        """The rows that were chosen."""
        return self._chosen[id(marks)]

    def given_up(self, keys: list[IntArray]) -> list[IntArray]:
        """What stands in a list of keys since the portion before."""
        count = self._given_up.get(id(keys), (keys, 0))[1]
        self._given_up[id(keys)] = keys, len(keys)
        return keys[count:]

    def saved(self) -> None:
        """It is safe: rows that were not written since are as they were saved.

        Marks that have grown or moved meanwhile stay, and their rows are taken once more.
        """
        for marks, rows in self._taken:
            marks[rows[marks[rows] == _TAKEN]] = 0
        for keys, count in self._given_up.values():
            del keys[:count]
        self._taken, self._given_up = [], {}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of an array.

    Attributes:
        array: (N, ...), the live one.
        marks: (N or more,).
        fill: What rows hold that were never written.
    """

    array: NDArray[Any]
    marks: Marks
    fill: float = 0

    def whole(self) -> Arrays:
        """See `Tracked`."""
        return {"": self.array.copy()}

    @property
    def row_bytes(self) -> float:
        """See `Tracked`."""
        return 4.0 + self.array[:1].nbytes

    def changed(self, taken: Taken) -> Arrays:
        """See `Tracked`."""
        rows = taken.rows(self.marks)
        rows = rows[rows < len(self.array)]
        return changed_rows(rows, self.array.take(rows, axis=0), len(self.array), self.fill)

    def load_marks(self, saved: NDArray[Any] | None) -> None:
        """See `Tracked`: rows are where they were unless the table has another shape or type now."""
        if saved is None or (saved.shape, saved.dtype) != (self.array.shape, self.array.dtype):
            self.marks[:] = CHANGED


@dataclass(frozen=True, slots=True)
class Texts:
    """A text for each row, or none.

    Attributes:
        texts: The live list; an empty text is saved where there is none.
        marks: (N or more,).
    """

    texts: Sequence[str | None]
    marks: Marks

    def whole(self) -> Arrays:
        """See `Tracked`."""
        return pack_strings([text or "" for text in self.texts])

    @property
    def row_bytes(self) -> float:
        """See `Tracked`; texts also take the time of many bytes."""
        return 256.0

    def changed(self, taken: Taken) -> Arrays:
        """See `Tracked`."""
        rows = taken.rows(self.marks)
        rows = rows[rows < len(self.texts)]
        return {
            "rows": rows.astype(np.uint32),
            "length": np.array(len(self.texts)),
            **pack_strings([self.texts[row] or "" for row in rows.tolist()]),
        }

    def load_marks(self, saved: NDArray[Any] | None) -> None:
        """See `Tracked`: texts are always taken over."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """Columns of a hash table, by key: where a key stands is of no account.

    Attributes:
        keys: (Z,) the live ones, negative in empty slots.
        columns: (Z,) each, by name.
        marks: (Z,) which move with the keys.
        removed: Keys that were given up since the table was last saved; the live list.
    """

    keys: IntArray
    columns: Mapping[str, NDArray[Any]]
    marks: Marks
    removed: list[IntArray]

    def whole(self) -> Arrays:
        """See `Tracked`: in the order of the keys."""
        slots = np.flatnonzero(self.keys >= 0)
        slots = slots[np.argsort(self.keys[slots])]
        return {
            "keys": self.keys[slots],
            **{name: column[slots] for name, column in self.columns.items()},
        }

    @property
    def row_bytes(self) -> float:
        """See `Tracked`; slots lie apart, so each costs a line of the cache for each column."""
        return 64.0 * (1 + len(self.columns))

    def changed(self, taken: Taken) -> Arrays:
        """See `Tracked`."""
        slots = taken.rows(self.marks)
        slots = slots[self.keys[slots] >= 0]
        return {
            "removed": np.concatenate([np.zeros(0, np.int64), *taken.given_up(self.removed)]),
            "keys": self.keys[slots],
            **{name: column[slots] for name, column in self.columns.items()},
        }

    def load_marks(self, saved: NDArray[Any] | None) -> None:
        """See `Tracked`: a key's columns are always taken over."""


def marked_rows(marks: Marks, wanted: int, begin: int = 0, most: float = math.inf) -> tuple[IntArray, int]:
    """The first rows whose mark has one of the bits that are wanted, and the first row that was not looked at.

    Args:
        marks: (N,).
        wanted: Bits.
        begin: The first row that is looked at.
        most: How many are wanted. The end is N where there are no more.
    """
    rows = np.empty(int(min(max(most, 0), len(marks) - begin)), np.int64)
    found, end = _find(marks, wanted, begin, rows)
    return rows[:found], end


@compiled
def _next_marked(eights: NDArray[np.uint64], bits: np.uint64, begin: int) -> int:
    """The first from `begin` on that has one of the bits, or how many there are; eight are passed over at once."""
    at = begin
    while at + 8 <= len(eights):
        some = eights[at]
        for n in range(1, 8):
            some |= eights[at + n]
        if some & bits:
            break
        at += 8
    while at < len(eights) and not eights[at] & bits:
        at += 1
    return at


@compiled
def _find(marks: Marks, wanted: int, begin: int, rows: IntArray) -> tuple[int, int]:
    """Fill in rows; returns how many, and where the next one stands. Few are marked: eight are looked at at once."""
    eights = marks[: len(marks) // 8 * 8].view(np.uint64)
    any_of_eight = np.uint64(wanted * _IN_EACH_OF_EIGHT)
    found, row = 0, begin
    while row < len(marks):
        if row % 8 == 0:
            row = 8 * _next_marked(eights, any_of_eight, row // 8)
            if row == len(marks):
                break
        if marks[row] & wanted:
            if found == len(rows):
                break
            rows[found] = row
            found += 1
        row += 1
    return found, row


def changed_rows(rows: IntArray, values: NDArray[Any], length: int, fill: float = 0) -> Arrays:
    """What a table's change is saved as.

    Args:
        rows: (R,).
        values: (R, ...) a copy.
        length: N, rows of the whole table.
        fill: What rows hold that were never written.
    """
    return {
        "rows": rows.astype(np.uint32),
        "values": values,
        "length": np.array(length),
        "fill": np.array(fill, values.dtype),
    }


def whole(state: LiveState) -> Arrays:
    """Everything, copied."""
    arrays: Arrays = {}
    for name, part in state.items():
        if isinstance(part, np.ndarray):
            arrays[name] = part
        else:
            arrays |= {f"{name}.{inner}" if inner else name: array for inner, array in part.whole().items()}
    return arrays


def changed(state: LiveState, taken: Taken, *, last: bool = True) -> Arrays:
    """The rows that were chosen, under `name:...`; and with the last portion plain arrays, under their names."""
    arrays: Arrays = {}
    for name, part in state.items():
        if not isinstance(part, np.ndarray):
            arrays |= {f"{name}:{inner}": array for inner, array in part.changed(taken).items()}
        elif last:
            arrays[name] = part
    return arrays


def mark_all(state: LiveState) -> None:
    """Everything counts as changed."""
    for part in state.values():
        if not isinstance(part, np.ndarray):
            part.marks[:] = CHANGED


def load_marks(state: LiveState, arrays: Mapping[str, NDArray[Any]]) -> None:
    """After `arrays` (as of `whole`) were loaded: changes are from now on, but for what has another shape here."""
    for name, part in state.items():
        if not isinstance(part, np.ndarray):
            part.load_marks(arrays.get(name))
