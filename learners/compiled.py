"""Loops over events and candidates, compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_HERE = Path(__file__)


def sources_stamp(folder: Path) -> str:
    """A digest of all files under `folder` that compile something: it changes when any of them does."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        source = path.read_bytes()
        if b"learners.compiled import" in source:
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + source + b"\0")
    return digest.hexdigest()


_STAMP = sources_stamp(_HERE.parent)


def compiled(function: Function) -> Function:
    """Compile a loop over NumPy arrays at its first call; later processes find it on disk.

    The source stays plain Python: `function.py_func` runs it in the interpreter, which is what tests compare with.
    It holds no interpreter lock, so another thread may publish meanwhile.
    """
    dispatcher = njit(cache=True, nogil=True, error_model="numpy")(function)
    # What is compiled holds the functions that it calls, but Numba asks its own file alone whether it is stale.
    cache = getattr(dispatcher, "_cache", None)
    if cache is not None:
        cache._cache_file._source_stamp = _STAMP
    return cast(Function, dispatcher)
