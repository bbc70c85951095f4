"""A log on disk as a source: csv, jsonl, parquet, or a folder of `events.csv.gz` with its context beside it."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from connectors.event import Event
from connectors.sources.rows import KNOWN, RowError, event_of_row, missing_columns

EVENTS_FILE = "events.csv.gz"
CONTEXT_FILE = "context.csv.gz"
_SESSION = "session_id"
SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_BLOCK_BYTES = 1 << 20
_PARQUET_ROWS = 8_192

_Row = tuple[int, Mapping[str, object]]
"""Where a row ends (line of a text file, number of a parquet row, from 1), and its columns."""


class LogError(Exception):
    """A log that cannot be read; the message names the file, the line and what is wrong.

    A log on disk is its owner's file: a malformed row is refused, never skipped.
    """


class FileSource:
    """The events of a log, read as a stream: at most a few thousand rows are in memory.

    An event without an id gets `<log name>#<row number>`, so rows that are exact repeats stay separate events,
    and reading the log again gives the same ids. Each iteration opens the log again.

    Args:
        path: A file whose name ends in one of `SUFFIXES`, or a folder that holds `events.csv.gz`; there,
            `context.csv.gz` has one row for each event, in the same order: its `session_id` is the event's, and its
            other columns are the event's context.

    Raises:
        LogError: There is nothing at `path`, or its name does not tell the format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._context: Path | None = None
        self._events = path
        if path.is_dir():
            self._events = path / EVENTS_FILE
            if not self._events.is_file():
                raise LogError(f"The folder {path} has no {EVENTS_FILE}.")
            if (path / CONTEXT_FILE).is_file():
                self._context = path / CONTEXT_FILE
        elif not path.is_file():
            raise LogError(f"There is no log at {path}.")
        self._suffix = next((suffix for suffix in SUFFIXES if self._events.name.endswith(suffix)), "")
        if not self._suffix:
            raise LogError(f"{path} must be a folder or end in one of {', '.join(SUFFIXES)}.")

    @property
    def name(self) -> str:
        """The log's name: the folder's, or the file's without its suffix."""
        return self.path.resolve().name.removesuffix(self._suffix)

    def count(self) -> int:
        """How many rows there are, for a progress bar: exact but for line breaks inside quotes and blank lines.

        Raises:
            LogError: The file cannot be read.
        """
        with _explained(self._events):
            if self._suffix == ".parquet":
                return _parquet(self._events).metadata.num_rows  # type: ignore[no-any-return]
            lines, last = 0, b"\n"
            with _binary(self._events) as file:
                while block := file.read(_BLOCK_BYTES):
                    lines += block.count(b"\n")
                    last = block[-1:]
            lines += last != b"\n"
            return max(0, lines - 1) if self._suffix.startswith(".csv") else lines

    def __iter__(self) -> Iterator[Event]:
        """The events in the log's order.

        Raises:
            LogError: At the first row that is no event, or when the file turns out to be damaged.
        """
        name = self.name
        for number, (line, row) in enumerate(self._rows(), start=1):
            try:
                event = event_of_row(row, f"{name}#{number}")
            except RowError as error:
                raise LogError(f"{self._events}, {self._place(line)}: {error}.") from error
            yield event

    def _place(self, line: int) -> str:
        return f"row {line}" if self._suffix == ".parquet" else f"line {line}"

    def _rows(self) -> Iterator[_Row]:
        if self._suffix == ".parquet":
            yield from _parquet_rows(self._events)
        elif self._suffix.startswith(".jsonl"):
            yield from _jsonl_rows(self._events)
        elif self._context is None:
            yield from _csv_rows(self._events, needs_columns=True)
        else:
            yield from _with_context(self._events, self._context)


def _with_context(events: Path, context: Path) -> Iterator[_Row]:
    rows = zip_longest(_csv_rows(events, needs_columns=True), _csv_rows(context))
    for event, beside in rows:
        if event is None or beside is None:
            shorter = events if event is None else context
            raise LogError(f"{shorter} has fewer rows than the file beside it: each event needs its context.")
        line, row = event
        if taken := (KNOWN & beside[1].keys()) - {_SESSION}:
            raise LogError(
                f"{context} has a column {min(taken)}, which is the event's own: give it another name."
            )
        own, session = row.get(_SESSION), beside[1].get(_SESSION)
        if own and session and own != session:
            raise LogError(
                f"{context}, line {beside[0]}: {_SESSION} is {session!r}, and that of the event in line {line} of "
                f"{events.name} is {own!r}: the two files must have the same rows in the same order."
            )
        yield line, {**row, **beside[1], _SESSION: own or session}


def _csv_rows(path: Path, *, needs_columns: bool = False) -> Iterator[_Row]:
    line = 0
    try:
        with _explained(path), _text(path) as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            line = reader.line_num
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise LogError(
                    f"{path}: more than one column is called {', '.join(twice)}; rename the others."
                )
            if needs_columns:
                _check_columns(path, set(header))
            for cells in reader:
                line = reader.line_num
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise LogError(
                        f"{path}, line {line}: {len(cells)} columns, the header has {len(header)}."
                    )
                yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise LogError(f"{path}, after line {line}: {error}.") from error


def _jsonl_rows(path: Path) -> Iterator[_Row]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with _explained(path), _binary(path) as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = decode(text)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogError(f"{path}, line {line}: not a JSON object ({error}).") from error
            if missing := missing_columns(set(row)):
                raise LogError(f"{path}, line {line}: no {', '.join(missing)}.")
            yield line, row


def _parquet_rows(path: Path) -> Iterator[_Row]:
    with _explained(path):
        file = _parquet(path)
        _check_columns(path, set(file.schema_arrow.names))
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
            for row in _plain(batch).to_pylist():
                number += 1
                yield number, row


def _check_columns(path: Path, names: set[str]) -> None:
    if missing := missing_columns(names):
        found = ", ".join(sorted(names)) or "none"
        raise LogError(f"{path} has no column {', '.join(missing)}; its columns are: {found}.")


def _parquet(path: Path) -> Any:
    from pyarrow import parquet  # half a second, and most logs are csv

    return parquet.ParquetFile(path)


def _plain(batch: Any) -> Any:
    """As Python can hold it: times to the millisecond; and what is no number is nothing, as pandas writes it."""
    import pyarrow
    from pyarrow import compute, types

    columns = []
    for column in batch.columns:
        if types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("ms", column.type.tz), safe=False)
        elif types.is_floating(column.type):
            column = compute.if_else(compute.is_nan(column), pyarrow.scalar(None, column.type), column)
        columns.append(column)
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _binary(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what reading can raise into a sentence about the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise LogError(f"{path} is not UTF-8: {error.reason} at byte {error.start} of a block.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LogError(f"{path} is damaged or not gzip: {error}.") from error
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, OverflowError) as error:
        if path.suffix != ".parquet":
            raise
        raise LogError(f"{path} is not a parquet file that can be read: {error}.") from error
