"""Log lines of a worker: one a meaningful thing, `key=value`, to stderr."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_QUIET = ("faust", "mode", "aiokafka", "kafka", "aiohttp", "asyncio")
_WRITES_PASSWORDS = "aiokafka.conn"  # its DEBUG lines hold every request, those of SASL too
_NUMBER = re.compile(r"\d+")
_MOST_KINDS = 1_000


def set_up_logs(level: str) -> None:
    """Send this project's lines of `level` and above to stderr; of the libraries only what needs somebody."""
    logging.basicConfig(stream=sys.stderr, format=_FORMAT, level=level, force=True)
    logging.getLogger(_WRITES_PASSWORDS).setLevel(logging.INFO)
    if level != "DEBUG":
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
        for handler in logging.getLogger().handlers:
            handler.addFilter(OneOfAKind())


class OneOfAKind(logging.Filter):
    """Lets one line of a kind through, and the next one a while later, with the number of those between.

    While a broker is away its client says so seventy times a second. Lines of a kind come from one of the libraries'
    loggers and differ in nothing but numbers. Our own lines all pass.

    Args:
        every_s: Time between two lines of a kind, seconds.
        clock: Seconds that never go back.
    """

    def __init__(self, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name.partition(".")[0] not in _QUIET:
            return True
        kind = (record.name, record.levelno, _NUMBER.sub("0", record.getMessage()))
        now = self._clock()
        told, held_back = self._told.get(kind, (-self._every_s, 0))
        if now - told < self._every_s:
            self._told[kind] = (told, held_back + 1)
            return False
        if kind not in self._told and len(self._told) >= _MOST_KINDS:
            self._told.clear()
        self._told[kind] = (now, 0)
        if held_back:
            record.msg = f"{record.getMessage()} [and {held_back} times more in the last {now - told:.0f} s]"
            record.args = ()
        return True
