"""What it costs in quality that several workers share a log: each learns from its own users, and counts everybody's.

In one process, without a broker: every member follows all events, foresees and learns from those of its own users, and
tells the others every so many events what it learned, as workers do. The ranks of all of them together are compared
with those of one worker alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.logs import read_choices, settings_for
from monitoring.ranking_quality import ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_processor, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import Ints, apply_protocol
from stream.evaluation.run import UNRANKED
from stream.pipeline import Share
from stream.processor import Processor

_QUICK_EVENTS = 6_000
_SIZES = (1, 2, 4)
_NEVER = 0
_TOLD_EVERY = (_NEVER, 100, 1_000)  # events of all


class _Record(NamedTuple):
    """Of the model topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def measure(quick: bool, logs: Sequence[Path], only: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One row for each log, number of workers, and number of events from one telling to the next.

    Args:
        quick: Only the first 6,000 events of each log.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
        only: Numbers of events between tellings; 0 for never.
    """
    if unknown := set(only) - {str(events) for events in _TOLD_EVERY}:
        raise click.UsageError(
            f"Nobody tells every {', '.join(sorted(unknown))} events; {_TOLD_EVERY} are tried."
        )
    tried = [events for events in _TOLD_EVERY if not only or str(events) in only]
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else None)
        alone = 0.0
        for workers in _SIZES:
            for told_every in tried if workers > 1 else (_NEVER,):
                quality = ranking_quality(play(log, workers, told_every))
                alone = alone or quality.hr10
                rows.append(
                    {
                        "log": path.name,
                        "workers": workers,
                        "events between tellings": told_every or "never",
                        "hr10": quality.hr10,
                        "mrr20": quality.mrr20,
                        "of one worker's hr10": quality.hr10 / alone,
                    }
                )
    return rows


def play(log: EvaluationLog, workers: int, told_every: int) -> Ints:
    """Ranks of the scored events, each by the worker that owns its user."""
    settings = settings_for(log)
    protocol = apply_protocol(log.events, choice_types(settings))
    members = [build_processor(settings) for _ in range(workers)]
    for number, member in enumerate(members if told_every else ()):
        member.share("", f"worker {number}")
    owner = np.array([zlib.crc32(event.user_id.encode()) % workers for event in log.events])
    ranks = np.full(len(protocol), UNRANKED, np.int64)
    topic = 0
    told_at = 0
    for begin, end in pairwise(protocol.moments.tolist()):
        for number, member in enumerate(members):
            own = owner[begin:end] == number
            step = member.pipeline.step(
                log.events[begin:end],
                member.states,
                log.events[begin].occurred_at_ms,
                slates=False,
                simultaneous=True,
                share=Share(own=own, served=own),
            )
            ranks[begin + step.ranked_events] = step.ranks
        if told_every and end - told_at >= told_every:
            topic, told_at = _tell(members, topic), end
    return ranks[protocol.scored]


def _tell(members: Sequence[Processor], offset: int) -> int:
    """Everybody tells, and then everybody hears; returns the topic's next offset."""
    told = [member.tell(1.0 / len(members)) for member in members]
    values = [record for update in told if update is not None for record in update.records()]
    records = [_Record("model", 0, offset + n, None, value) for n, value in enumerate(values)]
    for member in members:
        member.merge(records)
    return offset + len(records)
