"""Numbers by name, as many objects have them that are written at once: a mapping in a quarter of a dict's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import msgspec


class _NamedNumbers(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A mapping to whoever reads it, and an object in JSON."""

    def __getitem__(self, name: str) -> float:
        if name not in self.__struct_encode_fields__:
            raise KeyError(name)
        place = self.__struct_encode_fields__.index(name)
        return cast(float, getattr(self, self.__struct_fields__[place]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_encode_fields__)

    def __len__(self) -> int:
        return len(self.__struct_fields__)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # its class is made at run time, so it is told by the names
        return _made_again, (self.__struct_encode_fields__, msgspec.structs.astuple(self))

    __contains__, __eq__, get = Mapping.__contains__, Mapping.__eq__, Mapping.get
    keys, values, items = Mapping.keys, Mapping.values, Mapping.items


Mapping.register(_NamedNumbers)


@lru_cache(maxsize=256)
def numbers_named(names: tuple[str, ...]) -> Callable[..., Mapping[str, float]]:
    """What makes such a mapping of numbers in the order of `names`, which are words."""
    fields = [f"number_{place}" for place in range(len(names))]
    made: Any = msgspec.defstruct(
        "NamedNumbers",
        [(field, float) for field in fields],
        bases=(_NamedNumbers,),
        rename=dict(zip(fields, names, strict=True)),
        frozen=True,
        gc=False,
        eq=False,
    )
    return cast(Callable[..., Mapping[str, float]], made)


def _made_again(names: tuple[str, ...], numbers: tuple[float, ...]) -> Mapping[str, float]:
    return numbers_named(names)(*numbers)
