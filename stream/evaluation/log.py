"""The log of an evaluation: several files in one order of time, only the wanted event types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import msgspec

from connectors.event import Event
from connectors.event_types import canonical_type
from connectors.sources.files import FileSource, LogError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationLog:
    """The events of one evaluation, all in memory.

    Attributes:
        name: Of the log, or of all of them joined by `+`.
        events: In the order of time; events of equal time in the order of the files.
        notices: What was done to the files, in sentences.
    """

    name: str
    events: tuple[Event, ...]
    notices: tuple[str, ...]

    @property
    def types(self) -> Counter[str]:
        """How many events there are of each type."""
        return Counter(event.event_type for event in self.events)


def read_log(
    paths: Sequence[Path], *, types: frozenset[str] | None = None, limit: int | None = None
) -> EvaluationLog:
    """Read and merge logs.

    Args:
        paths: Files or folders as `FileSource` reads them.
        types: Event types that are read, aliases allowed; None for all.
        limit: Keep only so many events, the earliest.

    Raises:
        LogError: A log that cannot be read, or nothing is left to evaluate.
    """
    wanted = None if types is None else frozenset(map(canonical_type, types))
    sources = [FileSource(path) for path in paths]
    logs = [_read(source, wanted) for source in sources]
    notices = [
        f"{source.name} is not in the order of time and was sorted."
        for source, events in zip(sources, logs, strict=True)
        if not _is_sorted(events)
    ]
    # Python's sort is stable: events of equal time keep the order of their files.
    merged = sorted(chain.from_iterable(logs), key=lambda event: event.occurred_at_ms)
    if not merged:
        which = "" if wanted is None else f" of the types {', '.join(sorted(wanted))}"
        raise LogError(f"There are no events{which} in {', '.join(map(str, paths))}.")
    return EvaluationLog(
        name="+".join(source.name for source in sources),
        events=tuple(merged[:limit]),
        notices=tuple(notices),
    )


def _read(source: FileSource, wanted: frozenset[str] | None) -> list[Event]:
    events = []
    for event in source:
        event_type = canonical_type(event.event_type)
        if wanted is not None and event_type not in wanted:
            continue
        events.append(
            event if event_type == event.event_type else msgspec.structs.replace(event, event_type=event_type)
        )
    return events


def _is_sorted(events: Sequence[Event]) -> bool:
    return all(one.occurred_at_ms <= other.occurred_at_ms for one, other in pairwise(events))
