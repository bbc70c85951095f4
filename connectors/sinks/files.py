"""A log on disk as a sink: csv, jsonl or parquet, by the name of the file."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec

from connectors.event import Event, encode_event
from connectors.sources.files import SUFFIXES, LogError

COLUMNS = (
    "event_id",
    "event_type",
    "occurred_at_ms",
    "user_id",
    "item_id",
    "session_id",
    "recommendation_id",
    "position",
    "value",
    "context",
)
_PARQUET_ROWS = 8_192


class _Writer(Protocol):
    def write(self, events: Sequence[Event]) -> None: ...

    def close(self) -> None: ...


class FileSink:
    """Writes a log that `FileSource` reads back as the same events.

    It grows beside its final place, in `<name>.part`, and takes its name when it is closed: a log that is
    there is a whole one. A log that was there before is replaced.

    Args:
        path: File whose name ends in `.csv`, `.csv.gz`, `.jsonl`, `.jsonl.gz` or `.parquet`.

    Raises:
        LogError: The name does not tell the format, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
        if suffix is None:
            raise LogError(f"{path} must end in one of {', '.join(SUFFIXES)}.")
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._closed = self._failed = False
        try:
            self._writer: _Writer = _writer(self._part, suffix)
        except OSError as error:
            raise LogError(f"{path} cannot be written: {error.strerror}.") from error

    async def write(self, events: Sequence[Event]) -> None:
        """Append events.

        Raises:
            LogError: The disk refuses.
        """
        try:
            self._writer.write(events)
        except OSError as error:
            self._failed = True
            raise LogError(f"{self._path} cannot be written: {error.strerror}.") from error

    async def close(self) -> None:
        """Finish the log and give it its name; where something of it could not be written there is none.

        Raises:
            LogError: The disk refuses.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._writer.close()
            if self._failed:
                self._part.unlink()
            else:
                self._part.replace(self._path)
        except OSError as error:
            raise LogError(f"{self._path} cannot be written: {error.strerror}.") from error


class _CsvWriter:
    """Nothing is an empty cell; the context is a JSON object."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)

    def write(self, events: Sequence[Event]) -> None:
        self._rows.writerows(_cells(event) for event in events)

    def close(self) -> None:
        self._file.close()


class _JsonlWriter:
    """One event a line, as it stands on the events topic."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, events: Sequence[Event]) -> None:
        self._file.writelines(encode_event(event) + b"\n" for event in events)

    def close(self) -> None:
        self._file.close()


class _ParquetWriter:
    """Typed columns; the context is text with a JSON object, since its fields differ from event to event."""

    def __init__(self, path: Path) -> None:
        import pyarrow  # half a second, and most logs are csv
        from pyarrow import parquet

        types = {"occurred_at_ms": pyarrow.int64(), "position": pyarrow.int64(), "value": pyarrow.float64()}
        self._schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])
        self._table = pyarrow.Table
        self._file: Any = parquet.ParquetWriter(path, self._schema)
        self._rows: list[tuple[Any, ...]] = []

    def write(self, events: Sequence[Event]) -> None:
        self._rows.extend(_cells(event) for event in events)
        if len(self._rows) >= _PARQUET_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            columns = dict(zip(COLUMNS, map(list, zip(*self._rows, strict=True)), strict=True))
            self._file.write_table(self._table.from_pydict(columns, schema=self._schema))
            self._rows.clear()


def _writer(path: Path, suffix: str) -> _Writer:
    if suffix == ".parquet":
        return _ParquetWriter(path)
    # Level 6 is three times as fast as Python's default of 9, for a file a few per cent larger.
    # The writer closes it.
    file: Any = gzip.open(path, "wb", compresslevel=6) if suffix.endswith(".gz") else path.open("wb")  # noqa: SIM115
    return _CsvWriter(file) if suffix.startswith(".csv") else _JsonlWriter(file)


def _cells(event: Event) -> tuple[Any, ...]:
    context = msgspec.json.encode(event.context).decode() if event.context else None
    return (
        event.event_id,
        event.event_type,
        event.occurred_at_ms,
        event.user_id,
        event.item_id,
        event.session_id,
        event.recommendation_id,
        event.position,
        event.value,
        context,
    )
