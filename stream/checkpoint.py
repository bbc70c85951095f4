"""Checkpoints on disk: everything at one moment, with the offsets that lead there. No pickle.

A checkpoint is a folder: one safetensors file a piece and `manifest.json`, which names the files with size and
checksum. It is written under another name, synced, and renamed, so a half-written one is never found.
"""

from __future__ import annotations

import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

FORMAT = 2
_MANIFEST = "manifest.json"
_CHUNK = 1 << 20

logger = logging.getLogger(__name__)

Pieces = dict[str, dict[str, NDArray[Any]]]


class FileRecord(msgspec.Struct, frozen=True):
    """Size in bytes and CRC-32 of one file."""

    bytes: int
    crc32: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds.

    Attributes:
        format: Version of this layout.
        number: Grows by one with each checkpoint.
        created_at_ms: When it was taken.
        topic: The topic whose offsets these are.
        topic_id: Its id at the broker; a topic that was made anew has another, and other offsets.
        applied: Last applied offset of each partition.
        totals: Counters as of then.
        summary: Sizes for people (users, items, model step).
        files: The pieces' files by name.
    """

    format: int
    number: int
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read: its manifest and its pieces."""

    manifest: Manifest
    pieces: Pieces


class CheckpointError(Exception):
    """A checkpoint that is damaged, or of a format that is not known."""


class CheckpointStore:
    """The checkpoints of one worker, newest last.

    Args:
        folder: Where they stand; made when the first one is written.
        keep: How many are kept.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder = folder
        self._keep = keep

    def write(
        self,
        pieces: Mapping[str, Mapping[str, NDArray[Any]]],
        *,
        topic: str,
        topic_id: str = "",
        applied: Mapping[int, int],
        totals: Mapping[str, int],
        summary: Mapping[str, int],
        now_ms: int,
    ) -> Manifest:
        """Write a checkpoint; when this returns it survives a crash of process or machine.

        Raises:
            OSError: The folder cannot be written; older checkpoints are untouched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        number = max(self.numbers(), default=0) + 1
        unfinished = self.folder / f".writing-{number}"
        unfinished.mkdir()
        files = {}
        for name, arrays in pieces.items():
            path = unfinished / f"{name}.safetensors"
            # safetensors writes the memory as it lies, so an array that is only a view has to be laid out first
            laid_out = {key: np.asarray(array, order="C") for key, array in arrays.items()}
            try:
                save_file(laid_out, path)
            except SafetensorError as error:  # its name for a full disk
                raise OSError(f"{path}: {error}") from error
            _sync(path)
            files[path.name] = FileRecord(path.stat().st_size, _crc32(path))
        manifest = Manifest(
            format=FORMAT,
            number=number,
            created_at_ms=now_ms,
            topic=topic,
            topic_id=topic_id,
            applied=dict(applied),
            totals=dict(totals),
            summary=dict(summary),
            files=files,
        )
        path = unfinished / _MANIFEST
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        _sync(path)
        _sync(unfinished)
        unfinished.rename(self._path(number))
        _sync(self.folder)
        for old in sorted(self.numbers())[: -self._keep]:
            shutil.rmtree(self._path(old), ignore_errors=True)
        return manifest

    def numbers(self) -> list[int]:
        """Numbers of the checkpoints there are, damaged ones too, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def latest(self, names: tuple[str, ...] | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole; damaged ones are named in the log and passed over.

        Args:
            names: Pieces to read; all when None.

        Returns:
            None where there is no checkpoint at all.

        Raises:
            CheckpointError: There are checkpoints, but none that can be read.
        """
        numbers = self.numbers()
        problems = []
        for number in reversed(numbers):
            try:
                return self.read(number, names)
            except CheckpointError as error:
                logger.error("checkpoint %d cannot be used: %s", number, error)
                problems.append(str(error))
        if problems:
            raise CheckpointError(
                f"None of the {len(problems)} checkpoints in {self.folder} can be read ({problems[0]}). Move the "
                f"folder away to learn anew from the oldest event that the topic still holds."
            )
        return None

    def manifest(self, number: int) -> Manifest:
        """The manifest of one checkpoint.

        Raises:
            CheckpointError: It cannot be read.
        """
        path = self._path(number) / _MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        if manifest.format != FORMAT:
            raise CheckpointError(f"{path}: format {manifest.format}, this version reads {FORMAT}")
        return manifest

    def latest_manifest(self) -> Manifest | None:
        """The manifest of the newest checkpoint that is whole, None where there is none."""
        checkpoint = self.latest(())
        return checkpoint.manifest if checkpoint is not None else None

    def read(self, number: int, names: tuple[str, ...] | None = None) -> Checkpoint:
        """One checkpoint, each file checked against its checksum.

        Raises:
            CheckpointError: It is damaged.
        """
        manifest = self.manifest(number)
        pieces: Pieces = {}
        for file, record in manifest.files.items():
            path = self._path(number) / file
            name = path.stem
            try:
                if path.stat().st_size != record.bytes:
                    raise CheckpointError(f"{path}: {path.stat().st_size} bytes, {record.bytes} were written")
                if names is not None and name not in names:
                    continue
                if _crc32(path) != record.crc32:
                    raise CheckpointError(f"{path}: the checksum does not fit")
                pieces[name] = load_file(path)
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{path}: {error}") from error
        return Checkpoint(manifest, pieces)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:012d}"

    def _sweep(self) -> None:
        """Remove what a crash left half-written."""
        for path in self.folder.glob(".writing-*"):
            shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
