"""A learner's state as named arrays: what a checkpoint stores, without pickle."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

_ALIGNMENT = 64
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_AT_ONCE = getattr(mmap, "MAP_POPULATE", 0) if sys.version_info >= (3, 12) else 0
"""Memory that is there before it is written is quicker than page by page. Before Python 3.12 nobody else could work
meanwhile."""

Arrays: TypeAlias = dict[str, NDArray[Any]]
"""Names to arrays; a nested piece stands under its owner's prefix, `owner.name`."""


Name = TypeVar("Name")
Part = TypeVar("Part")


def nest(prefix: str, parts: Mapping[str, Part]) -> dict[str, Part]:
    """`parts`, arrays mostly, under `prefix`."""
    return {f"{prefix}.{name}": part for name, part in parts.items()}


def unnest(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """What stands under `prefix`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}


def set_aside(arrays: Mapping[Name, NDArray[Any]]) -> dict[Name, NDArray[Any]]:
    """Copies in a block of memory that is theirs alone, and that the system gets back when the last of them is gone.

    Between blocks that come and go with each step, copies that stay would leave holes that nothing fits into.
    """
    room = [array.nbytes + -array.nbytes % _ALIGNMENT for array in arrays.values()]
    block = np.frombuffer(mmap.mmap(-1, max(sum(room), 1), flags=_PRIVATE | _AT_ONCE), np.uint8)
    copies, begin = dict[Name, NDArray[Any]](), 0
    for (name, array), taken in zip(arrays.items(), room, strict=True):
        copies[name] = block[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        copies[name][...] = array
        begin += taken
    return copies


def pack_strings(strings: Sequence[str]) -> Arrays:
    """Strings as two arrays: their UTF-8 bytes, one after the other, and each one's length in bytes."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in strings]
    return {
        "bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(),
        "lengths": np.fromiter((len(text) for text in encoded), dtype=np.int64, count=len(encoded)),
    }


def unpack_strings(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """The inverse of `pack_strings`."""
    data = arrays["bytes"].tobytes()
    ends = np.cumsum(arrays["lengths"]).tolist()
    starts = [0, *ends][:-1]
    return [data[start:end].decode("utf-8", "surrogatepass") for start, end in zip(starts, ends, strict=True)]


def room_for(rows: int) -> int:
    """Rows of a table that holds so many: a power of two, whatever it grew from, so that its size can be foretold."""
    return 1 << max(rows - 1, 15).bit_length()


def grown(array: NDArray[Any], rows: int, fill: float = 0) -> NDArray[Any]:
    """`array` with at least `rows` rows: doubled, so that growing by one row costs O(1) on average.

    Where the new rows are zeros, they take no memory until they are written.
    """
    have = array.shape[0]
    if rows <= have:
        return array
    shape = (room_for(rows), *array.shape[1:])
    bigger = np.full(shape, fill, array.dtype) if fill else np.zeros(shape, array.dtype)
    bigger[:have] = array
    return bigger
