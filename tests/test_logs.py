"""Lines for people and for machines; a library that says the same seventy times a second is heard once."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

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


def test_our_own_lines_pass_until_there_are_too_many_to_read() -> None:
    clock = Clock()
    kinds = OneOfAKind(clock=clock)
    passed = [kinds.filter(line("stream.recovery", "refused: %s", f"record {n}")) for n in range(50)]
    assert passed == [True] * 20 + [False] * 30
    assert kinds.filter(line("stream.recovery", "went on")), "another line is another kind"
    clock.now += 61.0
    later = line("stream.recovery", "refused: %s", "record 51")
    assert kinds.filter(later)
    assert later.getMessage() == "refused: record 51 [and 30 times more in the last 61 s]"
    clock.now += 61.0
    alone = line("stream.recovery", "refused: %s", "record 52")
    assert kinds.filter(alone)
    assert alone.getMessage() == "refused: record 52"


# --- the two formats


def written(capsys: pytest.CaptureFixture[str], log_format: Any, **facts: Any) -> str:
    """A line with these facts, as it stands on stderr."""
    set_up_logs("INFO", log_format, "here-7")
    logging.getLogger("stream.worker").info("taking %s", "over", extra=facts)
    return capsys.readouterr().err


def test_a_line_for_people_has_its_facts_behind_it(
    untouched: None, capsys: pytest.CaptureFixture[str]
) -> None:
    said = written(capsys, "text", partitions=[0, 2], applied={"0": 7}, offset=4711, why="it is so")
    at, _, rest = said.partition(" ")
    assert datetime.fromisoformat(at).tzinfo is not None
    assert rest == (
        "INFO stream.worker taking over partitions=[0,2] applied={0:7} offset=4711 "
        'why="it is so" worker=here-7\n'
    )


def test_nothing_in_a_fact_can_end_its_line(untouched: None, capsys: pytest.CaptureFixture[str]) -> None:
    said = written(capsys, "text", topic='a\n2026 ERROR "forged"\u202e', none="")
    assert said.count("\n") == 1
    assert 'topic="a\\n2026 ERROR \\"forged\\"\\u202e" none=""' in said


def test_a_line_for_machines_is_one_object(untouched: None, capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(written(capsys, "json", partitions=[0, 2], path=Path("/state")))
    assert datetime.fromisoformat(said.pop("time")).tzinfo is not None
    assert said == {
        "level": "info",
        "logger": "stream.worker",
        "message": "taking over",
        "partitions": [0, 2],
        "path": "/state",
        "worker": "here-7",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_is_part_of_what_is_said(
    untouched: None, capsys: pytest.CaptureFixture[str], log_format: Any
) -> None:
    set_up_logs("INFO", log_format, "here-7")
    try:
        raise ValueError("a number is missing")
    except ValueError:
        logging.getLogger("stream.engine").exception("the engine failed")
    said = capsys.readouterr().err
    assert "the engine failed" in said
    assert "ValueError: a number is missing" in said
    if log_format == "json":
        assert "Traceback" in json.loads(said)["exception"]


def test_libraries_are_heard_only_where_somebody_is_needed(
    untouched: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs("INFO", "json", "")
    logging.getLogger("aiokafka.consumer").info("joined")
    logging.getLogger("aiokafka.consumer").error("gone")
    [said] = capsys.readouterr().err.splitlines()
    assert json.loads(said)["message"] == "gone"
    assert "worker" not in json.loads(said)


def test_what_is_remembered_is_bounded() -> None:
    kinds = OneOfAKind(clock=Clock())
    words = ["".join(chr(97 + n // 26**place % 26) for place in range(3)) for n in range(5_000)]
    assert all(kinds.filter(line("aiokafka", word)) for word in words)
    assert len(kinds._told) <= 1_000


def test_who_wants_errors_alone_hears_no_library_s_warnings(
    untouched: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs("ERROR")
    for name in ("aiokafka.cluster", "stream.engine"):
        logging.getLogger(name).warning("slow")
        logging.getLogger(name).error("gone")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["gone", "gone"]
