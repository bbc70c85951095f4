"""Named arrays as bytes: what the format's own library reads, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from numpy.typing import NDArray

from stream.checkpoints.arrays_file import decode, encode

TYPES = ("?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8")


def written(arrays: dict[str, NDArray[Any]]) -> bytes:
    return b"".join(encode(arrays))


def read(data: bytes) -> dict[str, NDArray[Any]]:
    return decode(np.frombuffer(bytearray(data), np.uint8))


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)),
        max_size=5,
    )
)
@law(60)
def test_arrays_come_back_and_the_formats_own_library_reads_them(
    shapes: dict[str, tuple[str, list[int]]],
) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: (rng.random(shape) * 100).astype(code) for name, (code, shape) in shapes.items()}
    data = written(arrays)
    for found in (read(data), safetensors.numpy.load(data)):
        assert found.keys() == arrays.keys()
        assert all(same(found[name], array) for name, array in arrays.items())


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4)),
        np.array(1.5),
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([np.nan, -np.inf, -0.0], np.float32),
    ],
    ids=["empty", "scalar", "transposed", "every third", "by columns", "no numbers"],
)
def test_arrays_of_any_layout_come_back(array: NDArray[Any]) -> None:
    found = read(written({"odd": np.ones(3, np.uint8), "array": array}))
    assert same(found["array"], array)
    assert found["array"].flags.aligned
    assert found["array"].flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 40,
        (40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (4).to_bytes(8, "little") + b'"\xff" ',
    ],
    ids=["nothing", "noise", "cut off", "no object", "no UTF-8"],
)
def test_what_is_no_such_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no safetensors file"):
        read(data)


@pytest.mark.parametrize(
    "place",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [3], "data_offsets": [-4, 8]},
        {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]},
        {"dtype": "F32", "shape": [-1, -3], "data_offsets": [0, 12]},
        {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]},
        {"dtype": "F32", "shape": "3", "data_offsets": [0, 12]},
    ],
    ids=["size", "before", "beyond", "negative", "type", "shape"],
)
def test_arrays_that_do_not_fit_are_refused(place: dict[str, Any]) -> None:
    header = json.dumps({"array": place}).encode()
    with pytest.raises(ValueError, match="no safetensors file"):
        read(len(header).to_bytes(8, "little") + header + b"\0" * 12)
