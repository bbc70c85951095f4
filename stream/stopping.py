"""Faust's worker, which ends within a time once it is told to stop, whatever does not answer.

Stopping gracefully waits for the broker: for results to be delivered, and for the last commit. While no broker answers
that would never end. Nothing is lost by leaving: what is not in the last checkpoint is not acknowledged, and worked
again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import faust

logger = logging.getLogger(__name__)


class StoppableWorker(faust.Worker):
    """Stops on SIGINT and SIGTERM, and ends the process where that takes too long.

    Args:
        within_s: Seconds from the signal.
        told: Called at each signal.
        given: As for `faust.Worker`.
    """

    def __init__(self, *services: Any, within_s: float, told: Callable[[], None], **given: Any) -> None:
        super().__init__(*services, **given)
        self._within_s, self._told = within_s, told
        self._leaving: threading.Timer | None = None

    def stop_by_itself(self) -> None:
        """Stop without a signal, for as long as it takes: nobody waits for it."""
        super()._schedule_shutdown(signal.SIGTERM)

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self._told()
        if self._leaving is None:
            self._leaving = threading.Timer(self._within_s, self._leave)
            self._leaving.daemon = True
            self._leaving.start()
        super()._schedule_shutdown(signal)

    def _leave(self) -> None:
        logger.error(
            "not stopped within %.0f s (worker.stop_within_s): no broker answers, or the last checkpoint takes longer. "
            "The worker ends as if it were killed: what is not in a checkpoint is worked again at the next start.",
            self._within_s,
        )
        logging.shutdown()
        os._exit(1)
