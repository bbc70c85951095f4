"""Named arrays as bytes and back, in the safetensors format, without a second copy of them.

Eight bytes of length, a header in JSON (name, type, shape, place), then the arrays' bytes as they lie in memory. The
format's own library reads what is written here; it is not used because it holds a file's bytes twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays

_TYPES = {
    np.dtype(code).str: name
    for code, name in (
        ("?", "BOOL"),
        ("u1", "U8"),
        ("i1", "I8"),
        ("<u2", "U16"),
        ("<i2", "I16"),
        ("<f2", "F16"),
        ("<u4", "U32"),
        ("<i4", "I32"),
        ("<f4", "F32"),
        ("<u8", "U64"),
        ("<i8", "I64"),
        ("<f8", "F64"),
    )
}
_DTYPES = {name: np.dtype(code) for code, name in _TYPES.items()}
_ALIGNMENT = 8


class _Place(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def encode(arrays: Mapping[str, NDArray[Any]]) -> list[Any]:
    """The file as chunks of bytes; arrays that lie in one piece are not copied."""
    # the widest first, so that each array lies at a multiple of what it is made of
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, end = {}, 0
    for name in names:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = _Place(_TYPES[array.dtype.str], list(array.shape), (start, end))
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    bodies = [np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data for name in names]
    return [len(text).to_bytes(8, "little") + text, *bodies]


def decode(data: NDArray[np.uint8]) -> Arrays:
    """The arrays of a file, as views of its bytes.

    Raises:
        ValueError: It is no such file.
    """
    length = int.from_bytes(data[:8].tobytes(), "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("no safetensors file: it is shorter than its header")
    try:
        header = msgspec.json.decode(data[8 : 8 + length].tobytes(), type=dict[str, Any])
        header.pop("__metadata__", None)
        places = msgspec.convert(header, dict[str, _Place])
    except (UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise ValueError(f"no safetensors file: {error}") from error
    body, arrays = data[8 + length :], {}
    for name, place in places.items():
        start, end = place.data_offsets
        dtype = _DTYPES.get(place.dtype)
        if dtype is None or not 0 <= start <= end <= len(body):
            raise ValueError(f"no safetensors file: {name} of type {place.dtype} at {start}")
        if min(place.shape, default=0) < 0 or math.prod(place.shape) * dtype.itemsize != end - start:
            raise ValueError(f"no safetensors file: {name} of shape {place.shape} in {end - start} bytes")
        arrays[name] = body[start:end].view(dtype).reshape(place.shape)
    return arrays
