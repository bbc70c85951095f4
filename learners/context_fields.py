"""Declared facts of an event, such as device and country, as small numbers: hashed, so that no vocabulary grows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays, pack_strings, unpack_strings

ContextArray: TypeAlias = NDArray[np.uint16]
"""Buckets, the last axis F."""

ABSENT_BUCKET = 0
"""Of a field that an event says nothing of."""

_CACHED = 8_192  # texts of at most about a thousand characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextFields:
    """Which facts count, and into how many buckets their values are hashed.

    A value's bucket follows from the field's name, the value's text and the number of buckets: it is the same in every
    process, and wherever the field stands among the others.

    Attributes:
        names: Axis F.
        buckets: Of all fields together, `ABSENT_BUCKET` included; at least 2, at most 65,536.
    """

    names: tuple[str, ...] = ()
    buckets: int = 1_024

    def __len__(self) -> int:
        return len(self.names)

    def bucket(self, name: str, text: str) -> int:
        """The bucket of a field's value as text; empty text says nothing."""
        return _bucket(name, text, self.buckets) if text else ABSENT_BUCKET

    def empty(self, *shape: int) -> ContextArray:
        """(*shape, F) of which nothing is said."""
        return np.zeros((*shape, len(self.names)), np.uint16)

    def state_dict(self) -> Arrays:
        """By which fields a context was made: what is saved beside one."""
        return {**pack_strings(self.names), "buckets": np.array(self.buckets)}

    def made(self, saved: Mapping[str, NDArray[Any]]) -> bool:
        """Whether these fields, in this order, made the context beside which `saved` was saved; {} is of no fields."""
        names = _names(saved)
        return names == list(self.names) and (not names or int(saved["buckets"]) == self.buckets)

    def taken_over(
        self, context: NDArray[Any] | None, saved: Mapping[str, NDArray[Any]], *shape: int
    ) -> ContextArray:
        """(*shape, F) a saved context as these fields have it.

        A field is found by its name. Of one that is new nothing is said, and of none where the number of buckets
        is another one: what was hashed cannot be hashed again.

        Args:
            context: (*shape, F of then); None where there were no fields.
            saved: The `state_dict` beside it.
            shape: All axes but F.
        """
        taken, names = self.empty(*shape), _names(saved)
        if context is not None and names and int(saved["buckets"]) == self.buckets:
            for n, name in enumerate(self.names):
                if name in names:
                    taken[..., n] = context[..., names.index(name)]
        return taken


NO_CONTEXT = ContextFields()
"""No facts count: F is 0."""


def _names(saved: Mapping[str, NDArray[Any]]) -> list[str]:
    return unpack_strings(saved) if saved else []


@lru_cache(maxsize=_CACHED)
def _bucket(name: str, text: str, buckets: int) -> int:
    salted = f"{name}\0{text}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(salted, digest_size=8).digest(), "big")
    return 1 + number % (buckets - 1)
