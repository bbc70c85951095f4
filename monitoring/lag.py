"""How long ago everything that has arrived by then was applied: lag in time, from offsets alone."""

from __future__ import annotations

from collections import deque

_SAMPLES = 1_000


class LagClock:
    """Of one partition: up to which moment all that had arrived is applied.

    The end of a partition is looked at now and then. Once all up to an end are applied, whatever had arrived when it
    was looked at is; so the moment found is early by two looks at most, where events never cease, and the lag never
    looks smaller than it is, but for what was there before the first look. Of more looks than are remembered every
    other one is forgotten, so the moment of a worker far behind is early by a five-hundredth of the lag at most.

    Args:
        began_at: The moment of the first look.
    """

    def __init__(self, began_at: float) -> None:
        self._caught_up_at = began_at
        self._ends: deque[tuple[float, int]] = deque()

    def look(self, at: float, end: int, applied: int) -> float:
        """Take a look.

        Args:
            at: When `end` was asked for.
            end: The offset that the next record will get.
            applied: The offset of the last applied record, -1 for none.

        Returns:
            Up to when everything that had arrived is applied.
        """
        self._ends.append((at, end))
        if len(self._ends) > _SAMPLES:
            self._ends = deque(list(self._ends)[::2])
        while self._ends and self._ends[0][1] <= applied + 1:
            self._caught_up_at = self._ends.popleft()[0]
        return self._caught_up_at
