"""One row of a log as an event: names, times and values, and what is wrong with them in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec

from connectors.event import ContextValue, Event, known_position

REQUIRED = ("user_id", "item_id", "event_type")
TIMES = ("occurred_at_ms", "timestamp")
_OPTIONAL = ("event_id", "session_id", "recommendation_id", "position", "value", "context", "schema_version")
KNOWN = frozenset((*REQUIRED, *TIMES, *_OPTIONAL))
"""Columns that say something of the event itself; any other is context."""

_MS_OF_YEAR_5000 = 95_617_584_000_000
_MAX_POSITION = 2**31

_decode_context = msgspec.json.Decoder(dict[str, ContextValue]).decode


class RowError(ValueError):
    """A row that is no event; the message says what is wrong, the caller adds where it stands."""


def missing_columns(names: set[str]) -> list[str]:
    """The columns that a log needs and `names` has not; of the two time columns, one is enough."""
    missing = [name for name in REQUIRED if name not in names]
    if not names.intersection(TIMES):
        missing.append("timestamp (or occurred_at_ms)")
    return missing


def event_of_row(row: Mapping[str, object], default_id: str) -> Event:
    """The event in a row.

    Text stands for a number wherever it can, since some formats know only text, and empty text for nothing.
    `timestamp` is in unix seconds, `occurred_at_ms` in milliseconds. A `value` that is no number goes to
    `context["text"]`. `context` is a flat JSON object; columns of other names join it.

    Args:
        row: Column name to value.
        default_id: Id of the event where the row brings none.

    Raises:
        RowError: A missing or impossible value; the message names the column.
    """
    context = _context(row)
    value = _number(row.get("value"))
    if value is None and (text := _text(row.get("value"))) is not None:
        context["text"] = text
    return Event(
        event_id=_id(row, "event_id") or default_id,
        event_type=_required(row, "event_type"),
        occurred_at_ms=_time_ms(row),
        user_id=_required(row, "user_id"),
        item_id=_required(row, "item_id"),
        session_id=_id(row, "session_id"),
        recommendation_id=_id(row, "recommendation_id"),
        position=_position(row.get("position")),
        value=value,
        context=context,
    )


def _required(row: Mapping[str, object], column: str) -> str:
    text = _id(row, column)
    if text is None:
        raise RowError(f"{column} is empty")
    return text


def _id(row: Mapping[str, object], column: str) -> str | None:
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or None
    raise RowError(f"{column} is {value!r}: it must be text or a whole number")


def _time_ms(row: Mapping[str, object]) -> int:
    column, per_second = (
        ("occurred_at_ms", 1) if not _empty(row.get("occurred_at_ms")) else ("timestamp", 1_000)
    )
    value = row.get(column)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise RowError(f"{column} {value.isoformat()} has no time zone: say which one it is in")
        return round(value.timestamp() * 1_000)
    # Whole numbers stay whole: milliseconds since 1970 are exact in a float, but not every text of one is.
    number = _whole(value)
    ms = number * per_second if number is not None else None
    if ms is None:
        real = _number(value)
        ms = round(real * per_second) if real is not None and abs(real) < _MS_OF_YEAR_5000 else None
    if ms is None:
        unit = "unix seconds" if column == "timestamp" else "milliseconds since 1970"
        raise RowError(f"{column} is {value!r}: it must be a number of {unit}")
    if not 0 <= ms < _MS_OF_YEAR_5000:
        hint = "; are these milliseconds? Call the column occurred_at_ms" if column == "timestamp" else ""
        raise RowError(f"{column} {value!r} is not between 1970 and the year 5000{hint}")
    return ms


def _position(value: object) -> int | None:
    if _empty(value):
        return None
    number = _whole(value)
    if number is None or not abs(number) < _MAX_POSITION:
        raise RowError(f"position is {value!r}: it must be a whole number below 2^31")
    return known_position(number)


def _context(row: Mapping[str, object]) -> dict[str, ContextValue]:
    context: dict[str, ContextValue] = {}
    for column, value in row.items():
        if column in KNOWN or _empty(value):
            continue
        if not isinstance(value, str | int | float | bool):
            raise RowError(f"{column} is {value!r}: the context must be flat")
        context[column] = value
    given = row.get("context")
    if isinstance(given, str) and given:
        try:
            context |= _decode_context(given)
        except msgspec.MsgspecError as error:
            raise RowError(f"context is not a flat JSON object: {error}") from error
    elif isinstance(given, Mapping):
        try:
            context |= msgspec.convert(given, dict[str, ContextValue])
        except msgspec.ValidationError as error:
            raise RowError(f"context is not flat: {error}") from error
    elif not _empty(given):
        raise RowError(f"context is {given!r}: it must be a JSON object")
    return context


def _empty(value: object) -> bool:
    return value is None or value == ""


def _text(value: object) -> str | None:
    if _empty(value):
        return None
    if not isinstance(value, str):
        raise RowError(f"value is {value!r}: it must be a finite number or text")
    return value


def _number(value: object) -> float | None:
    """A finite number, None for anything else. Digits with `_` are Python's spelling and stay text."""
    if isinstance(value, str) and "_" not in value:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        return int(value) if len(value) < 20 else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) else None
