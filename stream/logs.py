"""Log lines of a worker, to stderr: one a meaningful thing, what it is about as `key=value` behind it, or all as JSON.

Who logs says it in words and hands over the facts as `extra`: `logger.info("assigned", extra={"partitions": [0]})`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import structlog
from structlog.typing import EventDict

LogFormat = Literal["text", "json"]

_QUIET = ("faust", "mode", "aiokafka", "kafka", "aiohttp", "asyncio")
_WRITES_PASSWORDS = "aiokafka.conn"  # its DEBUG lines hold every request, those of SASL too
_NUMBER = re.compile(r"\d+")
_MOST_KINDS = 1_000
_OUR_MOST = 20


def set_up_logs(level: str, log_format: LogFormat = "text", worker: str = "") -> None:
    """Send this project's lines of `level` and above to stderr; of the libraries only what needs somebody.

    Args:
        level: Its name.
        log_format: Lines for people, with `key=value`, or one JSON object a line.
        worker: Which one of several this is: part of every line where it is given.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format, worker))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger(_WRITES_PASSWORDS).setLevel(logging.INFO)
    if level != "DEBUG":
        for name in _QUIET:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
        handler.addFilter(OneOfAKind())


class OneOfAKind(logging.Filter):
    """Lets few lines of a kind through, and the next one a while later, with the number of those between.

    While a broker is away its client says so seventy times a second. Lines of a library are of one kind if they come
    from one logger and differ in nothing but numbers, and one passes. Our own are if they have one template, and twenty
    pass: a record that the learner refuses is worth a line, until there are too many to read.

    Args:
        every_s: How long a kind is held back, seconds.
        clock: Seconds that never go back.
    """

    def __init__(self, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._told: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        foreign = record.name.partition(".")[0] in _QUIET
        said = record.getMessage() if foreign else str(record.msg)
        kind = (record.name, record.levelno, _NUMBER.sub("0", said))
        most = 1 if foreign else _OUR_MOST
        now = self._clock()
        since, count = self._told.get(kind, (-self._every_s, 0))
        if now - since < self._every_s:
            self._told[kind] = (since, count + 1)
            return count < most
        if kind not in self._told and len(self._told) >= _MOST_KINDS:
            self._told.clear()
        self._told[kind] = (now, 1)
        if count > most:
            record.msg = (
                f"{record.getMessage()} [and {count - most} times more in the last {now - since:.0f} s]"
            )
            record.args = ()
        return True


def _formatter(log_format: LogFormat, worker: str) -> logging.Formatter:
    def named(_: Any, __: str, line: EventDict) -> EventDict:
        return {**line, "worker": worker} if worker else line

    processors: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        named,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    if log_format == "json":
        processors += [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        processors.append(_text)
    return structlog.stdlib.ProcessorFormatter(processors=processors)


def _text(_: Any, __: str, line: EventDict) -> str:
    """Time, level, logger and sentence; the facts; a traceback below."""
    head = [line.pop(name) for name in ("time", "level", "logger", "event")]
    trace = line.pop("exception", None)
    head[1] = str(head[1]).upper()
    facts = [f"{name}={_fact(value)}" for name, value in line.items()]
    written = " ".join(map(str, [*head, *facts])).replace("\n", "\\n")
    return f"{written}\n{trace}" if trace else written


def _fact(value: Any) -> str:
    """Lists without blanks; texts quoted where they have blanks or quotes, or could end the line or turn it around."""
    if isinstance(value, list | tuple):
        text = f"[{','.join(map(str, value))}]"
    elif isinstance(value, dict):
        text = f"{{{','.join(f'{key}:{one}' for key, one in value.items())}}}"
    else:
        text = str(value)
    plain = text and text.isprintable() and not set(text) & set(' "=')
    return text if plain else json.dumps(text)
