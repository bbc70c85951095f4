"""Simulated time: it runs faster than the wall clock from a start in the past, and never overtakes it."""

from __future__ import annotations

from collections.abc import Callable

DEFAULT_SCALE = 60.0
_PAST_MS = 7 * 24 * 3_600 * 1_000


class SimulatedClock:
    """`start + scale * elapsed`, but never later than the wall clock: events of the future would be absurd.

    Once it has caught up with the wall clock it runs at its pace.

    Args:
        wall_ms: Says the real time, UTC milliseconds.
        scale: Simulated seconds in a real second.
        start_ms: Simulated time at the beginning, UTC milliseconds; a week ago when None.
    """

    def __init__(
        self, wall_ms: Callable[[], int], *, scale: float = DEFAULT_SCALE, start_ms: int | None = None
    ) -> None:
        if not scale > 0.0:
            raise ValueError(f"scale is {scale!r}: it must be more than 0")
        self._wall_ms = wall_ms
        self._scale = scale
        self._wall_start_ms = wall_ms()
        self.start_ms = self._wall_start_ms - _PAST_MS if start_ms is None else start_ms

    @classmethod
    def ending_now(cls, wall_ms: Callable[[], int], *, scale: float, duration_s: float) -> SimulatedClock:
        """A clock that reaches the present moment after `duration_s` real seconds."""
        return cls(wall_ms, scale=scale, start_ms=wall_ms() - round(1_000.0 * scale * duration_s))

    def now_ms(self) -> int:
        """Simulated time, UTC milliseconds."""
        wall_ms = self._wall_ms()
        return min(wall_ms, self.start_ms + round(self._scale * (wall_ms - self._wall_start_ms)))
