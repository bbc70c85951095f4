"""The figures of the last minutes, in bounded memory: a page that is opened now shows how it came to this."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

SAMPLES = 300


class RecentHistory:
    """The latest samples of a worker's figures.

    Args:
        samples: How many are kept.
    """

    def __init__(self, samples: int = SAMPLES) -> None:
        self._samples: deque[dict[str, Any]] = deque(maxlen=samples)
        self._before: tuple[int, int] | None = None

    def add(self, at_ms: int, events: int, quality: Mapping[str, Any]) -> None:
        """Take a sample.

        Args:
            at_ms: When, UTC milliseconds.
            events: Events that were learned so far; a recovery may take it back.
            quality: What `WorkerObserver.summary` says. Freshness is of the latest results, so it is nobody's where
                there were no new events.
        """
        before_ms, before = self._before or (at_ms, events)
        new, elapsed_s = max(events - before, 0), (at_ms - before_ms) / 1000.0
        self._before = (at_ms, events)
        freshness = quality["freshness_ms"] if new else {"p50": None, "p99": None}
        self._samples.append(
            {
                "at_ms": at_ms,
                "events_per_s": round(new / elapsed_s, 1) if elapsed_s > 0.0 else None,
                "freshness_p50_ms": freshness["p50"],
                "freshness_p99_ms": freshness["p99"],
                "hr10": quality["hr10"],
                "weights": {name: task["weight"] for name, task in quality["tasks"].items()},
            }
        )

    def since(self, at_ms: int) -> list[dict[str, Any]]:
        """The samples after that time, oldest first."""
        return [sample for sample in self._samples if sample["at_ms"] > at_ms]
