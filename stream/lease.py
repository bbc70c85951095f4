"""Whether this worker may still speak for its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_TICKS = 10  # to the lease's length


class FencedError(Exception):
    """The worker stood still for so long that another one has its partitions; the message says for how long."""


def _boot_time_s() -> float:
    # elsewhere than on Linux the monotonic clock is the one that does not stop while the machine sleeps
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """Lapses for good when nobody has renewed it for longer than the group waits for a silent member.

    A process that was stopped, or whose machine was, goes on in the middle of what it did and does not know that
    another worker has taken over. It must not publish, commit or save what it has made before it has joined again.

    Args:
        length_s: Longest time between two renewals. Heartbeats have gone out up to a quarter of the session's
            timeout earlier, so it has to be well below that.
        clock: Seconds that pass while the machine sleeps, too.
    """

    def __init__(self, length_s: float, clock: Callable[[], float] = _boot_time_s) -> None:
        self.length_s = length_s
        self._clock = clock
        self._renewed_at = clock()
        self._stood_still_s: float | None = None

    def renew(self) -> None:
        """The process is running; when that is too late, it stays too late."""
        now = self._clock()
        if self._stood_still_s is None and now - self._renewed_at > self.length_s:
            self._stood_still_s = now - self._renewed_at
        self._renewed_at = now

    def require(self) -> None:
        """Return where the lease holds.

        Raises:
            FencedError: It has lapsed.
        """
        self.renew()
        if self._stood_still_s is not None:
            raise FencedError(
                f"The worker stood still for {self._stood_still_s:.1f} s, so another one may have its partitions."
            )

    async def keep(self) -> None:
        """Let it begin, and renew it for as long as the event loop runs.

        Raises:
            FencedError: It has lapsed.
        """
        self._renewed_at, self._stood_still_s = self._clock(), None  # nothing was this worker's before
        while True:
            self.require()
            await asyncio.sleep(self.length_s / _TICKS)
