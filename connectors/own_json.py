"""Reads back what this project wrote as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

Written = TypeVar("Written")


def reader_of(kind: type[Written]) -> Callable[[bytes], Written]:
    """From bytes to what they are; raises `ValueError`, and nothing else, where they are no `kind`."""
    decode = msgspec.json.Decoder(kind).decode

    def read(value: bytes) -> Written:
        try:
            return decode(value)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error

    return read
