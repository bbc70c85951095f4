"""The ways to a checkpoint: a full folder, then deltas. Which of them are sound is found out by reading."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from learners.state_arrays import Arrays
from learners.state_deltas import merged_part, nothing
from stream.checkpoints.folder import Entry, FolderReader
from stream.checkpoints.manifest import FIRST_FORMAT, CheckpointError, Manifest
from stream.checkpoints.place import Place
from stream.checkpoints.upgrade import from_format_1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        manifest: Its manifest.
        pieces: Its pieces, as `state_changes.whole` names their arrays.
        deltas: Numbers of the deltas that led to it, oldest first.
    """

    manifest: Manifest
    pieces: dict[str, Arrays]
    deltas: tuple[int, ...] = ()


class Chains:
    """What stands at a place, at one moment.

    Attributes:
        damaged: Folders that cannot be used, and why; ways through them are not tried any more.

    Raises:
        OSError: The place cannot be looked into.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._entries = {entry for folder in place.folders() if (entry := Entry.of(folder)) is not None}
        self.damaged: dict[str, CheckpointError] = {}

    def numbers(self) -> list[int]:
        """Numbers of all checkpoints, damaged and unfinished ones too, oldest first."""
        return sorted({entry.number for entry in self._entries})

    def finished(self) -> set[Entry]:
        """The folders that have a manifest, be it damaged."""
        for entry in list(self._entries):
            self._reader(entry)
        return set(self._entries)

    def read(self, number: int, names: tuple[str, ...] | None = None) -> Checkpoint | None:
        """One checkpoint, by the shortest way that is sound.

        Args:
            number: Which.
            names: Pieces to read; all when None. Of the others only the files' sizes are looked at.

        Returns:
            None where it was never finished.

        Raises:
            CheckpointError: It is damaged, or another that it stands on.
        """
        for chain in self.ways(number):
            try:
                for reader in chain:
                    reader.check_sizes()
                pieces = {
                    piece: _read_piece(piece, chain)
                    for piece in chain[-1].pieces()
                    if names is None or piece in names
                }
            except CheckpointError as error:
                self.note(error)
                continue
            deltas = tuple(reader.entry.number for reader in chain if not reader.entry.is_base)
            return Checkpoint(chain[-1].manifest, pieces, deltas)
        if all(entry.number != number for entry in self._entries):
            return None
        raise self._why_not(number)

    def ways(self, number: int) -> Iterator[list[FolderReader]]:
        """The ways to a checkpoint, shortest first, none through a folder that is known to be damaged."""
        deltas: list[FolderReader] = []
        at: int | None = number
        while at is not None:
            for kind in ("full", ""):
                base = self._reader(Entry(at, kind))
                if base is not None and not any(delta.entry.folder in self.damaged for delta in deltas):
                    yield [base, *reversed(deltas)]
            delta = self._reader(Entry(at, "delta"))
            if delta is None:
                return
            deltas.append(delta)
            at = delta.manifest.parent

    def note(self, error: CheckpointError) -> None:
        """A folder turned out to be damaged."""
        self.damaged[error.folder] = error

    def _reader(self, entry: Entry) -> FolderReader | None:
        if entry not in self._entries or entry.folder in self.damaged:
            return None
        try:
            return FolderReader(self._place, entry)
        except FileNotFoundError:
            logger.warning("checkpoint %d was never finished (%s)", entry.number, entry.folder)
            self._entries.discard(entry)
        except CheckpointError as error:
            self.note(error)
        return None

    def _why_not(self, number: int) -> CheckpointError:
        """What is wrong on the way that goes back furthest."""
        at: int | None = number
        error = None
        while at is not None:
            for kind in ("full", "", "delta"):
                error = self.damaged.get(Entry(at, kind).folder, error)
            delta = self._reader(Entry(at, "delta"))
            at = delta.manifest.parent if delta is not None else None
        return error or CheckpointError(f"{self._place.url}: what checkpoint {number} changes is not there")


def merged(piece: str, chain: Sequence[FolderReader]) -> Iterator[Arrays]:
    """A piece of a chain's newest checkpoint, a part at a time.

    Raises:
        CheckpointError: A file is damaged.
    """
    # a piece may be younger than the base, which then holds nothing of it
    links = [nothing(), *(link for reader in chain for link in reader.links(piece))]
    for part in links[-1].parts():
        yield merged_part(part, links)


def _read_piece(piece: str, chain: Sequence[FolderReader]) -> Arrays:
    base = chain[0]
    if base.manifest.format == FIRST_FORMAT:
        return from_format_1(piece, base.whole_piece(piece))
    if len(chain) == 1:
        return base.whole_piece(piece)
    return {name: array for arrays in merged(piece, chain) for name, array in arrays.items()}
