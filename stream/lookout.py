"""What is looked at now and then, and not with each step: how far the partitions are behind, and what memory is for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted

from learners.state_changes import LiveState
from monitoring.lag import LagClock
from monitoring.metrics import Metrics
from stream.engine import Engine, EngineStoppedError

logger = logging.getLogger(__name__)

_OFFSETS_EVERY_S = 2.0
_MEMORY_EVERY_S = 30.0
_AGAIN_S = 5.0

Ends = Callable[[], Awaitable[Mapping[int, tuple[int, int]]]]
"""Of the owned partitions: the oldest offset that is kept, and the one that the next record will get."""


class Lookout:
    """Watches one worker from outside its steps.

    Args:
        engine: Whose state it is.
        metrics: Where numbers go.
        ends: Asks the broker; raises an error of the client's where that does not answer.
        every_s: Between two looks at the offsets.
    """

    def __init__(
        self, engine: Engine, metrics: Metrics, ends: Ends, *, every_s: float = _OFFSETS_EVERY_S
    ) -> None:
        self._engine, self._metrics, self._ends = engine, metrics, ends
        self._every_s = every_s
        self._clocks: dict[int, LagClock] = {}

    async def watch_lag(self) -> None:
        """Look until cancelled; one request a look, whatever the rate of events."""
        while True:
            try:
                await self.look_at_lag(time.time())
            except (KafkaError, ConsumerNotStarted, TimeoutError) as error:
                logger.debug("the ends of the partitions are not known: %r", error)
                self._metrics.lag.replace({})  # unknown, and not what it was
            await asyncio.sleep(self._every_s)

    async def look_at_lag(self, now_s: float) -> None:
        """Show the lag of the owned partitions; those that are not owned any more have none.

        Their clocks go on where they stood when they are owned again, such as after a rebalance: what was seen of a
        partition stays true, and it is followed meanwhile.
        """
        applied = self._engine.processor.states.applied
        lags, caught_up = {}, {}
        for partition, (first, end) in (await self._ends()).items():
            reached = max(applied.get(partition, -1), first - 1)
            lags[partition] = float(max(end - 1 - reached, 0))
            clock = self._clocks.setdefault(partition, LagClock(now_s))
            caught_up[partition] = clock.look(now_s, end, reached)
        self._metrics.lag.replace(lags)
        self._metrics.caught_up.replace(caught_up)

    async def watch_memory(self) -> None:
        """Look until cancelled, between two steps."""
        while True:
            sizes = await self._engine.read(lambda processor: state_bytes(processor.live_states()))
            self._metrics.state_bytes.replace(sizes)
            await asyncio.sleep(_MEMORY_EVERY_S)


async def kept_up(watch: Callable[[], Awaitable[None]], name: str, pause_s: float = _AGAIN_S) -> None:
    """Have a watch begin again where it fails, until the engine stops: one that ended would be missed by nobody."""
    while True:
        try:
            await watch()
            break
        except EngineStoppedError:
            break
        except Exception:
            logger.exception("the watch over %s failed and begins again", name)
            await asyncio.sleep(pause_s)


def state_bytes(states: Mapping[str, LiveState]) -> dict[str, float]:
    """What the arrays of each piece hold, bytes: users' histories, pending impressions and ids, and so on."""
    sizes: dict[str, float] = {}
    for state, parts in states.items():
        for name, part in parts.items():
            piece = _piece(state, name)
            sizes[piece] = sizes.get(piece, 0.0) + _size(part)
    return sizes


def _piece(state: str, name: str) -> str:
    first, nested, _ = name.partition(".")
    if state == "users":
        return {"pending": "pending", "index": "user_ids"}.get(first, "histories") if nested else "histories"
    if state != "learner":
        return {"items": "item_ids"}.get(state, state)
    if name.startswith(("neural.inputs.", "neural.outputs.")):
        return "embeddings"
    return first if nested else "learner"


def _size(part: Any) -> float:
    if isinstance(part, np.ndarray):
        return float(part.nbytes)
    return len(part.marks) * float(part.row_bytes)
