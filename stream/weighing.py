"""How much memory objects take, asked of the objects: arrays, containers and numbers, each counted once."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import numpy as np

_ALIGNED = 16  # what Python's allocator rounds up to
_OURS = ("learners", "stream", "connectors", "torch")
_LEAVES = (str, bytes, int, float, bool, type(None))


def weigh(owner: object) -> Counter[str]:
    """Bytes of everything that an object owns, by dotted names of the attributes that lead there.

    Looked into are objects of our own and of torch, and Python's containers; of others, such as loggers and types, only
    what they are themselves is counted. What several own counts where it is met first.
    """
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([("", owner)])
    while waiting:
        path, part = waiting.popleft()
        if isinstance(part, np.ndarray):
            while isinstance(part.base, np.ndarray):  # a view's memory is its owner's
                part = part.base
        if id(part) in seen or part is None or isinstance(part, type | bool):
            continue
        seen.add(id(part))
        found[path] += _own_bytes(part)
        waiting.extend(
            (f"{path}.{name}" if path and name else path or name, inner) for name, inner in _inner(part)
        )
    return found


def _own_bytes(part: Any) -> int:
    if hasattr(part, "nbytes") and hasattr(part, "shape"):  # an array or a tensor
        return int(part.nbytes)
    size = sys.getsizeof(part)
    return -(-size // _ALIGNED) * _ALIGNED


def _inner(part: Any) -> Iterator[tuple[str, Any]]:
    """What to look into, with the name of an attribute where it is one."""
    if isinstance(part, _LEAVES) or hasattr(part, "nbytes"):
        return
    if isinstance(part, dict):
        for key, value in part.items():
            yield "", key
            yield str(key) if isinstance(key, str) and not isinstance(value, _LEAVES) else "", value
    elif isinstance(part, tuple) and hasattr(part, "_fields"):  # a named tuple
        yield from zip(part._fields, part, strict=True)
    elif isinstance(part, list | tuple | set | frozenset | deque):
        for value in part:
            yield "", value
    elif type(part).__module__.partition(".")[0] in _OURS:
        for kind in type(part).__mro__:
            for name in getattr(kind, "__slots__", ()):
                if hasattr(part, name) and name not in ("__dict__", "__weakref__"):
                    yield name, getattr(part, name)
        yield from getattr(part, "__dict__", {}).items()
