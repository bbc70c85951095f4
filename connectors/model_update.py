"""What a worker tells the others of what it learned, as it stands on the model topic: in parts, as it may be large."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

SCHEMA_VERSION = 1

LARGEST_PART = 768 * 1024
"""Bytes of a record, about: topics take records of up to 1 MiB unless they are told otherwise."""

_PATIENCE = 2_000  # records after which a writer that died in the middle of an update is given up


class ModelUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an update (MessagePack).

    Attributes:
        writer: Who tells: a name drawn when the process started.
        sequence: Its number among this writer's updates, from 1 on.
        part: Number of this part, from 0 on.
        parts: How many there are.
        model: Fingerprint of the model's shape; only equal ones can be merged.
        topic_id: Of the events topic; offsets mean nothing for another one.
        share: How much of the stream the writer learns from, 0 to 1.
        learned: For each partition that it learned from, the offset behind the last event that is in here.
        body: Arrays in the safetensors format; the parts' bodies one after the other.
        schema_version: Of this layout.
    """

    writer: str
    sequence: int
    part: int
    parts: int
    model: str
    topic_id: str
    share: float
    learned: dict[int, int]
    body: bytes
    schema_version: int = SCHEMA_VERSION


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelUpdate).decode


def encode_update(update: ModelUpdate, chunks: Iterable[bytes | memoryview]) -> list[bytes]:
    """The records of an update.

    Args:
        update: All of it but parts and body.
        chunks: Its body.
    """
    body = b"".join(chunks)
    bodies = [body[begin : begin + LARGEST_PART] for begin in range(0, len(body), LARGEST_PART)] or [b""]
    return [
        _encode(msgspec.structs.replace(update, part=part, parts=len(bodies), body=some))
        for part, some in enumerate(bodies)
    ]


@dataclass(slots=True)
class _Incomplete:
    since: int
    sequence: int
    bodies: list[bytes]


class UpdateReader:
    """Puts updates together again from the records of the topic, in offset order."""

    def __init__(self) -> None:
        self._incomplete: dict[str, _Incomplete] = {}
        self._next = 0

    @property
    def position(self) -> int:
        """The offset to read from again, so that nothing is missing of what is not whole yet."""
        return min((one.since for one in self._incomplete.values()), default=self._next)

    def seek(self, position: int) -> None:
        """Read on from an offset."""
        self._incomplete.clear()
        self._next = position

    def saved(self) -> bytes:
        """Updates that are not whole yet, and where to read on; empty where all are.

        Who reads the topic again begins at `position`; who makes again what it did since a checkpoint has these.
        """
        return msgspec.msgpack.encode((self._next, self._incomplete)) if self._incomplete else b""

    def load(self, saved: bytes) -> None:
        """The inverse of `saved`, after `seek`."""
        if saved:
            kind = tuple[int, dict[str, _Incomplete]]
            self._next, self._incomplete = msgspec.msgpack.decode(saved, type=kind)

    def read(self, value: bytes | None, offset: int) -> ModelUpdate | None:
        """The whole update, where this record is its last part.

        An update that lacks a part and never gets it, because its writer died, is given up after a while.

        Raises:
            ValueError: It is no update, or of a later layout.
        """
        self._next = offset + 1
        for writer in [w for w, one in self._incomplete.items() if one.since < offset - _PATIENCE]:
            del self._incomplete[writer]
        try:
            update = _decode(value or b"")
        except msgspec.MsgspecError as error:
            raise ValueError(f"no model update: {error}") from error
        if update.schema_version > SCHEMA_VERSION:
            raise ValueError(f"a model update of layout {update.schema_version}, known is {SCHEMA_VERSION}")
        if update.part == 0:
            self._incomplete[update.writer] = _Incomplete(offset, update.sequence, [])
        begun = self._incomplete.get(update.writer)
        if begun is None or (update.sequence, update.part) != (begun.sequence, len(begun.bodies)):
            return None  # its beginning is not kept any more
        begun.bodies.append(update.body)
        if len(begun.bodies) < update.parts:
            return None
        del self._incomplete[update.writer]
        return msgspec.structs.replace(update, body=b"".join(begun.bodies))
