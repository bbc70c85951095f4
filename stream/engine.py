"""Micro-batches, one step at a time, publishing and checkpoints around it. asyncio, but no Faust and no broker.

Records come in by `offer`, with a callback to acknowledge them. A step runs in a thread of its own, so that the
event loop stays free for the broker and for HTTP; publishing overlaps with the next step. Records are
acknowledged only after a checkpoint that holds them is safe, and it is written only after everything that they
caused is published. For a checkpoint the stream waits while what changed is copied; all else happens beside it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from connectors.dead_letter import DeadLetter
from connectors.decode import RawRecord
from connectors.recommendation import Recommendation
from learners.state_changes import Taken
from stream.checkpoints.manifest import Manifest
from stream.checkpoints.store import CheckpointStore
from stream.intake import Ack, Intake, no_ack
from stream.journal import Done, FellBehind, Heard, Stepped, Telling
from stream.ownership import EVERYTHING, Assignment
from stream.processor import Processed, Processor, Snapshot
from stream.recovery import Recovery
from stream.shared_model import Merged, Told

logger = logging.getLogger(__name__)

T = TypeVar("T")
_PUBLISHING = 4  # batches on their way to the broker at a time
_BUFFERED_BATCHES = 4
_SETTLING_S = 0.01
_LULL_S = 0.01  # of a long step without a poll beside it, at least
_POLL_SHARE, _POLL_MOST_S = 0.1, 0.05  # of a step's time, and seconds, that a poll is waited for after it
_FIRST_CHECKPOINT_S = 1.0
_BEGINNING_EVERY_S = 60.0

PORTION_BYTES = 32 << 20
"""What is copied while the stream waits: some 10 ms, or ten times that where the machine hands out memory slowly."""


class EngineStoppedError(Exception):
    """Nobody looks at the state any more: the worker is about to end."""


class Publisher(Protocol):
    """Where results go."""

    async def send(
        self,
        recommendations: Sequence[Recommendation],
        dead_letters: Sequence[DeadLetter],
        findings: Sequence[object],
        require_lease: Callable[[], None],
    ) -> None:
        """Publish it after what earlier calls were given, in order; returns when all of it is acknowledged.

        After a crash the same may come again. `require_lease` is called before anything leaves, and may raise.
        """
        ...

    async def tell(self, update: Sequence[bytes]) -> None:
        """Publish the records of a model update, in order; returns when all of them are acknowledged."""
        ...


class Observer(Protocol):
    """Who watches; every call is quick."""

    def step(self, processed: Processed, processor: Processor) -> None:
        """After each step, in the step's thread; the processor is as the step has left it."""
        ...

    def published(self, arrived_ms: Sequence[float], published_ms: float) -> None:
        """After the step's results were acknowledged: when its records had arrived, and when that was."""
        ...

    def checkpointed(self, manifest: Manifest, deltas: int, stalled_s: float, wrote_s: float) -> None:
        """After each checkpoint.

        Args:
            manifest: The checkpoint.
            deltas: How many there are since the newest whole one.
            stalled_s: The longest that the stream stood still for it.
            wrote_s: How long it took to write.
        """
        ...

    def merged(self, manifest: Manifest, took_s: float) -> None:
        """After deltas were merged to a whole checkpoint."""
        ...

    def checkpoint_failed(self) -> None:
        """A checkpoint could not be written."""
        ...

    def told(self, update: int) -> None:
        """A model update of so many bytes was published."""
        ...

    def heard(self, merged: Merged, update: int) -> None:
        """What came of records of the model topic, of so many bytes."""
        ...

    def step_failed(self) -> None:
        """A step raised; what comes next is a recovery, or the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """When a batch is full and when state is saved.

    Attributes:
        topic: The events topic, for the checkpoint.
        topic_id: Its id at the broker.
        batch_max_events: Most events of a step; a record that is a list may exceed it.
        batch_max_age_ms: Longest wait of a record for company.
        checkpoint_every_s: Time between checkpoints.
        tell_every_s: Time between two model updates, where there are other workers; there is one with each checkpoint.
    """

    topic: str
    topic_id: str = ""
    batch_max_events: int = 1_024
    batch_max_age_ms: float = 2.0
    checkpoint_every_s: float = 5.0
    tell_every_s: float = 1.0


@dataclass(slots=True)
class Engine:
    """Runs a processor on what is offered.

    Args:
        processor: Owns all state; touched only in the engine's own thread.
        publisher: Where results go.
        checkpoints: Where state goes; None keeps none (and acknowledges after publishing).
        observer: Who watches.
        config: Sizes and times.
        now_ms: The clock, UTC milliseconds.
        recovery: What to do with a step that raised; None stops.
        assignment: What of the records is this worker's; of each step what it is when that begins.
        require_lease: Asked before anything leaves the engine; raises where this worker may not speak any more.
    """

    processor: Processor
    publisher: Publisher
    checkpoints: CheckpointStore | None
    observer: Observer
    config: EngineConfig
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    recovery: Recovery | None = None
    assignment: Assignment = EVERYTHING
    require_lease: Callable[[], None] = lambda: None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    last_checkpoint: Manifest | None = None
    progressed_at: float = field(default_factory=time.monotonic)
    _intake: Intake = field(default_factory=Intake)
    _stepped: int = 0  # of the records that were offered, those whose results are on their way
    _between_steps: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: int = 0  # steps so far,
    _ended: int = 0  # and those of them whose results are on their way
    _step_s: float = 0.0
    _stepped_at: float = field(default_factory=time.monotonic)
    _polled_at: float = 0.0  # when the first poll since then was over
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="step")
    )
    _publishing: dict[asyncio.Task[None], float] = field(default_factory=dict)
    _failure: BaseException | None = None
    _consumed: list[Ack] = field(default_factory=list)
    _writing: asyncio.Task[None] | None = None
    _merging: asyncio.Task[None] | None = None
    _saved: Taken | None = None
    _stalls_s: list[float] = field(default_factory=list)
    _checkpoint_due: float = 0.0
    _telling: asyncio.Task[None] | None = None
    _telling_due: float = 0.0
    _beginning_due: float = 0.0
    _due: int = 0  # slates that are made without waiting for records
    _owing: bool = False
    _left: int = 0  # how often what had come was left unacknowledged
    _assigned: int = 0  # how often partitions were shared anew
    _stopping: bool = False
    _finished: bool = False
    _unsaved: bool = False
    _refused: bool = False  # the last checkpoint, by the disk

    async def offer(self, records: Sequence[RawRecord], ack: Ack) -> None:
        """Hand over records of one partition, in order; waits while too many are waiting."""
        await self._enter(records, ack)

    async def follow(self, records: Sequence[RawRecord]) -> None:
        """Hand over records of a partition that is another worker's: there is nothing to acknowledge.

        Where the partition is this worker's by now, whoever reads it for this worker brings them again.
        """
        await self._enter(records, no_ack, followed=True)

    def assign(self, assignment: Assignment) -> None:
        """Work on these partitions from now on.

        A step has the assignment of when it began. So what was taken over and given to steps before is owed, whatever
        end its partition had by then, and what waits and was followed is brought again by who reads it as its owner.
        """
        self._assigned += 1
        self.assignment = replace(
            assignment,
            taken={
                partition: replace(taken, until=max(taken.until, self._intake.handed(partition)))
                for partition, taken in assignment.taken.items()
            },
        )
        self._intake.drop_followed(assignment.owns)

    async def look_again(self) -> None:
        """Make a step though no record has come: more may be due by now."""
        await self.offer((), no_ack)

    @property
    def owing(self) -> bool:
        """Whether somebody waits for a slate for what was stepped already."""
        return self._owing

    def leave_unacknowledged(self) -> None:
        """Acknowledge nothing of what came so far: not all of it is answered, and it may be another worker's by now."""
        self._consumed.clear()
        self.leave_waiting()

    def leave_waiting(self) -> None:
        """Acknowledge nothing of what is not stepped yet: it may be another worker's when it is."""
        self._intake.leave_unacknowledged()
        self._left += 1

    async def hear(self, records: Sequence[RawRecord]) -> None:
        """Merge what other workers tell: records of the model topic, in offset order."""
        if self._stopping:
            return  # the last checkpoint says how far it came
        merged = await self.read(lambda _: self._hear(records))
        self._unsaved = True
        self.observer.heard(merged, sum(len(record.value or b"") for record in records))

    def fall_behind(self, updates: int) -> None:
        """Some of what the others told was deleted before it was heard."""
        logger.warning(
            "%d records of what other workers learned are missing; it is taken over from them", updates
        )
        if not self._stopping:
            self._thread.submit(self._fall_behind)

    async def read(self, what: Callable[[Processor], T]) -> T:
        """Look at the state between two steps.

        Raises:
            EngineStoppedError: After `finish`.
        """
        if self._finished:
            raise EngineStoppedError("the worker is stopping")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread,
            lambda: what(self.processor),  # that of then: a recovery puts another one in its place
        )

    async def run(self) -> None:
        """Work until `stop`; raises what the publisher raises, and what a step raises that nothing helps against."""
        self._checkpoint_due = time.monotonic()
        self._between_steps.set()
        self.started.set()
        while not self._stopping:
            await self._fill()
            self._begun += 1  # what is taken does not wait any more, and is not published yet
            try:
                records, consumed = self._intake.take(self.config.batch_max_events)
                # A list may be empty, and waits for its acknowledgement all the same.
                if records or consumed or self._due:
                    await self._step(records, consumed)
            finally:
                self._ended += 1
            if time.monotonic() >= self._telling_due:
                await self._tell()
            if time.monotonic() >= self._checkpoint_due:
                await self._begin_checkpoint()

    async def stop(self) -> None:
        """Finish the step at hand, publish, write a last checkpoint and acknowledge. What still waits is not
        acknowledged and will be read again.
        """
        async with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def before_poll(self) -> None:
        """Wait for a lull. Who polls for this worker's records asks each time.

        What the poll before brought is on its way to `offer`.
        """
        if self._polled_at < self._stepped_at:
            async with self._changed:
                self._polled_at = time.monotonic()
                self._changed.notify_all()
        await self.lull()

    async def lull(self) -> None:
        """Wait until no step is under way, but no longer than a moment, or than half as long as the last one took.

        Reading takes the interpreter from the step's thread, most of it by the poll and not by the record: who polls
        whenever a record has come leaves it half of the time.
        """
        if not self._between_steps.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._between_steps.wait(), max(_LULL_S, self._step_s / 2.0))

    async def settle(self, patience_s: float) -> bool:
        """Wait until everything that was offered by now is stepped and published; returns whether it is.

        Records that come meanwhile, such as others', are not waited for: there may always be some.
        """
        deadline = time.monotonic() + patience_s

        async def waited_for(done: Callable[[], bool]) -> bool:
            while not done() and not self._stopping and time.monotonic() < deadline:
                await asyncio.sleep(_SETTLING_S)
                self._reap()
            return done()

        # Steps are counted beside records: one that answers what is due may have none.
        offered, begun = self._intake.offered, self._begun
        if not await waited_for(lambda: self._stepped >= offered and self._ended >= begun):
            return False
        published = tuple(self._publishing)
        return await waited_for(lambda: all(task.done() for task in published))

    async def finish(self) -> None:
        """After `run` has returned: the last checkpoint."""
        if self.checkpoints is not None:
            self.checkpoints.close()
        await self._begin_checkpoint()
        for task in (self._writing, self._merging, self._telling):
            if task is not None:
                await task
        self._finished = True
        self._thread.shutdown()

    async def _enter(self, records: Sequence[RawRecord], ack: Ack, *, followed: bool = False) -> None:
        """Let records in, once there is room. They count as offered from the beginning on: who settles waits for them.

        What waited for room while all else was left unacknowledged is no better known to be answered, nor is what comes
        when its partition is not this worker's any more. What was followed while partitions were shared anew is brought
        again, by the follower or by who reads it as its owner.
        """
        room = _BUFFERED_BATCHES * self.config.batch_max_events
        left, assigned = self._left, self._assigned
        self._intake.offered += len(records)
        async with self._changed:
            await self._changed.wait_for(lambda: self._intake.waiting < room or self._stopping)
            owned = not records or self.assignment.owns(records[0].partition)
            former = followed and (assigned != self._assigned or owned)
            if self._stopping or former:
                # Nobody takes them; they are not acknowledged, and will be read again.
                self._intake.offered -= len(records)
                return
            if not self.busy:
                self.progressed_at = time.monotonic()  # it was idle, not stuck
            self._intake.add(records, ack if owned and left == self._left else no_ack, followed=followed)
            self._changed.notify_all()

    @property
    def _stepping(self) -> bool:
        """Whether a step is under way."""
        return self._begun > self._ended

    @property
    def busy(self) -> bool:
        """Whether something that was offered is not stepped or not published yet."""
        published = all(task.done() for task in self._publishing)  # a task that is done may not be reaped yet
        return bool(self._intake.waiting) or self._stepping or not published

    @property
    def waiting(self) -> int:
        """How many records were offered and wait for their step."""
        return self._intake.waiting

    @property
    def undelivered_s(self) -> float:
        """How long the oldest results have waited for the broker to take them, seconds; 0 where none wait."""
        since = [at for task, at in self._publishing.items() if not task.done()]
        return time.monotonic() - min(since) if since else 0.0

    async def _fill(self) -> None:
        """Wait for a full batch, or for the oldest record's patience, or for a due checkpoint."""
        async with self._changed:
            while (
                not self._stopping and not self._due and self._intake.waiting < self.config.batch_max_events
            ):
                deadline = min(self._checkpoint_due, self._patient_until)
                patience = deadline - time.monotonic()
                if patience <= 0.0:
                    return
                try:
                    await asyncio.wait_for(self._changed.wait(), patience)
                except TimeoutError:
                    return

    @property
    def _patient_until(self) -> float:
        """When a step begins with what there is; never where there is nothing.

        The oldest record waits for company from when it came, or from when what came during the last step is polled:
        what misses this step waits for two.
        """
        since, polled_at = self._intake.since, self._polled_at
        if since is None:
            return math.inf
        if polled_at < self._stepped_at:
            polled_at = self._stepped_at + min(_POLL_SHARE * self._step_s, _POLL_MOST_S)
        return max(since, polled_at) + self.config.batch_max_age_ms / 1000.0

    async def _step(self, records: list[RawRecord], consumed: list[Ack]) -> None:
        async with self._changed:
            self._changed.notify_all()  # there is room again
        left = self._left
        step = Stepped(records, self.now_ms(), assignment=self.assignment)
        self._between_steps.clear()
        before = time.monotonic()
        try:
            outcomes = await self._process(step)
        finally:
            self._stepped_at = time.monotonic()
            self._step_s = self._stepped_at - before
            self._between_steps.set()
        if left == self._left:
            self._consumed += consumed
        self._unsaved = True
        self._progressed()
        arrived = [
            float(timestamp)
            for record in records
            if step.assignment.answers(record.partition, record.offset)
            and (timestamp := getattr(record, "timestamp", None))
        ]
        for processed in outcomes[:-1]:
            await self._publish(processed, ())
        processed = outcomes[-1]
        self._due, self._owing = processed.due, processed.owing
        await self._publish(processed, arrived)  # each record's arrival counts once
        self._stepped += len(records)

    async def _process(self, step: Stepped) -> list[Processed]:
        """What came of a step's records: all at once, or, where that raised, one by one."""
        recovery = self.recovery
        outcome = await self.read(lambda processor: self._attempt(processor, step))
        if not isinstance(outcome, Exception):
            if recovery is not None and recovery.journal.crowded and not self._refused:
                self._checkpoint_due = min(self._checkpoint_due, time.monotonic())
            return [outcome]
        self.observer.step_failed()
        if recovery is None or not step.records:
            raise outcome
        if self._writing is not None:
            await self._writing  # it might become the newest checkpoint while that is read
        return await self.read(lambda _: self._recover(recovery, step, outcome))

    def _attempt(self, processor: Processor, step: Stepped) -> Processed | Exception:
        try:
            processed = step.make(processor)
        except Exception as error:
            return error
        self._note(step)
        self._watch(processed, processor)
        return processed

    def _watch(self, processed: Processed, processor: Processor) -> None:
        """Who only watches ends nothing: the step is done, and its records would be none the better for another one."""
        try:
            self.observer.step(processed, processor)
        except Exception:
            logger.exception("a step could not be counted: some metrics are too low")

    def _recover(self, recovery: Recovery, step: Stepped, failure: Exception) -> list[Processed]:
        recovered = recovery.recover(step.records, step.now_ms, failure, self._progressed, step.assignment)
        self.processor = recovered.processor
        for processed in recovered.outcomes:
            self._watch(processed, recovered.processor)
        return recovered.outcomes

    def _note(self, done: Done) -> None:
        """In the step's thread, in which order matters."""
        if self.recovery is not None:
            self.recovery.journal.note(done)

    def _fall_behind(self) -> None:
        fallen = FellBehind()
        fallen.make(self.processor)
        self._note(fallen)

    def _hear(self, records: Sequence[RawRecord]) -> Merged:
        heard = Heard(records)
        merged = heard.make(self.processor)
        self._note(heard)
        return merged

    async def _publish(self, processed: Processed, arrived: Sequence[float]) -> None:
        self._reap()
        while len(self._publishing) >= _PUBLISHING:
            await asyncio.wait(self._publishing, return_when=asyncio.FIRST_COMPLETED)
            self._reap()
        if processed.step is not None or processed.dead_letters or processed.owed:
            # Beside the next step. Tasks begin in the order in which they were made, and the publisher keeps to it,
            # so a user's newer slate is not overtaken by an older one.
            results = processed.recommendations, processed.dead_letters, processed.noticed.records
            task = asyncio.create_task(self._deliver(*results, arrived=arrived))
            self._publishing[task] = time.monotonic()

    def _progressed(self) -> None:
        self.progressed_at = time.monotonic()

    async def _deliver(
        self,
        recommendations: Sequence[Recommendation],
        dead_letters: Sequence[DeadLetter],
        findings: Sequence[object],
        *,
        arrived: Sequence[float],
    ) -> None:
        await self.publisher.send(recommendations, dead_letters, findings, self.require_lease)
        if arrived and recommendations:
            self.observer.published(arrived, time.time() * 1000.0)

    def _reap(self) -> None:
        """Forget what is published; raise what failed, to whoever asks from then on: no checkpoint may hold it."""
        for task in [task for task in self._publishing if task.done()]:
            del self._publishing[task]
            self._failure = self._failure or task.exception()
        if self._failure is not None:
            raise self._failure

    # --- telling the others

    async def _tell(self) -> None:
        """Publish what was learned since the last time, where there is anybody else.

        What is in a checkpoint is told. So where nothing happened since there is nothing to tell, nor to keep in the
        journal, which would else fill up while nobody does anything.
        """
        self._telling_due = time.monotonic() + self.config.tell_every_s
        if self.assignment.share < 1.0 and self._unsaved:
            telling = self._next_telling()
            self._publish_update(await self.read(lambda processor: self._cut(processor, telling)))

    def _next_telling(self) -> Telling:
        """Somebody has to tell now and then what a new worker begins with: who owns the first partition."""
        beginning = self.assignment.owns(0) and time.monotonic() >= self._beginning_due
        if beginning:
            self._beginning_due = time.monotonic() + _BEGINNING_EVERY_S
        return Telling(self.assignment.share, beginning)

    def _cut(self, processor: Processor, telling: Telling) -> Told | None:
        told = telling.make(processor)
        self._note(telling)
        return told

    def _publish_update(self, told: Told | None) -> None:
        """One after the other, since the order of a writer's updates counts."""
        if told is not None:
            self._telling = asyncio.create_task(self._deliver_update(told, self._telling))
            self._publishing[self._telling] = time.monotonic()

    async def _deliver_update(self, told: Told, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await before
        records = await asyncio.to_thread(told.records)
        self.require_lease()
        await self.publisher.tell(records)
        self.observer.told(sum(map(len, records)))

    # --- checkpoints

    async def _begin_checkpoint(self) -> None:
        """Take the state between two steps and write it while the stream goes on."""
        self.require_lease()
        for task in (self._writing, self._merging):
            if task is not None and task.done():
                task.result()  # raises what nobody foresaw: records would wait for ever and in silence
        if not self._unsaved:
            # The first one comes soon after the first records: a worker that keeps being killed must get on.
            self._checkpoint_due = time.monotonic() + min(self.config.checkpoint_every_s, _FIRST_CHECKPOINT_S)
            return
        self._checkpoint_due = time.monotonic() + self.config.checkpoint_every_s
        if self._writing is not None and not self._writing.done():
            if not self._stopping:
                return
            await self._writing
        self._reap()
        store = self.checkpoints
        if store is None:
            consumed = self._take_consumed()
            await asyncio.gather(*self._publishing)
            for ack in consumed:
                ack()
            return
        moment = await self._copy(store)
        if moment is None:
            self._checkpoint_due = time.monotonic()  # goes on after the next step
            return
        self._reap()  # while it was copied, somebody else may have noticed what failed
        consumed = self._take_consumed()
        published, stalled_s = tuple(self._publishing), max(self._stalls_s)
        self._stalls_s = []
        self._writing = asyncio.create_task(self._write(store, moment, published, consumed, stalled_s))

    def _take_consumed(self) -> list[Ack]:
        """The acknowledgements of everything that is stepped; none while slates for some of it are owed.

        What is acknowledged counts as answered for whoever takes over next.
        """
        self._unsaved = False
        if self._owing:
            return []
        consumed, self._consumed = self._consumed, []
        return consumed

    async def _copy(self, store: CheckpointStore) -> _Moment | None:
        """Copy what changed, as much as the stream may wait for; None where there is more."""
        whole, saved, self._saved = store.needs_whole, self._saved, None
        most_bytes = math.inf if self._stopping else PORTION_BYTES
        before = time.monotonic()
        telling = self._next_telling()

        def copy(processor: Processor) -> tuple[Told | None, _Moment | None]:
            # What is in a checkpoint is told: who goes on from there has nothing left to tell.
            told = self._cut(processor, telling)
            mark = self.recovery.journal.mark() if self.recovery is not None else 0
            return told, _Moment.of(processor, whole, saved, most_bytes, mark)

        told, moment = await self.read(copy)
        self._stalls_s.append(time.monotonic() - before)
        self._publish_update(told)
        return moment

    async def _write(
        self,
        store: CheckpointStore,
        moment: _Moment,
        published: Sequence[asyncio.Task[None]],
        consumed: list[Ack],
        stalled_s: float,
    ) -> None:
        await asyncio.gather(*published)  # what is in a checkpoint is never published again
        self.require_lease()
        before = time.monotonic()
        try:
            manifest = await asyncio.to_thread(
                store.write,
                moment.snapshot.pieces,
                whole=moment.snapshot.whole,
                topic=self.config.topic,
                topic_id=self.config.topic_id,
                applied=moment.applied,
                totals=moment.totals,
                summary=moment.summary,
                now_ms=self.now_ms(),
            )
        except OSError as error:
            # Learning goes on; nothing is acknowledged, so nothing can be lost. What changed counts as changed still.
            logger.error("the checkpoint could not be written to %s: %s", store.url, error)
            self._consumed = consumed + self._consumed
            self._unsaved = True
            self._refused = True
            self.observer.checkpoint_failed()
            return
        self._refused = False
        self.last_checkpoint = manifest
        if self.recovery is not None:
            self.recovery.saved(moment.mark, manifest.applied)
        for ack in consumed:
            ack()
        self._saved = moment.snapshot.taken
        self.observer.checkpointed(manifest, store.chain_length, stalled_s, time.monotonic() - before)
        if store.merge_due and not self._stopping and (self._merging is None or self._merging.done()):
            self._merging = asyncio.create_task(self._merge(store))

    async def _merge(self, store: CheckpointStore) -> None:
        """Beside the stream and the next checkpoints."""
        before = time.monotonic()
        try:
            manifest = await asyncio.to_thread(store.merge)
        except OSError as error:
            logger.error("checkpoints at %s could not be merged: %s", store.url, error)
            self.observer.checkpoint_failed()
            return
        if manifest is not None:
            self.observer.merged(manifest, time.monotonic() - before)


@dataclass(frozen=True, slots=True)
class _Moment:
    """What a checkpoint is made of, copied between two steps."""

    snapshot: Snapshot
    applied: dict[int, int]
    totals: dict[str, int]
    summary: dict[str, int]
    mark: int

    @classmethod
    def of(
        cls, processor: Processor, whole: bool, saved: Taken | None, most_bytes: float, mark: int
    ) -> _Moment | None:
        """In the step's thread, which alone may touch the state's marks: what was saved does not count as changed."""
        if saved is not None:
            saved.saved()
        snapshot = processor.snapshot(whole=whole, most_bytes=most_bytes)
        if snapshot is None:
            return None
        return cls(
            snapshot=snapshot,
            applied=dict(processor.states.applied),
            totals=processor.totals_dict(),
            summary=processor.sizes(),
            mark=mark,
        )
