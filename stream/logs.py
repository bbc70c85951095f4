"""Log lines of a worker: one a meaningful thing, `key=value`, to stderr."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_QUIET = ("faust", "mode", "aiokafka", "kafka", "aiohttp", "asyncio")


def set_up_logs(level: str) -> None:
    """Send this project's lines of `level` and above to stderr; of the libraries only what needs somebody."""
    logging.basicConfig(stream=sys.stderr, format=_FORMAT, level=level, force=True)
    if level != "DEBUG":
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
