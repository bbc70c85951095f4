"""The newest checkpoint against the topic, as far as the checkpoint has applied it, or against a log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.event import encode_event
from connectors.kafka_client import KafkaClient
from connectors.sources.files import FileSource
from stream.assembly import checkpoint_store
from stream.checkpoints.chains import Checkpoint
from stream.checkpoints.manifest import CheckpointError
from stream.settings import Settings
from stream.user_states import NOWHERE
from stream.verification.account import PIECES, Kept, kept_in
from stream.verification.comparison import Comparison, Difference, compare
from stream.verification.recount import Recount

if TYPE_CHECKING:
    from connectors.sources.kafka import Record

_STEP = 2_000


class VerifyError(Exception):
    """There is nothing to compare; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification found.

    Attributes:
        source: What was counted again.
        checkpoint: Number of the checkpoint.
        checkpoint_at_ms: When it was taken, UTC milliseconds.
        events: Events counted again.
        users: Users of them.
        items: Items of them.
        differences: All of them.
        not_compared: What could not be compared and why; empty where everything was.
        seconds: How long it took.
    """

    source: str
    checkpoint: int
    checkpoint_at_ms: int
    events: int
    users: int
    items: int
    differences: list[Difference]
    not_compared: list[str]
    seconds: float

    @property
    def exit_code(self) -> int:
        """1 where something differs, 3 where nothing does but not everything could be compared, else 0."""
        return 1 if self.differences else 3 if self.not_compared else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Logged:
    """An event of a log, as the record that `freshet replay` makes of it."""

    partition: int
    offset: int
    value: bytes
    key: bytes | None = None
    topic: str = ""


def verify_log(settings: Settings, paths: Sequence[Path]) -> Verdict:
    """Compare the newest checkpoint with logs that were published, one after the other, and nothing else.

    Args:
        settings: Those of the worker.
        paths: What `FileSource` reads.

    Raises:
        VerifyError: There is no checkpoint, it was made with other settings, or it lacks refused records.
        connectors.sources.files.LogError: A log that cannot be read.
    """
    began = time.monotonic()
    checkpoint, kept = _newest(settings)
    if kept.refused:
        raise VerifyError(
            f"The learner could not take {len(kept.refused)} records, and a log does not say which of its events they "
            f"were. Compare with the topic: `freshet verify` without --log."
        )
    recount = Recount(settings)
    records = _records(paths, kept.partitions)
    while some := list(islice(records, _STEP)):
        recount.add(some, _now_ms())
    gone = [_INHERITED] if kept.inherited else []
    return _verdict(settings, checkpoint, kept, recount, gone, " and ".join(map(str, paths)), began)


def verify_topic(settings: Settings, client: KafkaClient) -> Verdict:
    """Compare the newest checkpoint with the topic, up to what the checkpoint has applied; a worker may run.

    Raises:
        VerifyError: There is no checkpoint, it was made with other settings, or it is of another topic.
        connectors.kafka_admin.BrokerUnreachableError: No broker answers.
        connectors.topics.TopicError: There is no such topic.
    """
    from connectors.topics import topic_id

    began = time.monotonic()
    checkpoint, kept = _newest(settings)
    topic, manifest = settings.topics.events, checkpoint.manifest
    if manifest.topic != topic:
        raise VerifyError(f"The checkpoints belong to topic {manifest.topic!r}, not {topic!r}.")
    if not manifest.is_of(topic_id(client, topic)):
        raise VerifyError(
            f"Topic {topic} was made anew since the checkpoint: nothing that the state holds can be counted again."
        )
    recount = Recount(settings, kept.refused)

    async def count() -> None:
        async for some in _applied_records(client, topic, kept.applied):
            recount.add(some, _now_ms())

    asyncio.run(count())
    gone = [_INHERITED] if kept.inherited else []
    gone += [
        f"Partition {partition} began with offset {first}, and what is left of it begins "
        f"{'after' if partition not in recount.first else f'with {recount.first[partition]}, not before'}: the "
        f"topic's retention has deleted the rest."
        for partition, first in sorted(kept.first.items())
        if recount.first.get(partition, first + 1) > first
    ]
    return _verdict(settings, checkpoint, kept, recount, gone, f"topic {topic}", began)


_INHERITED = "The topic was made anew once, and the state still counts what the former one held."


def _newest(settings: Settings) -> tuple[Checkpoint, Kept]:
    store = checkpoint_store(settings)
    try:
        checkpoint = store.latest(PIECES)
    except CheckpointError as error:
        raise VerifyError(str(error)) from error
    if checkpoint is None:
        raise VerifyError(
            f"There is no checkpoint in {store.url}: has a worker run with this FRESHET_STATE_DIR?"
        )
    try:
        return checkpoint, kept_in(checkpoint, settings)
    except (ValueError, KeyError) as error:
        raise VerifyError(f"The checkpoint in {store.url} was made with other settings: {error}.") from error


def _records(paths: Iterable[Path], partitions: Mapping[str, int]) -> Iterator[_Logged]:
    """Each user's events go where the worker found them, in the order of the log."""
    offsets: Counter[int] = Counter()
    for event in chain.from_iterable(map(FileSource, paths)):
        partition = partitions.get(event.user_id, NOWHERE)
        yield _Logged(partition=partition, offset=offsets[partition], value=encode_event(event))
        offsets[partition] += 1


async def _applied_records(
    client: KafkaClient, topic: str, applied: Mapping[int, int]
) -> AsyncIterator[list[Record]]:
    """What is kept of the records up to the applied offset of each partition."""
    from connectors.sources.kafka import KafkaSource
    from connectors.topics import end_offsets

    ends = await asyncio.to_thread(end_offsets, client, topic)
    async with KafkaSource(client, topic, start="earliest") as source:
        async for records in source.up_to(
            {partition: min(end, applied.get(partition, -1) + 1) for partition, end in ends.items()}
        ):
            yield records


def _verdict(
    settings: Settings,
    checkpoint: Checkpoint,
    kept: Kept,
    recount: Recount,
    beginning_gone: Sequence[str],
    source: str,
    began: float,
) -> Verdict:
    expected = recount.account()
    found: Comparison = compare(
        expected,
        kept,
        settings.events.declared,
        scattered=recount.scattered,
        beginning_gone=beginning_gone,
    )
    return Verdict(
        source=source,
        checkpoint=checkpoint.manifest.number,
        checkpoint_at_ms=checkpoint.manifest.created_at_ms,
        events=expected.totals.get("events_learned", 0),
        users=len(expected.users),
        items=len(expected.items),
        differences=found.differences,
        not_compared=found.not_compared,
        seconds=round(time.monotonic() - began, 3),
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
