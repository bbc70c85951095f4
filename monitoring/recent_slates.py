"""The latest slates, in bounded memory: where an item was recommended just now."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class MadeSlate(NamedTuple):
    """A slate that was made: for whom, when (UTC milliseconds), and of which items by which sources, best first."""

    user_id: str
    at_ms: int
    item_ids: Sequence[str]
    sources: Sequence[str]


class RecentSlates:
    """The latest slates of a worker. Told in one thread and asked in others.

    Args:
        slates: How many are kept.
    """

    def __init__(self, slates: int = 2_000) -> None:
        self._slates: deque[MadeSlate] = deque(maxlen=slates)

    def add(self, slates: Iterable[MadeSlate]) -> None:
        """Take slates, in their order."""
        self._slates.extend(slates)

    def of_item(self, item_id: str, most: int) -> dict[str, Any]:
        """Where an item stands.

        Returns:
            `slates` (how many were looked at), `places` (in how many of them it is), `by_rank` and `by_source` (how
            often), and for at most `most` different users the latest: `user_id`, `rank`, `source`, `at_ms`.
        """
        looked_at = self._slates.copy()
        latest: list[dict[str, Any]] = []
        by_rank: dict[int, int] = {}
        by_source: dict[str, int] = {}
        places = 0
        for slate in reversed(looked_at):
            if item_id not in slate.item_ids:
                continue
            rank = slate.item_ids.index(item_id)
            source = slate.sources[rank]
            places += 1
            by_rank[rank] = by_rank.get(rank, 0) + 1
            by_source[source] = by_source.get(source, 0) + 1
            if len(latest) < most and all(each["user_id"] != slate.user_id for each in latest):
                latest.append(
                    {"user_id": slate.user_id, "rank": rank, "source": source, "at_ms": slate.at_ms}
                )
        return {
            "slates": len(looked_at),
            "places": places,
            "by_rank": dict(sorted(by_rank.items())),
            "by_source": dict(sorted(by_source.items(), key=lambda each: -each[1])),
            "latest": latest,
        }
