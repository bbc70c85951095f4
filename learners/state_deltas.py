"""A state and what changed of it since, one change after the other, put together to the state that came of it.

A chain of links is one whole state (or nothing) and then changes. It is put together a part at a time, a part being
what a live state has one name for, so that no more than one part need be in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays, grown

Named = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Link:
    """Saved arrays: a whole state, or changes.

    Attributes:
        names: As `state_changes.whole` or `state_changes.changed` names them.
        load: Reads some of them; the arrays are the caller's.
    """

    names: Collection[str]
    load: Callable[[Sequence[str]], Named]

    def parts(self) -> list[str]:
        """The parts that it holds or holds changes of, in order."""
        return list(dict.fromkeys(name.partition(":")[0] for name in self.names))

    def changes(self, part: str) -> bool:
        """Whether it holds changes of a part."""
        return any(name.startswith(f"{part}:") for name in self.names)

    def read(self, part: str) -> Arrays:
        """A part's arrays, without its name; none where it is not there."""
        if part in self.names:
            return {"": self.load([part])[part]}
        mark = ":" if self.changes(part) else "."
        start = f"{part}{mark}"
        arrays = self.load([name for name in self.names if name.startswith(start)])
        return {name[len(start) :]: array for name, array in arrays.items()}


def nothing() -> Link:
    """Before anything was saved."""
    return Link((), lambda _: {})


def merged_part(part: str, links: Sequence[Link]) -> Arrays:
    """What a part of the newest link has come to: arrays by whole names.

    Args:
        part: One of the newest link's `parts`.
        links: A whole state or `nothing`, then changes, oldest first.
    """
    first = len(links) - 1
    while first > 0 and links[first].changes(part):
        first -= 1
    base = links[first].read(part) or None
    if first < len(links) - 1:
        merge = KINDS[_kind(part, links[-1].names)]
        base = merge(base, (link.read(part) for link in links[first + 1 :]))
    assert base is not None, "a part of the newest link is somewhere"
    return {f"{part}.{inner}" if inner else part: array for inner, array in base.items()}


def _kind(part: str, names: Collection[str]) -> str:
    return "keyed" if f"{part}:removed" in names else "texts" if f"{part}:lengths" in names else "rows"


def merge_rows(base: Named | None, changes: Iterable[Named]) -> Arrays:
    """A table: rows are replaced, the table is as long as the last change says, new rows hold what fills it.

    A change of another shape or type has all rows.
    """
    array = None if base is None else base[""]
    length = 0 if array is None else len(array)
    for change in changes:
        values, fill, longer = change["values"], change["fill"].item(), int(change["length"])
        if array is None or (array.shape[1:], array.dtype) != (values.shape[1:], values.dtype):
            array, length = np.full((longer, *values.shape[1:]), fill, values.dtype), longer
        array = grown(array, longer, fill)
        array[longer:length] = fill
        array[change["rows"]] = values
        length = longer
    assert array is not None, "a base or a change"
    return {"": array[:length]}


def merge_texts(base: Named | None, changes: Iterable[Named]) -> Arrays:
    """Texts of rows: all bytes one after the other, then those that are still pointed at."""
    nothing = np.zeros(0, np.uint8), np.zeros(0, np.int64)
    data, lengths = nothing if base is None else (base["bytes"], base["lengths"])
    pieces, end = [data], len(data)
    starts = np.cumsum(lengths) - lengths
    for change in changes:
        length, rows = int(change["length"]), change["rows"]
        starts, lengths = grown(starts[:length], length), grown(lengths[:length], length)
        lengths[rows] = change["lengths"]
        starts[rows] = end + np.cumsum(change["lengths"]) - change["lengths"]
        pieces.append(change["bytes"])
        end += len(change["bytes"])
        starts, lengths = starts[:length], lengths[:length]
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    where = np.repeat(starts - (ends - lengths), lengths) + np.arange(total)
    return {"bytes": np.concatenate(pieces)[where], "lengths": lengths.copy()}


def merge_keyed(base: Named | None, changes: Iterable[Named]) -> Arrays:
    """Columns by key: in each change keys are given up first, then set; the result is in the order of the keys."""
    links = [] if base is None else [base]
    links += changes
    columns = [name for name in links[-1] if name not in ("keys", "removed")]
    keys = np.concatenate([part for link in links for part in (_removed(link), link["keys"])])
    # Where each key's columns stand among all links', negative where the key is given up.
    places, first = [], 0
    for link in links:
        count = len(link["keys"])
        places += [np.full(len(_removed(link)), -1), np.arange(first, first + count)]
        first += count
    last = len(keys) - 1 - np.unique(keys[::-1], return_index=True)[1]
    place = np.concatenate(places)[last]
    kept = place >= 0
    return {
        "keys": keys[last][kept],
        **{name: np.concatenate([link[name] for link in links])[place[kept]] for name in columns},
    }


KINDS = {"rows": merge_rows, "texts": merge_texts, "keyed": merge_keyed}


def _removed(link: Named) -> NDArray[Any]:
    return link.get("removed", np.zeros(0, np.int64))
