"""After a step that raised: back to the checkpoint, forward again, and past the records that the learner cannot take.

A step that raised half-way has changed some of the state and not the rest, and no part of it can be trusted. So the
state is built anew from the newest checkpoint and the steps since then are made again, cut as they were, which gives
what there was before the step. Then the step's records are applied one by one. The one that raises is refused: the
state is built once more, and that record becomes a dead letter. Halving the batch instead would find it with fewer
steps, but each half that fails costs the state, which is dearer than all the single steps together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.decode import RawRecord
from stream.journal import Done, Journal, Stepped
from stream.ownership import EVERYTHING, Assignment
from stream.processor import Place, Processed, Processor, may_be_a_records_fault

logger = logging.getLogger(__name__)

_HOUR_MS = 3_600_000
_LONGEST_TEXT = 250


class RecoveryError(Exception):
    """The worker has to stop; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of the records of a step that had raised.

    Attributes:
        processor: In place of the one whose state is torn.
        outcomes: One a record.
    """

    processor: Processor
    outcomes: list[Processed]


@dataclass(slots=True)
class Recovery:
    """Gets a worker past records that its learner cannot take.

    Args:
        rebuild: A new processor with the state of the newest checkpoint, or with nothing where there is none.
        refused_per_hour: Most records that are refused within an hour, restarts included; beyond, it is hardly the
            records' fault. 0 refuses none: any step that raises stops the worker.
        held: Applied offsets that the newest checkpoint holds at least.
        journal: The steps since then.
    """

    rebuild: Callable[[], Processor]
    refused_per_hour: int = 20
    held: Mapping[int, int] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)

    def recover(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        failure: Exception,
        on_progress: Callable[[], None] = lambda: None,
        assignment: Assignment = EVERYTHING,
    ) -> Recovered:
        """Apply the records of a step that raised `failure`.

        Args:
            records: All of the step's.
            now_ms: The clock, UTC milliseconds.
            failure: What the step raised.
            on_progress: Called after each step, since this may take long.
            assignment: What of the records is this worker's.

        Raises:
            RecoveryError: Too many records were refused, or the state cannot be built anew.
            Exception: `failure`, where it is not for a record to answer for.
        """
        if not may_be_a_records_fault(failure) or not self.refused_per_hour:
            raise failure
        began = time.monotonic()
        logger.error(
            "a step of %d records failed (%s); it is made again from the last checkpoint on, record by record",
            len(records),
            _in_words(failure),
            exc_info=failure,
        )
        processor = self._again([], failure, on_progress)
        outcomes: list[Processed] = []
        made: list[Stepped] = []
        refused: dict[Place, str] = {}
        for record in records:
            step = Stepped([record], now_ms, assignment=assignment)
            try:
                outcome = step.make(processor)
            except Exception as error:
                if not may_be_a_records_fault(error):
                    raise
                place = (record.partition, record.offset)
                refused[place] = _in_words(error)
                logger.error(
                    "record refused: the learner fails on it: %s",
                    refused[place],
                    extra={"topic": record.topic, "partition": record.partition, "offset": record.offset},
                )
                processor = self._again(made, error, on_progress)
                self._bound(processor, record, now_ms, error)
                step = Stepped([record], now_ms, {place: refused[place]}, assignment)
                outcome = step.make(processor)
            made.append(step)
            outcomes.append(outcome)
            on_progress()
        for step in made:
            self.journal.note(step)
        logger.warning(
            "went on after %.1f s: %d of %d records refused",
            time.monotonic() - began,
            len(refused),
            len(records),
        )
        return Recovered(processor, outcomes)

    def saved(self, mark: int, applied: Mapping[int, int]) -> None:
        """A checkpoint of the moment `mark` of the journal is on disk, with these offsets."""
        self.held = dict(applied)
        self.journal.forget(mark)

    def _again(
        self, further: Sequence[Done], failure: Exception, on_progress: Callable[[], None]
    ) -> Processor:
        """The state after all steps that went well."""
        if not self.journal.whole:
            raise RecoveryError(
                f"A step failed ({_in_words(failure)}), and too many records have come since the last checkpoint to "
                f"make it again from there. Nothing was acknowledged: start the worker again, it will get past it. "
                f"Can checkpoints be written?"
            ) from failure
        processor = self.rebuild()
        applied = processor.states.applied
        if any(applied.get(partition, -1) < offset for partition, offset in self.held.items()):
            raise RecoveryError(
                f"A step failed ({_in_words(failure)}), and the last checkpoint cannot be read. Nothing was "
                f"acknowledged: start the worker again, it goes on from the checkpoint before."
            ) from failure
        for done in [*self.journal.steps, *further]:
            done.make(processor)
            on_progress()
        return processor

    def _bound(self, processor: Processor, record: RawRecord, now_ms: int, error: Exception) -> None:
        """Stop where this record would be one too many."""
        lately = processor.pipeline.ledger.refused_since(now_ms - _HOUR_MS)
        if lately >= self.refused_per_hour:
            raise RecoveryError(
                f"The learner failed on more than {self.refused_per_hour} records within an hour, the last time on "
                f"{_name(record)} ({_in_words(error)}). That is hardly the records' fault, so the worker stops; the "
                f"last step was not acknowledged. Report the traceback above. To have more records refused, raise "
                f"worker.refused_per_hour."
            ) from error


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_LONGEST_TEXT]}" if text else type(error).__name__


def _name(record: RawRecord) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"
