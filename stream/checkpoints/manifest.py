"""What a checkpoint's folder holds: its last file, so the sign that it is finished. It has a checksum of its own."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from stream.checkpoints.upgrade import totals_from_format_1

FORMAT = 2
OLDEST_FORMAT = 1
"""What is still read."""

FIRST_FORMAT = 1
"""Whole copies without names of arrays in a manifest without checksum; see `upgrade`."""

NAME = "manifest.json"

Kind = Literal["full", "delta"]


class CheckpointError(Exception):
    """A checkpoint that is damaged, or of a format that is not known.

    Args:
        message: Which file, and why.
        folder: The folder that is damaged.
    """

    def __init__(self, message: str, folder: str = "") -> None:
        super().__init__(message)
        self.folder = folder


class FileRecord(msgspec.Struct, frozen=True):
    """One file: its size in bytes, its CRC-32, and the arrays in it."""

    bytes: int
    crc32: int
    arrays: list[str] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds.

    Attributes:
        format: Version of this layout.
        number: Grows by one with each checkpoint.
        kind: `full`, or `delta`: what changed since the parent.
        parent: The number that a delta changes.
        created_at_ms: When it was taken.
        topic: The topic whose offsets these are.
        topic_id: Its id at the broker; a topic that was made anew has another, and other offsets.
        applied: Last applied offset of each partition.
        totals: Counters as of then.
        summary: Sizes for people (users, items, model step).
        files: The files by name.
    """

    format: int
    number: int
    kind: Kind = "full"
    parent: int | None = None
    created_at_ms: int
    topic: str
    applied: dict[int, int]
    totals: dict[str, int]
    summary: dict[str, int]
    files: dict[str, FileRecord]
    topic_id: str = ""

    def is_of(self, topic_id: str) -> bool:
        """Whether the offsets are this topic's, not those of an earlier one of the same name; unknown ids fit."""
        return "" in (self.topic_id, topic_id) or self.topic_id == topic_id

    @property
    def bytes(self) -> int:
        """Of all files but the manifest itself."""
        return sum(record.bytes for record in self.files.values())


class _Sealed(msgspec.Struct, frozen=True):
    """What stands in the file: CRC-32 of the manifest's bytes, and these."""

    crc32: int
    manifest: msgspec.Raw


def encode(manifest: Manifest) -> bytes:
    """The file."""
    inner = msgspec.json.encode(manifest)
    return b'{"crc32":%d,"manifest":%b}\n' % (zlib.crc32(inner), inner)


def decode(data: bytes) -> Manifest:
    """The inverse of `encode`, for manifests of the former format too.

    Raises:
        ValueError: It is damaged, or of a format that is not known.
    """
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
    except msgspec.ValidationError:
        return _known(msgspec.json.decode(data, type=Manifest), newest=FIRST_FORMAT)
    inner = bytes(sealed.manifest)
    if zlib.crc32(inner) != sealed.crc32:
        raise ValueError("the checksum does not fit")
    return _known(msgspec.json.decode(inner, type=Manifest), newest=FORMAT)


def _known(manifest: Manifest, newest: int) -> Manifest:
    if not OLDEST_FORMAT <= manifest.format <= newest:
        raise ValueError(f"format {manifest.format}, this version reads {OLDEST_FORMAT} to {FORMAT}")
    if manifest.format == FIRST_FORMAT:
        return msgspec.structs.replace(manifest, totals=totals_from_format_1(manifest.totals))
    return manifest
