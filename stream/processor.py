"""From records to a step: skip what was applied, decode, drop duplicates, run the pipeline, remember the offsets."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from connectors.dead_letter import DeadLetter, Reason
from connectors.decode import EventDecoder, RawRecord, Refusal, dead_letter
from connectors.event import Event
from connectors.recommendation import Recommendation
from learners.state_arrays import Arrays, nest, unnest
from learners.state_changes import LiveState, Taken, changed, load_marks, mark_all
from learners.state_changes import whole as whole_state
from stream.duplicates import RecentIds
from stream.pipeline import Pipeline, Step
from stream.user_states import UserStates

Place = tuple[int, int]
"""Partition and offset of a record."""

_NOTHING: Mapping[Place, str] = {}


@dataclass(slots=True)
class Totals:
    """Counted once each, records that were read again left out.

    Attributes:
        events_learned: Events that were applied.
        recommendations: Slates.
        dead_letters: Records that were no events, or that the learner failed on.
        records_skipped: Records that had been applied and were read again, told by their offsets.
        duplicates: Events that had been applied and were sent again, told by their ids.
        late_events: Of those that were applied, the ones that came too late for their user's history.
    """

    events_learned: int = 0
    recommendations: int = 0
    dead_letters: int = 0
    records_skipped: int = 0
    duplicates: int = 0
    late_events: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """What came of some records.

    Attributes:
        step: None where no record was an event.
        dead_letters: Records that were none.
        skipped: Records that had been applied and were read again.
        duplicates: Events that had been applied and were sent again.
        decode_s: Time spent on decoding.
        step_s: Time spent in the pipeline.
    """

    step: Step | None
    dead_letters: list[DeadLetter]
    skipped: int
    duplicates: int
    decode_s: float
    step_s: float

    @property
    def recommendations(self) -> list[Recommendation]:
        """The step's recommendations."""
        return self.step.recommendations if self.step is not None else []


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State at one moment, copied: what changed since the last snapshot that was saved, or all of it.

    Attributes:
        pieces: Each piece's portions, as `state_changes.changed` names their arrays; later ones replace earlier ones.
        whole: Whether that is everything.
        taken: To be told when it is safe; until then the next snapshot holds the same changes again.
    """

    pieces: dict[str, list[Arrays]]
    whole: bool
    taken: Taken


@dataclass(slots=True)
class Processor:
    """Applies records exactly once to everything it owns.

    All state changes together with the applied offsets in one call, and snapshots are taken between calls:
    a checkpoint can neither lose nor repeat an event.
    """

    decoder: EventDecoder
    pipeline: Pipeline
    states: UserStates
    recent: RecentIds = field(default_factory=RecentIds)
    totals: Totals = field(default_factory=Totals)
    _unfinished: Snapshot | None = None

    def process(
        self, records: Sequence[RawRecord], now_ms: int, refused: Mapping[Place, str] = _NOTHING
    ) -> Processed:
        """Apply records, each partition's in offset order.

        Args:
            records: Of any partitions; those at or before the applied offset are skipped.
            now_ms: The clock, UTC milliseconds.
            refused: Records that the learner cannot take, and the error; they become dead letters.

        Raises:
            Exception: What the learner raises. The state is torn then: some of it has changed and some has not.
        """
        started = time.perf_counter()
        applied = self.states.applied
        events: list[Event] = []
        partitions: list[int] = []
        dead_letters: list[DeadLetter] = []
        reached: dict[int, int] = {}
        skipped = duplicates = 0
        for record in records:
            partition, offset = record.partition, record.offset
            if offset <= reached.get(partition, applied.get(partition, -1)):
                skipped += 1
                continue
            if partition not in reached:
                self.pipeline.ledger.reached(partition, offset)
            reached[partition] = offset
            if (partition, offset) in refused:
                self.pipeline.ledger.refuse(partition, offset, now_ms)
                dead_letters.append(dead_letter(record, _failed(refused[partition, offset]), now_ms))
                continue
            outcome = self.decoder.decode(record, now_ms)
            if isinstance(outcome, DeadLetter):
                dead_letters.append(outcome)
                continue
            new = self.recent.new_of(record, outcome)
            events += new
            partitions += [partition] * len(new)
            duplicates += len(outcome) - len(new)
        decoded = time.perf_counter()
        step = None
        if events:
            self.states.admit([event.user_id for event in events], partitions)
            step = self.pipeline.step(events, self.states, now_ms)
        applied.update(reached)
        self.totals.events_learned += len(events)
        self.totals.recommendations += len(step.recommendations) if step is not None else 0
        self.totals.dead_letters += len(dead_letters)
        self.totals.records_skipped += skipped
        self.totals.duplicates += duplicates
        self.totals.late_events += step.late if step is not None else 0
        return Processed(
            step=step,
            dead_letters=dead_letters,
            skipped=skipped,
            duplicates=duplicates,
            decode_s=decoded - started,
            step_s=time.perf_counter() - decoded,
        )

    def live_states(self) -> dict[str, LiveState]:
        """The pieces of a checkpoint: users, the catalogue, the learner, the ledger with the recent ids."""
        return {
            "users": self.states.live_state(),
            "items": self.pipeline.items.live_state(),
            "learner": self.pipeline.learner.live_state(),
            "ledger": self.pipeline.ledger.live_state() | nest("recent", self.recent.live_state()),
        }

    def state_dicts(self) -> dict[str, Arrays]:
        """All of it as arrays, copied."""
        return {name: whole_state(state) for name, state in self.live_states().items()}

    def snapshot(self, *, whole: bool = False, most_bytes: float = math.inf) -> Snapshot | None:
        """Copy what changed since the last snapshot that was saved: quick, whatever the size of the rest.

        Args:
            whole: Copy everything instead.
            most_bytes: Of one call, about. What is more is for further calls, which steps may come before.

        Returns:
            The snapshot, as of now; None where another call must follow.
        """
        states = self.live_states()
        if self._unfinished is None:
            self._unfinished = Snapshot({name: [] for name in states}, whole, Taken())
            for state in states.values() if whole else ():
                mark_all(state)
        snapshot = self._unfinished
        last = snapshot.taken.choose(states.values(), most_bytes)
        for name, state in states.items():
            snapshot.pieces[name].append(changed(state, snapshot.taken, last=last))
        if not last:
            return None
        self._unfinished = None
        return snapshot

    def load(self, pieces: Mapping[str, Mapping[str, NDArray[Any]]], totals: Mapping[str, int]) -> None:
        """The inverse of `state_dicts`, with the totals.

        Raises:
            ValueError: Saved with other settings.
        """
        self.states.load_state_dict(pieces["users"])
        self.pipeline.items.load_state_dict(pieces["items"])
        self.pipeline.learner.load_state_dict(pieces["learner"])
        if "ledger" in pieces:
            self.pipeline.ledger.load_state_dict(pieces["ledger"])
            self.recent.load_state_dict(unnest("recent", pieces["ledger"]))
        else:  # of a version that kept none
            self.pipeline.ledger.begin_anew()
        for name, state in self.live_states().items():
            load_marks(state, pieces.get(name, {}))
        self.totals = Totals(**totals)

    def begin_anew(self) -> None:
        """The topic is another one from now on: what was learned stays, and all offsets count as new."""
        self.states.applied.clear()
        self.pipeline.ledger.begin_anew()

    def totals_dict(self) -> dict[str, int]:
        """The totals by name."""
        return asdict(self.totals)


def _failed(error: str) -> Refusal:
    return Refusal(
        Reason.LEARNER_FAILED,
        f"The learner fails on this record: {error}. Report it; replay the dead letters when it is mended.",
    )
