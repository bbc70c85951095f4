"""Whether the events topic is still there, and still the one that the worker joined its group for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from connectors.kafka_admin import BrokerUnreachableError
from connectors.topics import TopicError, TopicShape

logger = logging.getLogger(__name__)


class TopicWatch:
    """Asks the broker for the topic's shape.

    A consumer may notice neither that its topic is gone (it waits), nor that another one of the same name has taken
    its place (it goes on at offsets that mean nothing there), nor that partitions were added (a member that came
    back as a static one has the assignment of then, and only the group's leader looks for new partitions).

    Args:
        look: Asks the broker; blocking.
        shape: The topic that is read.
        every_s: Time between two looks.
    """

    def __init__(self, look: Callable[[], TopicShape], shape: TopicShape, every_s: float = 10.0) -> None:
        self._look = look
        self._shape = shape
        self._every_s = every_s
        self._hurry = asyncio.Event()
        self.problem: str | None = None
        """None, or what is wrong, as of the last look."""

    def hurry(self) -> None:
        """Look now: something has changed."""
        self._hurry.set()

    async def changed(self) -> str:
        """Return when the topic is another one or has other partitions, and say which."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._every_s)
            self._hurry.clear()
            try:
                found = await asyncio.to_thread(self._look)
            except (BrokerUnreachableError, TopicError) as error:
                self._tell(str(error))
            except Exception as error:  # a watch that ended would be missed by nobody
                self._tell(f"The events topic cannot be looked at: {error!r}.")
            else:
                self._tell(None)
                if found.id != self._shape.id:
                    return "was made anew"
                if found.partitions != self._shape.partitions:
                    return f"has {found.partitions} partitions, not {self._shape.partitions} any more"

    def _tell(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            logger.error("%s The worker waits and goes on by itself.", problem)
        elif problem is None and self.problem is not None:
            logger.warning("the broker and the events topic are there again")
        self.problem = problem
