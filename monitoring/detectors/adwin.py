"""ADWIN (Bifet and Gavaldà, SDM 2007): a window that is cut where its two parts differ."""

from __future__ import annotations

import logging
import struct
from importlib.metadata import version

from monitoring.detectors.detector import Change

logger = logging.getLogger(__name__)

_LIBRARY = version("river").encode()
_HEAD = struct.Struct(
    "<B?"
)  # length of the library's version, and whether there was a change: there never is
_SPAN = 12.0  # deviations


class Adwin:
    """Cuts its window as soon as an older and a newer part of it have means too far apart to be one.

    It expects values in [0, 1], so six deviations to either side are squeezed into that. What is saved is the library's
    own record of its buckets: numbers in a row, exact, in which no code can hide. Their layout is not promised from one
    version of the library to the next, so the version stands before them.

    Args:
        run_length: Values between two false alarms, on average at least, of a signal that does not change.
    """

    follows = False

    def __init__(self, run_length: float) -> None:
        self._delta = min(0.5, 1.0 / run_length)
        self._begin()

    def _begin(self) -> None:
        from river.drift import ADWIN  # more than a second, and most commands watch nothing

        self._adwin = ADWIN(delta=self._delta)  # type: ignore[no-untyped-call]

    def update(self, value: float) -> Change | None:
        """See `Detector`."""
        before = float(self._adwin.estimation)
        self._adwin.update(min(max(0.5 + value / _SPAN, 0.0), 1.0))  # type: ignore[no-untyped-call]
        if not self._adwin.drift_detected:
            return None
        change = Change(float(self._adwin.estimation) > before, int(self._adwin.width))
        self._begin()  # zero is where the signal is now
        return change

    def saved(self) -> bytes:
        """See `Detector`; some 250 bytes to 2 kB."""
        state: bytes = self._adwin._helper.__getstate__()
        return _HEAD.pack(len(_LIBRARY), self._adwin.drift_detected) + _LIBRARY + state

    def load(self, saved: bytes) -> None:
        """See `Detector`."""
        if not saved:
            return
        length, changed = _HEAD.unpack_from(saved)
        library, state = saved[_HEAD.size : _HEAD.size + length], saved[_HEAD.size + length :]
        if library != _LIBRARY:
            logger.warning(
                "what a drift detector had learned is of another kind of detector, or of another river than %s: it "
                "begins anew",
                _LIBRARY.decode(),
            )
            return
        self._adwin._helper.__setstate__(state)
        self._adwin._drift_detected = changed
