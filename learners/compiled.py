"""Loops over events and candidates, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a loop over NumPy arrays at its first call; later processes find it on disk.

    The source stays plain Python: `function.py_func` runs it in the interpreter, which is what tests compare with.
    It holds no interpreter lock, so another thread may publish meanwhile.
    """
    return cast(Function, njit(cache=True, nogil=True, error_model="numpy")(function))
