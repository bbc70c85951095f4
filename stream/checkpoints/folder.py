"""One checkpoint's folder: written whole or not at all, read with every byte checked."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from learners.state_arrays import Arrays
from learners.state_deltas import Link, merged_part, nothing
from stream.checkpoints import arrays_file
from stream.checkpoints import manifest as manifests
from stream.checkpoints.manifest import CheckpointError, FileRecord, Manifest
from stream.checkpoints.place import Place

_SUFFIX = ".safetensors"
_DIGITS = 12
_PORTION = "@"
_OWN_FILE = 1 << 20  # bytes from which a part has a file of its own


class Entry(NamedTuple):
    """A checkpoint's number and what of it: `full`, `delta`, or `""` for a folder of the former format."""

    number: int
    kind: str

    @classmethod
    def of(cls, folder: str) -> Entry | None:
        """By a folder's name; None for what is none of ours."""
        number, _, kind = folder.partition(".")
        ours = len(number) == _DIGITS and number.isascii() and number.isdecimal()
        return cls(int(number), kind) if ours and kind in ("", "full", "delta") else None

    @property
    def folder(self) -> str:
        """Its name."""
        return f"{self.number:0{_DIGITS}d}" + (f".{self.kind}" if self.kind else "")

    @property
    def is_base(self) -> bool:
        """Whether it stands alone."""
        return self.kind != "delta"


def write_folder(
    place: Place, manifest: Manifest, pieces: Iterable[tuple[str, Iterable[Arrays]]]
) -> Manifest:
    """Write a checkpoint; when this returns it survives a crash of process or machine.

    Args:
        place: Where.
        manifest: What it is; its files are what comes of this.
        pieces: Names, and the piece's parts one after the other: each is written, or kept if it is small, before
            the next is asked for.

    Returns:
        The manifest as it was written.

    Raises:
        OSError: It cannot be written; nothing is left of it, if that can be helped.
    """
    folder = Entry(manifest.number, manifest.kind).folder
    files: dict[str, FileRecord] = {}

    def write(name: str, arrays: Arrays) -> None:
        chunks = arrays_file.encode(arrays)
        size, crc = 0, 0
        for chunk in chunks:
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        place.write(folder, name, chunks)
        files[name] = FileRecord(size, crc, sorted(arrays))

    try:
        place.make(folder)
        for piece, parts in pieces:
            together: Arrays = {}
            for arrays in parts:
                if sum(array.nbytes for array in arrays.values()) < _OWN_FILE:
                    together |= arrays
                else:
                    write(f"{piece}.{min(arrays).partition(':')[0]}{_SUFFIX}", arrays)
            write(f"{piece}{_SUFFIX}", together)
        place.settle(folder)
        manifest = msgspec.structs.replace(manifest, files=files)
        place.write(folder, manifests.NAME, [manifests.encode(manifest)])
        place.settle(folder)
    except BaseException:
        place.remove(folder)
        raise
    return manifest


def changed_parts(portions: Sequence[Arrays]) -> Iterator[Arrays]:
    """A piece's changes, a part at a time; names of portions before the last get its number, `NAME:rows@0`."""
    parts: dict[str, Arrays] = {}
    for number, portion in enumerate(portions):
        suffix = f"{_PORTION}{number}" if number < len(portions) - 1 else ""
        for name, array in portion.items():
            parts.setdefault(name.partition(":")[0], {})[name + suffix] = array
    yield from parts.values()


def whole_parts(portions: Sequence[Arrays]) -> Iterator[Arrays]:
    """A piece, a part at a time, of which the portions hold everything."""
    links = [nothing(), *(Link(portion.keys(), partial(_some, portion)) for portion in portions)]
    for part in links[-1].parts():
        yield merged_part(part, links)


def _some(arrays: Arrays, names: Sequence[str]) -> Arrays:
    return {name: arrays[name] for name in names}


class FolderReader:
    """Reads one folder once through; what is small is read together and kept.

    Args:
        place: Where.
        entry: Which.

    Raises:
        FileNotFoundError: It has no manifest: it was never finished.
        CheckpointError: Its manifest cannot be read, or is not this entry's.
    """

    def __init__(self, place: Place, entry: Entry) -> None:
        self.entry = entry
        self._place = place
        self._small: dict[str, Arrays] = {}
        try:
            data = place.read(entry.folder, manifests.NAME).tobytes()
            self.manifest = manifests.decode(data)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            raise self._error(manifests.NAME, error) from error
        if entry.kind and (self.manifest.number, self.manifest.kind) != tuple(entry):
            raise self._error(manifests.NAME, f"it is of {self.manifest.kind} {self.manifest.number}")

    def check_sizes(self) -> None:
        """Whether all files are there, by their sizes.

        Raises:
            CheckpointError: One is not, or has another size.
        """
        try:
            sizes = self._place.sizes(self.entry.folder)
        except OSError as error:
            raise self._error("", error) from error
        for name, record in self.manifest.files.items():
            if sizes.get(name) != record.bytes:
                raise self._error(name, f"{sizes.get(name, 'no')} bytes, {record.bytes} were written")

    def pieces(self) -> list[str]:
        """Names of the pieces."""
        return list(dict.fromkeys(name.partition(".")[0] for name in self.manifest.files))

    def whole_piece(self, piece: str) -> Arrays:
        """All arrays of a piece, as they were written.

        Raises:
            CheckpointError: A file is damaged.
        """
        return {name: array for file in self._files(piece) for name, array in self._read(file).items()}

    def links(self, piece: str) -> list[Link]:
        """A piece's portions, to be put together with others; reading them raises like `whole_piece`."""
        files = {name: file for file in self._files(piece) for name in self.manifest.files[file].arrays}
        portions: dict[str, dict[str, str]] = {}
        for stored in files:
            name, at, number = stored.rpartition(_PORTION) if ":" in stored else (stored, "", "")
            portions.setdefault(number if at else "", {})[name if at else stored] = stored

        def load(stored: Mapping[str, str], names: Sequence[str]) -> Arrays:
            found: Arrays = {}
            for file in dict.fromkeys(files[stored[name]] for name in names):
                arrays = self._read_together(file) if file == f"{piece}{_SUFFIX}" else self._read(file)
                found |= {name: arrays[stored[name]] for name in names if stored[name] in arrays}
            return found

        ordered = sorted(portions, key=lambda number: int(number) if number else len(portions))
        return [Link(portions[number].keys(), partial(load, portions[number])) for number in ordered]

    def _files(self, piece: str) -> list[str]:
        return [name for name in self.manifest.files if name.partition(".")[0] == piece]

    def _read_together(self, file: str) -> Arrays:
        if file not in self._small:
            self._small[file] = self._read(file)
        return self._small[file]

    def _read(self, file: str) -> Arrays:
        record = self.manifest.files[file]
        try:
            data = self._place.read(self.entry.folder, file)
            if len(data) != record.bytes:
                raise ValueError(f"{len(data)} bytes, {record.bytes} were written")
            if zlib.crc32(data.data) != record.crc32:
                raise ValueError("the checksum does not fit")
            return arrays_file.decode(data)
        except (OSError, ValueError) as error:
            raise self._error(file, error) from error

    def _error(self, file: str, problem: object) -> CheckpointError:
        path = "/".join(filter(None, (self._place.url, self.entry.folder, file)))
        return CheckpointError(f"{path}: {problem}", self.entry.folder)
