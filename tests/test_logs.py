"""A library that says the same seventy times a second is heard once; what we say ourselves is always heard."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from stream.logs import _QUIET, OneOfAKind, set_up_logs


class Clock:
    """Seconds that the test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def line(name: str, text: str, *rest: object, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, __file__, 1, text, rest, None)


def test_lines_of_a_kind_pass_once_a_minute_with_the_number_of_those_between() -> None:
    clock = Clock()
    kinds = OneOfAKind(clock=clock)
    assert kinds.filter(line("aiokafka", "no node %s at port %d", 1, 9092))
    for port in range(70):
        assert not kinds.filter(line("aiokafka", "no node %s at port %d", 1, port))
    clock.now += 61.0
    later = line("aiokafka", "no node %s at port %d", 1, 9092)
    assert kinds.filter(later)
    assert later.getMessage() == "no node 1 at port 9092 [and 70 times more in the last 61 s]"
    clock.now += 61.0
    alone = line("aiokafka", "no node %s at port %d", 1, 9092)
    assert kinds.filter(alone)
    assert alone.getMessage() == "no node 1 at port 9092"


@pytest.fixture
def untouched() -> Iterator[None]:
    """The levels and handlers of before come back."""
    loggers = [logging.getLogger(name) for name in (None, "aiokafka.conn", *_QUIET)]
    levels, handlers = [logger.level for logger in loggers], logging.getLogger().handlers[:]
    logging.getLogger().handlers[:] = []  # a handler that is replaced is closed, and pytest needs its own
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_clients_requests_with_their_passwords_are_not_written_at_any_level(
    untouched: None, level: str
) -> None:
    set_up_logs(level)
    assert not logging.getLogger("aiokafka.conn").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("stream").isEnabledFor(getattr(logging, level))


def test_other_words_levels_and_loggers_are_other_kinds() -> None:
    kinds = OneOfAKind(clock=Clock())
    for one in (
        line("aiokafka", "a"),
        line("aiokafka", "b"),
        line("aiokafka", "a", level=logging.WARNING),
        line("aiokafka.consumer", "a"),
        line("faust.app", "a"),
    ):
        assert kinds.filter(one)


def test_our_own_lines_always_pass() -> None:
    kinds = OneOfAKind(clock=Clock())
    assert all(kinds.filter(line("stream.worker", "restored")) for _ in range(3))
    assert all(kinds.filter(line("kafkaesque", "restored")) for _ in range(3))


def test_what_is_remembered_is_bounded() -> None:
    kinds = OneOfAKind(clock=Clock())
    words = ["".join(chr(97 + n // 26**place % 26) for place in range(3)) for n in range(5_000)]
    assert all(kinds.filter(line("aiokafka", word)) for word in words)
    assert len(kinds._told) <= 1_000
