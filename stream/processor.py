"""From records to a step: skip what was applied, decode, drop duplicates, run the pipeline, remember the offsets."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.dead_letter import DeadLetter, Reason
from connectors.decode import EventDecoder, RawRecord, Refusal, dead_letter
from connectors.event import Event
from connectors.recommendation import Recommendation
from learners.learner import EVICTED as EVICTED_BY_LEARNERS
from learners.learner import SharingLearner
from learners.state_arrays import Arrays, nest, set_aside, unnest
from learners.state_changes import LiveState, Taken, changed, load_marks, mark_all
from learners.state_changes import whole as whole_state
from learners.task_axes import carried_over
from stream.duplicates import RecentIds
from stream.ownership import EVERYTHING, Answers, Assignment
from stream.pipeline import Pipeline, Served, Share, Step
from stream.shared_model import Merged, SharedModel, Told
from stream.statistics import Noticed, Statistics
from stream.trials import Trials
from stream.user_states import UserStates

logger = logging.getLogger(__name__)

Place = tuple[int, int]
"""Partition and offset of a record."""

_NOTHING: Mapping[Place, str] = {}
_NO_MEMORY = ("allocate memory", "out of memory")

EVICTED = ("users", "items", *EVICTED_BY_LEARNERS)
"""What is given up beyond its bound, what was silent for longest first."""

ANSWERED_A_STEP = 256
"""Most slates of one step for events that were owed: a taking over must not hold up what is new."""


def may_be_a_records_fault(error: Exception) -> bool:
    """Memory and disk are nobody's but the machine's; torch says it in its own words when there is no memory."""
    return not isinstance(error, MemoryError | OSError) and not (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


@dataclass(slots=True)
class Totals:
    """Counted once each, records that were read again left out.

    Attributes:
        events_learned: Events that were applied.
        events_followed: Of these, the ones of other workers' partitions: counted, and neither foreseen nor answered.
        recommendations: Slates.
        dead_letters: Records that were no events, or that the learner failed on; of other workers' partitions too.
        records_skipped: Records that had been applied and were read again, told by their offsets.
        duplicates: Events that had been applied and were sent again, told by their ids.
        late_events: Of those that were applied, the ones that came too late for their user's history.
    """

    events_learned: int = 0
    events_followed: int = 0
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
        duplicates: This worker's events that had been applied and were sent again.
        decode_s: Time spent on decoding.
        step_s: Time spent in the pipeline.
        noticed: What the statistics told of the step.
        watch_s: Time spent on these.
        owed: Slates for events of partitions that were taken over.
        due: How many more of them there are to make; an empty list of records makes some.
        owing: Whether there are more, some of which may have to wait for what is not read yet.
    """

    step: Step | None
    dead_letters: list[DeadLetter]
    skipped: int
    duplicates: int
    decode_s: float
    step_s: float
    owed: Sequence[Served] = ()
    due: int = 0
    owing: bool = False
    noticed: Noticed = field(default_factory=Noticed)
    watch_s: float = 0.0

    @property
    def recommendations(self) -> list[Recommendation]:
        """The step's recommendations, and those that were owed."""
        served = [*([self.step.slates] if self.step is not None else ()), *self.owed]
        return [slate for slates in served for slate in slates.recommendations]


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
class _Read:
    """What was read of some records: events with their partitions, whose they are, and how far each partition is."""

    events: list[Event] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    own: list[bool] = field(default_factory=list)
    served: list[bool] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    others_dead_letters: int = 0
    counted_dead_letters: int = 0  # when they were another worker's, who may not have published them
    skipped: int = 0
    duplicates: int = 0
    applied: dict[int, int] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)  # with what was skipped

    @property
    def share(self) -> Share | None:
        """What of the events is this worker's; None for everything."""
        return (
            None
            if all(self.served) and all(self.own)
            else Share(own=np.array(self.own), served=np.array(self.served))
        )


@dataclass(slots=True)
class Processor:
    """Applies records exactly once to everything it owns.

    All state changes together with the applied offsets in one call, and snapshots are taken between calls:
    a checkpoint can neither lose nor repeat an event.
    """

    decoder: EventDecoder
    pipeline: Pipeline
    states: UserStates
    statistics: Statistics
    trials: Trials
    recent: RecentIds = field(default_factory=RecentIds)
    answers: Answers = field(default_factory=Answers)
    shared: SharedModel | None = None
    totals: Totals = field(default_factory=Totals)
    _unfinished: Snapshot | None = None

    def process(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        refused: Mapping[Place, str] = _NOTHING,
        assignment: Assignment = EVERYTHING,
    ) -> Processed:
        """Apply records, each partition's in offset order.

        Args:
            records: Of any partitions; those at or before the applied offset are skipped.
            now_ms: The clock, UTC milliseconds.
            refused: Records that the learner cannot take, and the error; they become dead letters.
            assignment: What of it is this worker's.

        Raises:
            Exception: What the learner raises. The state is torn then: some of it has changed and some has not.
        """
        started = time.perf_counter()
        read = self._read(records, now_ms, refused, assignment)
        decoded = time.perf_counter()
        step = None
        if read.events:
            step = self.pipeline.step(
                read.events, self.states, now_ms, partitions=read.partitions, share=read.share
            )
        self.states.applied.update(read.applied)
        self.answers.catch_up(assignment, read.reached)
        waiting: list[Event] = []
        if self.answers.due:
            answered = {made.user_id for made in step.recommendations} if step is not None else set()
            waiting = self.answers.take(answered, ANSWERED_A_STEP)
        self.answers.reach(assignment, read.reached)
        owed = self._answer(waiting, now_ms) if waiting else []
        stepped = time.perf_counter()
        noticed = self._notice(step, now_ms) if step is not None else Noticed()
        for slates in owed:
            bits = self.statistics.count_owed(slates)
            noticed = replace(noticed, novelty_bits=noticed.novelty_bits + bits)
        processed = Processed(
            step=step,
            dead_letters=read.dead_letters,
            skipped=read.skipped,
            duplicates=read.duplicates,
            decode_s=decoded - started,
            owed=owed,
            due=self.answers.due,
            owing=self.answers.owing,
            step_s=stepped - decoded,
            noticed=noticed,
            watch_s=time.perf_counter() - stepped,
        )
        self._count(processed)
        self.totals.dead_letters += read.others_dead_letters - read.counted_dead_letters
        return processed

    def _answer(self, owed: Sequence[Event], now_ms: int) -> list[Served]:
        """Slates for events that were applied before: the records at hand are not to blame where one of them fails.

        The others are made all the same, one by one.
        """
        try:
            return [self.pipeline.answer(owed, self.states, now_ms)]
        except Exception as error:
            if not may_be_a_records_fault(error):
                raise
            if len(owed) > 1:
                return [slates for event in owed for slates in self._answer([event], now_ms)]
            logger.exception("event %s of user %s gets no slate", owed[0].event_id, owed[0].user_id)
            return []

    def _notice(self, step: Step, now_ms: int) -> Noticed:
        """Count a step, and react to what that tells."""
        statistics = self.statistics
        noticed = statistics.count(step, now_ms)
        reacted = self.trials.follow(
            noticed.findings,
            step.lesson,
            events=statistics.events_seen,
            now_ms=now_ms,
            event_time_ms=statistics.event_time_ms,
        )
        return replace(noticed, reacted=reacted) if reacted else noticed

    def _read(
        self,
        records: Sequence[RawRecord],
        now_ms: int,
        refused: Mapping[Place, str],
        assignment: Assignment,
    ) -> _Read:
        """What there is to do with the records."""
        read = _Read()
        for record in records:
            partition, offset = record.partition, record.offset
            read.reached[partition] = max(offset, read.reached.get(partition, -1))
            owed = assignment.owes(partition, offset)
            if offset <= read.applied.get(partition, self.states.applied.get(partition, -1)):
                read.skipped += 1
                if owed:
                    outcome = self.decoder.decode(record, now_ms)
                    self._owe(partition, outcome)
                    if isinstance(outcome, DeadLetter):
                        read.dead_letters.append(outcome)
                        read.counted_dead_letters += 1
                continue
            if partition not in read.applied:
                self.pipeline.ledger.reached(partition, offset)
            read.applied[partition] = offset
            error = refused.get((partition, offset))
            if error is not None:
                self.pipeline.ledger.refuse(partition, offset, now_ms)
            outcome = (
                self.decoder.decode(record, now_ms)
                if error is None
                else dead_letter(record, _failed(error), now_ms)
            )
            if owed:
                self._owe(partition, outcome)
            if isinstance(outcome, DeadLetter):
                if assignment.owns(partition):
                    read.dead_letters.append(outcome)
                else:
                    read.others_dead_letters += 1
                continue
            new = self.recent.new_of(record, outcome)
            read.events += new
            read.partitions += [partition] * len(new)
            read.own += [self._learns(partition, offset, assignment)] * len(new)
            read.served += [assignment.answers(partition, offset)] * len(new)
            if assignment.owns(partition):  # or else its owner counts them
                read.duplicates += len(outcome) - len(new)
        return read

    def _learns(self, partition: int, offset: int, assignment: Assignment) -> bool:
        """Whether gradients are to learn from a record: it is this worker's, and nobody has told what came of it."""
        return assignment.owns(partition) and (self.shared is None or self.shared.learns(partition, offset))

    def _owe(self, partition: int, outcome: Sequence[Event] | DeadLetter) -> None:
        """Remember whom a record's events concern."""
        for event in outcome if not isinstance(outcome, DeadLetter) else ():
            if self.pipeline.batcher.is_trigger(event):
                self.answers.owe(partition, event)

    @property
    def evictions(self) -> dict[str, int]:
        """How many of each of `EVICTED` were given up so far, restarts included."""
        return {
            "users": self.states.index.evictions,
            "items": self.pipeline.items.evictions,
            **self.pipeline.learner.evictions,
        }

    def _count(self, processed: Processed) -> None:
        totals, step = self.totals, processed.step
        totals.recommendations += len(processed.recommendations)
        totals.dead_letters += len(processed.dead_letters)
        totals.records_skipped += processed.skipped
        totals.duplicates += processed.duplicates
        if step is not None:
            totals.events_learned += step.events + step.followed
            totals.events_followed += step.followed
            totals.late_events += step.late

    # --- what is shared with other workers

    def share(self, topic_id: str, writer: str) -> SharedModel:
        """Tell and hear from now on what is learned; before anything is loaded.

        Args:
            topic_id: Of the events topic.
            writer: Name of this process, and of no other.

        Raises:
            TypeError: The learner cannot do that.
        """
        learner = self.pipeline.learner
        if not isinstance(learner, SharingLearner):
            raise TypeError(f"a {type(learner).__name__} cannot share what it learns")
        learner.share()
        self.shared = SharedModel(learner, self.pipeline.items, topic_id, writer)
        return self.shared

    def tell(self, share: float, *, beginning: bool = False) -> Told | None:
        """See `SharedModel.tell`; None where nothing is shared."""
        if self.shared is None:
            return None
        return self.shared.tell(share, beginning=beginning)

    def merge(self, records: Sequence[RawRecord]) -> Merged:
        """See `SharedModel.merge`; `share` was called before."""
        assert self.shared is not None
        return self.shared.merge(records)

    def fall_behind(self) -> None:
        """See `SharedModel.fall_behind`; `share` was called before."""
        assert self.shared is not None
        self.shared.fall_behind()

    # --- state

    def live_states(self) -> dict[str, LiveState]:
        """The pieces of a checkpoint: users, catalogue, learner, the ledger with the recent ids, statistics."""
        return {
            "users": self.states.live_state(),
            "items": self.pipeline.items.live_state(),
            "learner": self.pipeline.learner.live_state(),
            "ledger": {
                **self.pipeline.ledger.live_state(),
                **nest("recent", self.recent.live_state()),
                "answered": self.answers.state_dict(),
                "owed": self.answers.saved(),
                **(nest("shared", self.shared.state_dict()) if self.shared is not None else {}),
            },
            "statistics": {
                **self.statistics.live_state(),
                **nest("reactions", self.trials.state_dict()),
            },
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
            snapshot.pieces[name].append(set_aside(changed(state, snapshot.taken, last=last)))
        if not last:
            return None
        self._unfinished = None
        return snapshot

    def load(self, pieces: Mapping[str, Mapping[str, NDArray[Any]]], totals: Mapping[str, int]) -> None:
        """The inverse of `state_dicts`, with the totals. Of other tasks the state is carried over, see `TaskMap`.

        The arrays are handed over, see `Learner.load_state_dict`.

        Raises:
            ValueError: Saved with other settings.
        """
        learner, users = self.pipeline.learner, pieces["users"]
        tasks = learner.tasks_saved(pieces["learner"])
        axes = self.states.task_axes(users["pending_partitions"].tolist(), learner.shown_axis)
        self.states.load_state_dict(carried_over(users, {}, axes, tasks))
        self.pipeline.items.load_state_dict(pieces["items"])
        learner.load_state_dict(pieces["learner"])
        if "ledger" in pieces:
            names = nest("tasks", unnest("tasks", pieces["learner"]))  # which older ledgers do not say
            self.pipeline.ledger.load_state_dict({**names, **pieces["ledger"]})
            self.recent.load_state_dict(unnest("recent", pieces["ledger"]))
        else:  # of a version that kept none
            self.pipeline.ledger.begin_anew()
        kept = pieces.get("statistics", {})
        self.statistics.load_state_dict(
            {name: array for name, array in kept.items() if not name.startswith("reactions.")}, tasks
        )
        self.trials.load_state_dict(unnest("reactions", kept))
        if tasks.changed:  # the learner has turned everything back
            self.trials.abandon()
        # Who saved none was alone, and had answered what it had applied.
        self.answers.load_state_dict(
            pieces.get("ledger", {}).get(
                "answered", np.array(sorted(self.states.applied.items())).reshape(-1, 2)
            ),
            pieces.get("ledger", {}).get("owed"),
        )
        if self.shared is not None:
            self.shared.load_state_dict(unnest("shared", pieces.get("ledger", {})))
            self.shared.learner.share()
        for name, state in self.live_states().items():
            load_marks(state, pieces.get(name, {}))
            if tasks.changed:  # and so is where things stand
                mark_all(state)
        if tasks.changed:
            logger.warning(
                "The tasks are others than the checkpoint's: %s. All else goes on as it was.", tasks
            )
        self.totals = Totals(**totals)

    def begin_anew(self) -> None:
        """The topic is another one from now on: what was learned stays, and all offsets count as new."""
        self.states.applied.clear()
        self.answers.begin_anew()
        if self.shared is not None:
            self.shared.begin_anew()
        self.pipeline.ledger.begin_anew()

    def sizes(self) -> dict[str, int]:
        """How much is known by now."""
        return {
            "users": len(self.states),
            "items": len(self.pipeline.items),
            "model_step": self.pipeline.learner.step,
        }

    def totals_dict(self) -> dict[str, int]:
        """The totals by name."""
        return asdict(self.totals)


def _failed(error: str) -> Refusal:
    return Refusal(
        Reason.LEARNER_FAILED,
        f"The learner fails on this record: {error}. Report it; replay the dead letters when it is mended.",
    )
