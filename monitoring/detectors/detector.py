"""What a drift detector does, whatever its method."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Change(NamedTuple):
    """The mean of a signal is another one.

    Attributes:
        up: Whether it rose.
        values: About how many values ago it did.
    """

    up: bool
    values: int


class Detector(Protocol):
    """Watches a signal of mean 0 and deviation 1 (`monitoring.signals` makes it so); begins anew after each change.

    Attributes:
        follows: Whether zero is what is usual by now, which follows the signal slowly; else what was usual when it
            began, for a method that remembers what was.
    """

    follows: bool

    def update(self, value: float) -> Change | None:
        """Take a value; returns the change that is certain by now."""
        ...

    def saved(self) -> bytes:
        """Everything that it remembers."""
        ...

    def load(self, saved: bytes) -> None:
        """The inverse of `saved`. Nothing, and what another version wrote, leave it as it is."""
        ...
