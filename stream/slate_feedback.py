"""What events say of the places of slates: that they were seen, answered, or liked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from connectors.event import Event
from monitoring.slate_answers import CLICKED, SATISFIED, SHOWN
from stream.evaluation.satisfaction import satisfies
from stream.slate_ids import number_of

_IMPRESSION = "impression"


def feedback(events: Iterable[Event]) -> Iterator[tuple[int, int, int]]:
    """Slate, zero-based place, and what became of it, of those events that name a slate of ours and a place."""
    for event in events:
        if event.recommendation_id is not None and event.position is not None:
            slate = number_of(event.recommendation_id)
            if slate is not None:
                yield slate, event.position, _became(event)


def _became(event: Event) -> int:
    if event.event_type == _IMPRESSION:
        return SHOWN
    return SATISFIED if satisfies(event) else CLICKED
