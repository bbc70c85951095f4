"""Ctrl-C and SIGTERM as a wish to stop, so that a command can finish cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """An event that is set by the first SIGINT or SIGTERM; a second one interrupts as usual.

    It is to be used inside a running event loop. Where the platform cannot do it (Windows), the signals
    interrupt at once.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    handled: list[signal.Signals] = []

    def restore() -> None:
        while handled:
            loop.remove_signal_handler(handled.pop())

    def on_signal() -> None:
        stop.set()
        restore()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, on_signal)
        except NotImplementedError:
            break
        handled.append(number)
    try:
        yield stop
    finally:
        restore()
