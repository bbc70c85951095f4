"""One ADWIN (Bifet and Gavaldà, 2007) that can be saved and taken up again."""

from __future__ import annotations

import logging
import struct
from importlib.metadata import version

logger = logging.getLogger(__name__)

_LIBRARY = version("river").encode()
_HEAD = struct.Struct("<B?")  # length of the library's version, whether the last value was a change


class Detector:
    """Tells when the mean of a signal in [0, 1] changes.

    What is saved is the library's own record of its buckets: numbers in a row, exact, in which no code can hide. Their
    layout is not promised from one version of the library to the next, so the version stands before them.

    Args:
        delta: Confidence: smaller is calmer.
    """

    def __init__(self, delta: float) -> None:
        from river.drift import ADWIN  # more than a second, and most commands watch nothing

        self._adwin = ADWIN(delta=delta)  # type: ignore[no-untyped-call]

    def update(self, value: float) -> tuple[float, float] | None:
        """Take a value; returns the means before and after where it changed."""
        before = float(self._adwin.estimation)
        self._adwin.update(value)  # type: ignore[no-untyped-call]
        return (before, float(self._adwin.estimation)) if self._adwin.drift_detected else None

    def saved(self) -> bytes:
        """Everything that it remembers, some 250 bytes to 2 kB."""
        state: bytes = self._adwin._helper.__getstate__()
        return _HEAD.pack(len(_LIBRARY), self._adwin.drift_detected) + _LIBRARY + state

    def load(self, saved: bytes) -> None:
        """The inverse of `saved`. What another version of the library wrote, and nothing, leave it as it is."""
        if not saved:
            return
        length, changed = _HEAD.unpack_from(saved)
        library, state = saved[_HEAD.size : _HEAD.size + length], saved[_HEAD.size + length :]
        if library != _LIBRARY:
            logger.warning(
                "a drift detector was saved by river %s, this is %s: it begins anew",
                library.decode(errors="replace"),
                _LIBRARY.decode(),
            )
            return
        self._adwin._helper.__setstate__(state)
        self._adwin._drift_detected = changed
