"""What the explorer page asks of a running worker. Looks are taken between two steps, one at a time, and are short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from monitoring.recent_slates import RecentSlates
from stream.engine import Engine
from stream.explorer.item_page import item_page
from stream.explorer.recent_history import RecentHistory
from stream.explorer.user_page import user_page
from stream.processor import Processor
from stream.weights_view import weights_view

SAMPLE_EVERY_S = 2.0
MOST_FOUND = 20
PATIENCE_S = 5.0

Kind = Literal["users", "items"]


class BusyError(Exception):
    """The state could not be looked at within `PATIENCE_S`: a long step, a recovery, or the start."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found, None where nothing is known, and how long the stream stood still for it."""

    found: dict[str, Any] | None
    held_s: float = 0.0


@dataclass(slots=True)
class Explorer:
    """Answers for one worker.

    Args:
        engine: Whose state it is.
        summary: Quality, rates and findings; called in the engine's thread.
        slates: The latest slates of this worker.
        about: Which worker this is, and what it owns at this moment.
        history: The last minutes.
    """

    engine: Engine
    summary: Callable[[], dict[str, Any]]
    slates: RecentSlates
    about: Callable[[], dict[str, Any]]
    history: RecentHistory = field(default_factory=RecentHistory)
    _latest: dict[str, Any] | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _searching: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def watch(self) -> None:
        """Take a sample every two seconds until cancelled."""
        while True:
            await self.sample(time.time_ns() // 1_000_000)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def sample(self, now_ms: int) -> None:
        """Take one."""

        def look(processor: Processor) -> dict[str, Any]:
            return {
                "totals": processor.totals_dict(),
                **processor.sizes(),
                "pending_impressions": processor.states.pending,
                "quality": self.summary(),
            }

        self._latest = await self.engine.read(look)
        self.history.add(now_ms, self._latest["totals"]["events_learned"], self._latest["quality"])

    async def overview(self, since_ms: int = 0) -> Seen:
        """The latest sample, and the figures of those after `since_ms`; nothing is held for it."""
        if self._latest is None:
            raise BusyError
        return Seen(
            {
                "worker": self.about(),
                "every_s": SAMPLE_EVERY_S,
                **self._latest,
                "history": self.history.since(since_ms),
            }
        )

    async def find(self, kind: Kind, prefix: str) -> Seen:
        """The latest users or items whose ids begin with `prefix`, one that is called so before all others.

        All ids may have to be looked through for it, so that happens beside the stream.
        """
        processor = self.engine.processor
        index = processor.states.index if kind == "users" else processor.pipeline.items
        async with _in_turn(self._searching):
            found = await asyncio.to_thread(index.latest, prefix, MOST_FOUND)
        if prefix in index:
            found = [prefix, *(id_ for id_ in found if id_ != prefix)][:MOST_FOUND]
        return Seen({"kind": kind, "prefix": prefix, "found": found, "of": len(index)})

    async def user(self, user_id: str) -> Seen:
        """One user: history, and the slate of this moment with its reasons."""
        return await self._look(lambda processor: user_page(processor, user_id))

    async def item(self, item_id: str) -> Seen:
        """One item: counts, what goes with it, and where it was recommended lately."""
        seen = await self._look(lambda processor: item_page(processor, item_id))
        if seen.found is not None:
            seen.found["recommended"] = await asyncio.to_thread(self.slates.of_item, item_id, MOST_FOUND)
        return seen

    async def learning(self) -> Seen:
        """Why the tasks weigh what they weigh, and the latest drift findings."""
        return await self._look(
            lambda processor: {
                **weights_view(processor.pipeline.learner),
                "drift": self.summary()["drift"],
            }
        )

    async def _look(self, what: Callable[[Processor], dict[str, Any] | None]) -> Seen:
        def timed(processor: Processor) -> Seen:
            began = time.perf_counter()
            found = what(processor)
            return Seen(found, time.perf_counter() - began)

        async with _in_turn(self._looking):
            return await self.engine.read(timed)


@asynccontextmanager
async def _in_turn(turn: asyncio.Lock) -> AsyncIterator[None]:
    """One at a time, so that many who ask do not hold the stream longer at once than one does."""
    try:
        async with asyncio.timeout(PATIENCE_S), turn:
            yield
    except TimeoutError as error:
        raise BusyError from error
