"""What this worker and the others have told each other of what they learned by gradients.

Counts are a function of the log, which every worker reads whole. What is learned by gradients is not: each worker
learns from its own partitions, and tells what came of it as updates on a topic that all of them read. The topic is the
order in which things became known, and it says with each update up to which offsets of the events it has learned. So an
event that was learned and told is never learned again, whoever owns its partition then; what was learned and not told
when a worker dies is learned by whoever reads it next, from the worker's own last checkpoint.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.decode import RawRecord
from connectors.model_update import ModelUpdate, UpdateReader, encode_update
from learners.contribution import Contribution, RowChanges
from learners.learner import SharingLearner
from learners.row_index import ABSENT, RowIndex
from learners.state_arrays import Arrays, nest, pack_strings, unnest, unpack_strings
from stream.checkpoints import arrays_file

logger = logging.getLogger(__name__)

_REMEMBERED = 256  # writers
_OVERHEARD = 64  # updates; what a writer has lacks what others told in the seconds before it told
_COLUMNS = ("change", "accumulated", "weight", "accumulator")


@dataclass(frozen=True, slots=True)
class Told:
    """An update that is to be published.

    Attributes:
        update: What stands in each part of it.
        arrays: Its body.
    """

    update: ModelUpdate
    arrays: Arrays

    def records(self) -> list[bytes]:
        """As it is published; some milliseconds for each ten megabytes."""
        return encode_update(self.update, arrays_file.encode(self.arrays))


class _Overheard(NamedTuple):
    """An update that was merged by a worker that only takes over what others have."""

    writer: str
    sequence: int
    contribution: Contribution


@dataclass(slots=True)
class Merged:
    """What came of some records of the topic: how many updates were merged, and how many could not be."""

    updates: int = 0
    refused: int = 0


@dataclass(slots=True)
class SharedModel:
    """Belongs to the step's thread.

    Attributes:
        learner: What learns by gradients.
        items: Its rows' names.
        topic_id: Of the events topic.
        writer: Name of this process, and of no other.
        learned: For each partition, the offset behind the last event that is learned and told, by whomever.
    """

    learner: SharingLearner
    items: RowIndex
    topic_id: str
    writer: str
    learned: dict[int, int] = field(default_factory=dict)
    _untold: dict[int, int] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)
    _reader: UpdateReader = field(default_factory=UpdateReader)
    _share: float = 1.0
    _behind: bool = True
    _overheard: deque[_Overheard] = field(default_factory=lambda: deque(maxlen=_OVERHEARD))

    @property
    def position(self) -> int:
        """The offset of the topic from which to read on."""
        return self._reader.position

    def learns(self, partition: int, offset: int) -> bool:
        """Whether an event of this worker's is still to be learned; if so, it is from now on."""
        if offset < self.learned.get(partition, 0):
            return False
        self._untold[partition] = offset + 1
        return True

    def tell(self, share: float, *, beginning: bool = False) -> Told | None:
        """What was learned since the last time; None where nothing was.

        An event whose rows wait for a gradient step counts: they are this worker's to learn, whoever owns its partition
        by then.

        Args:
            share: How much of the stream it learns from now.
            beginning: Whether to add what a worker begins with that has learned nothing yet.
        """
        self._share = share or self._share  # of what was learned before the last partition was given up
        contribution = self.learner.contribute(self._share)
        if not contribution and not self._untold:
            return None
        self._catch_up()
        self._know(self.writer, self._known.get(self.writer, 0) + 1)
        self._learn_of(self._untold)
        update = ModelUpdate(
            writer=self.writer,
            sequence=self._known[self.writer],
            part=0,
            parts=1,
            model=self.learner.fingerprint,
            topic_id=self.topic_id,
            share=self._share,
            learned=dict(self._untold),
            body=b"",
        )
        self._untold.clear()
        arrays = _pack(contribution, self.items)
        arrays |= nest("heard", _pack_known(self._known))
        if beginning:
            arrays |= nest("beginning", self.learner.beginning())
        return Told(update, arrays)

    def merge(self, records: Sequence[RawRecord]) -> Merged:
        """Take in what stands on the topic; the records come in offset order and without gaps."""
        merged = Merged()
        for record in records:
            try:
                update = self._reader.read(record.value, record.offset)
                if update is not None and update.sequence > self._known.get(update.writer, 0):
                    self._merge(update)
                    merged.updates += 1
            except ValueError as error:
                logger.error(
                    "what another worker told is left out: %s",
                    error,
                    extra={"topic": record.topic, "partition": record.partition, "offset": record.offset},
                )
                merged.refused += 1
        return merged

    def _merge(self, update: ModelUpdate) -> None:
        if update.model != self.learner.fingerprint:
            raise ValueError("it is of a model with other settings")
        arrays = arrays_file.decode(np.frombuffer(update.body, np.uint8))
        contribution = _unpack(arrays, self.items, update.share)
        beginning = unnest("beginning", arrays)
        self._know(update.writer, update.sequence)
        if self._behind:
            self._overheard.append(_Overheard(update.writer, update.sequence, contribution))
            self._take_over(contribution, beginning, unnest("heard", arrays))
        else:
            self.learner.merge(contribution)
        if update.topic_id == self.topic_id:
            self._learn_of(update.learned)

    def _learn_of(self, offsets: Mapping[int, int]) -> None:
        """Everything below these offsets is part of the model, by whomever; another owner may have got further."""
        for partition, offset in offsets.items():
            self.learned[partition] = max(offset, self.learned.get(partition, 0))

    def _take_over(self, told: Contribution, beginning: Arrays, heard: Arrays) -> None:
        """Have what a writer has, its dense parameters where it told them, and what it had not heard yet."""
        dense = told.dense
        if beginning:
            self.learner.begin_from(beginning)
            dense = {}
        self.learner.merge(Contribution(told.share, dense, told.tables), over=True)
        known = _unpack_known(heard) if heard else self._known  # earlier versions did not say
        for writer, sequence, other in self._overheard:
            if sequence > known.get(writer, 0):
                tables = {
                    name: _of_rows(changes, told.tables[name])
                    for name, changes in other.tables.items()
                    if name in told.tables
                }
                self.learner.merge(Contribution(other.share, other.dense if beginning else {}, tables))

    def _catch_up(self) -> None:
        self._behind = False
        self._overheard.clear()

    def _know(self, writer: str, sequence: int) -> None:
        self._known.pop(writer, None)
        self._known[writer] = sequence
        if len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def fall_behind(self) -> None:
        """Changes are missing; until this worker tells something itself, it takes over what the others have."""
        self._behind = True

    def begin_anew(self) -> None:
        """The events topic is another one from now on."""
        self.learned.clear()
        self._untold.clear()

    def state_dict(self) -> Arrays:
        """What is known of whom, right after `tell`."""
        return {
            "learned": np.array(sorted(self.learned.items()), np.int64).reshape(-1, 2),
            "position": np.array([self.position]),
            "incomplete": np.frombuffer(self._reader.saved(), np.uint8),
            "behind": np.array([self._behind]),
            **_pack_known(self._known),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; empty of a worker that was alone.

        Who was behind is still; what it overheard in the last seconds, in case a writer did not know it, is gone.
        """
        self._untold.clear()
        self._catch_up()
        if not arrays:
            return
        self.learned = {int(partition): int(offset) for partition, offset in arrays["learned"]}
        self._known = _unpack_known(arrays)
        self._reader.seek(int(arrays["position"][0]))
        if "incomplete" in arrays:  # earlier versions kept none
            self._reader.load(arrays["incomplete"].tobytes())
        self._behind = bool(arrays.get("behind", np.zeros(1))[0])  # earlier versions did not say


def _pack_known(known: Mapping[str, int]) -> Arrays:
    """The newest update that was heard of each writer."""
    return {
        "sequences": np.array(list(known.values()), np.int64),
        **nest("writers", pack_strings(list(known))),
    }


def _unpack_known(arrays: Mapping[str, NDArray[Any]]) -> dict[str, int]:
    """The inverse of `_pack_known`."""
    writers = unpack_strings(unnest("writers", arrays))
    return dict(zip(writers, arrays["sequences"].tolist(), strict=True))


def _pack(contribution: Contribution, items: RowIndex) -> Arrays:
    """Rows by the names of their items."""
    arrays = nest("dense", contribution.dense)
    for name, changes in contribution.tables.items():
        table = {column: getattr(changes, column) for column in _COLUMNS}
        table |= nest("items", pack_strings([items.id(row) for row in changes.rows.tolist()]))
        arrays |= nest(f"tables.{name}", table)
    return arrays


def _unpack(arrays: Arrays, items: RowIndex, share: float) -> Contribution:
    """Items by the rows that they have here.

    Raises:
        ValueError: Something is missing, or no number: that would spread to everybody and never go away.
    """
    if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
        raise ValueError("it holds numbers that are not finite")
    tables = {}
    for name in sorted({name.split(".")[1] for name in arrays if name.startswith("tables.")}):
        table = unnest(f"tables.{name}", arrays)
        try:
            rows = _rows(items, unpack_strings(unnest("items", table)))
            changes = RowChanges(rows, *(table[column] for column in _COLUMNS))
        except (KeyError, UnicodeDecodeError) as error:
            raise ValueError(f"it lacks {error}") from error
        tables[name] = changes.take(rows != ABSENT)
    return Contribution(share, unnest("dense", arrays), tables)


def _of_rows(changes: RowChanges, others: RowChanges) -> RowChanges:
    """What changed of rows that others changed, too."""
    return changes.take(np.isin(changes.rows, others.rows))


def _rows(items: RowIndex, ids: list[str]) -> NDArray[np.int64]:
    """Where items stand here; those that nobody here has met yet get a row while there is room.

    It is no event: what an update names is not the newer for it, and nothing makes way for it.
    """
    rows = items.rows(ids)
    unmet = np.flatnonzero(rows == ABSENT)[: items.capacity - len(items)]
    if len(unmet):
        rows[unmet] = items.admit([ids[n] for n in unmet.tolist()])
    return rows
