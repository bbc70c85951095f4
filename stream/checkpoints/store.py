"""The checkpoints of one worker: what changed since the last, again and again, and now and then a whole one.

A checkpoint is a `full` folder, or a `delta` that changes its parent. After some deltas, all that has come of them is
merged to a full one of the same number: from the files, beside the stream. So more than one way leads to most
checkpoints, and a damaged folder makes only those unusable to which no other way leads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from learners.state_arrays import Arrays
from stream.checkpoints.chains import Chains, Checkpoint, merged
from stream.checkpoints.folder import Entry, changed_parts, whole_parts, write_folder
from stream.checkpoints.manifest import FORMAT, CheckpointError, Kind, Manifest
from stream.checkpoints.place import Place

logger = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints at one place, which no other worker writes to.

    `write` and `merge` may run at the same time, in two threads.

    Args:
        url: A folder, or an fsspec URL; made when the first one is written.
        keep: To how many one can go back, at least.
        longest_chain: After so many deltas a whole one is due; 0 makes every checkpoint a whole one.

    Raises:
        PlaceError: The URL cannot be used.
    """

    def __init__(self, url: str | Path, keep: int = 3, longest_chain: int = 20) -> None:
        self._place = Place(url)
        self._keep, self._longest = keep, longest_chain
        self._finished: set[Entry] | None = None  # known from the first write on
        self._damaged: set[str] = set()
        self._unusable: set[int] = set()
        self._parent: int | None = None
        self._deltas: list[int] = []  # since the newest base
        self._merge_at = longest_chain
        self._broken = False
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        """Where they stand."""
        return self._place.url

    @property
    def needs_whole(self) -> bool:
        """Whether the next one must hold everything: there is nothing to be a delta of, or it is damaged."""
        return self._parent is None or self._broken or not self._longest

    @property
    def merge_due(self) -> bool:
        """Whether so many deltas stand on the newest base that they should be merged."""
        return not self.needs_whole and len(self._deltas) >= self._merge_at

    @property
    def chain_length(self) -> int:
        """Deltas on the newest base."""
        return len(self._deltas)

    # --- writing

    def write(
        self,
        pieces: Mapping[str, Sequence[Arrays]],
        *,
        whole: bool = True,
        topic: str,
        topic_id: str = "",
        applied: Mapping[int, int],
        totals: Mapping[str, int],
        summary: Mapping[str, int],
        now_ms: int,
    ) -> Manifest:
        """Write a checkpoint; when this returns it survives a crash of process or machine.

        Args:
            pieces: Each piece's portions, of everything or of what changed since the last one that was written.
            whole: Which of the two.
            topic: See `Manifest`.
            topic_id: See there.
            applied: See there.
            totals: See there.
            summary: See there.
            now_ms: When it was taken.

        Raises:
            OSError: It cannot be written; older checkpoints are untouched, and nothing is left of this one.
        """
        self._sweep()
        number = max(Chains(self._place).numbers(), default=0) + 1
        kind: Kind = "full" if whole else "delta"
        manifest = Manifest(
            format=FORMAT,
            number=number,
            kind=kind,
            parent=None if whole else self._parent,
            created_at_ms=now_ms,
            topic=topic,
            topic_id=topic_id,
            applied=dict(applied),
            totals=dict(totals),
            summary=dict(summary),
            files={},
        )
        parts_of = whole_parts if whole else changed_parts
        parts = ((name, parts_of(portions)) for name, portions in pieces.items())
        manifest = write_folder(self._place, manifest, parts)
        with self._lock:
            self._sweep().add(Entry(number, kind))
            self._deltas = [] if whole else [*self._deltas, number]
            self._broken = self._broken and not whole
            self._parent = number
        self._prune()
        return manifest

    def merge(self) -> Manifest | None:
        """Make the newest checkpoint a whole one, from the files; the stream and `write` go on meanwhile.

        Memory is needed for the largest table and its changes, and for what is small.

        Returns:
            Its manifest; None where it was not made: because what it stands on is damaged, which the log says (the
            next checkpoint will hold everything), or because the store was closed.

        Raises:
            OSError: It cannot be read or written. It becomes due again some deltas later.
        """
        number = self._parent
        if number is None:
            return None
        self._merge_at = len(self._deltas) + max(1, self._longest // 4)  # if this fails
        chains = Chains(self._place)
        for chain in chains.ways(number):
            manifest = msgspec.structs.replace(chain[-1].manifest, kind="full", parent=None)
            parts = ((name, self._unless_closed(merged(name, chain))) for name in chain[-1].pieces())
            try:
                manifest = write_folder(self._place, manifest, parts)
            except CheckpointError as error:
                logger.error("checkpoint %d cannot be merged by one of its ways: %s", number, error)
                chains.note(error)
                self._damaged.add(error.folder)
                continue
            except _ClosedError:
                return None
            with self._lock:
                self._sweep().add(Entry(number, "full"))
                self._deltas = [delta for delta in self._deltas if delta > number]
            self._merge_at = self._longest
            return manifest
        logger.error("nothing leads to checkpoint %d any more; the next one will hold everything", number)
        self._broken = True
        return None

    def close(self) -> None:
        """A merge that is at work ends soon, without a result."""
        self._closed.set()

    def _unless_closed(self, parts: Iterator[Arrays]) -> Iterator[Arrays]:
        for arrays in parts:
            if self._closed.is_set():
                raise _ClosedError
            yield arrays

    # --- reading

    def numbers(self) -> list[int]:
        """Numbers of the checkpoints there are, damaged and unfinished ones too, oldest first."""
        return Chains(self._place).numbers()

    def latest(self, names: tuple[str, ...] | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole; damaged ones are named in the log and passed over.

        Args:
            names: Pieces to read; all when None.

        Returns:
            None where there is no checkpoint at all.

        Raises:
            CheckpointError: There are checkpoints, but none that can be read.
        """
        problems = []
        try:
            chains = Chains(self._place)
        except OSError as error:
            raise CheckpointError(f"The checkpoints at {self.url} cannot be read: {error}") from error
        for number in reversed(chains.numbers()):
            try:
                found = chains.read(number, names)
            except CheckpointError as error:
                logger.error("checkpoint %d cannot be used: %s", number, error)
                problems.append(error)
                self._unusable.add(number)
                continue
            if found is not None:
                for folder, why in chains.damaged.items():
                    logger.error("checkpoint folder %s is damaged: %s", folder, why)
                self._damaged |= chains.damaged.keys()
                return found
        if problems:
            raise CheckpointError(
                f"None of the {len(problems)} checkpoints in {self.url} can be read ({problems[0]}). Move the "
                f"folder away to learn anew from the oldest event that the topic still holds."
            )
        return None

    def latest_manifest(self) -> Manifest | None:
        """The manifest of the newest checkpoint whose files are there, None where there is none.

        Raises:
            CheckpointError: There are checkpoints, but none that can be read.
        """
        checkpoint = self.latest(())
        return checkpoint.manifest if checkpoint is not None else None

    def resume(self, checkpoint: Checkpoint) -> None:
        """The state is what this checkpoint says: the next one may be a delta of it."""
        if checkpoint.manifest.format == FORMAT:  # rows that were laid out otherwise cannot be changed
            self._parent, self._deltas = checkpoint.manifest.number, list(checkpoint.deltas)

    # --- what stands there

    def _sweep(self) -> set[Entry]:
        """The finished folders; when first asked for, what a crash left half-written is removed."""
        if self._finished is None:
            chains = Chains(self._place)
            self._finished = chains.finished()
            self._damaged |= chains.damaged.keys()
            finished = {entry.folder for entry in self._finished}
            for folder in self._place.folders():
                if Entry.of(folder) is not None and folder not in finished:
                    self._place.remove(folder)
        return self._finished

    def _prune(self) -> None:
        """Remove what is not needed to go back to the last ones, by the base before them or the one before that."""
        finished = self._sweep()
        with self._lock:
            sound = [entry for entry in finished if entry.folder not in self._damaged]
            oldest = sorted({entry.number for entry in sound} - self._unusable)[-self._keep :][:1]
            bases = sorted({entry.number for entry in sound if entry.is_base and [entry.number] <= oldest})
            if not bases:
                return
            first = bases[-2:][0]
            gone = {entry for entry in finished if entry.number < first or entry == (first, "delta")}
            finished -= gone
        for entry in gone:
            self._place.remove(entry.folder)


class _ClosedError(Exception):
    """The store was closed while a merge was at work."""
