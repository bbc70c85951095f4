"""Raw bytes to events, one decode a record; what cannot be an event comes back as a value, not an exception."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from connectors.dead_letter import KEPT_VALUE, DeadLetter, Reason
from connectors.event import SCHEMA_VERSION, ContextValue, Event, known_position
from connectors.event_types import canonical_type

EARLIEST_MS = 631_152_000_000
"""1990-01-01 UTC: older than any log of behaviour, and what a time in seconds would seem to be."""

MAX_ITEMS = 500
"""Of one record, so that no single one fills a step."""

_ITEM_KEY = b'"item_id"'
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAX_POSITION = 2**31 - 1
_MAX_CONTEXT_KEY = 64
_MAX_CONTEXT_TEXT = 1_024
_LOG_APPEND_TIME = 1
_KEPT_KEY = 1 << 16
_LONGEST_DETAIL = 400
_LARGEST_SHOWN = 10**18


class RawRecord(Protocol):
    """What is read of a broker's record."""

    @property
    def topic(self) -> str:
        """Where it was read."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value."""


def generated_id(record: RawRecord) -> str:
    """What names an event whose producer gave it no id: its place. Of a list's entries it is the beginning."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def entries(value: bytes | None) -> int:
    """How many events a record's value holds, without decoding it; an oddly written list may hold more."""
    return max(1, min(value.count(_ITEM_KEY), MAX_ITEMS)) if value else 1


def is_generated(event_id: str, generated: str) -> bool:
    """Whether an id is the `generated_id` of its record, or that of an entry of its list."""
    return event_id == generated or event_id.startswith(f"{generated}#")


def arrival_ms(record: RawRecord) -> int | None:
    """When the broker got the record, UTC milliseconds; None where the producer stamped it, or nobody did."""
    if getattr(record, "timestamp_type", None) != _LOG_APPEND_TIME:
        return None
    arrived_ms: int | None = getattr(record, "timestamp", None)
    return arrived_ms


class _Item(msgspec.Struct, gc=False):
    """One entry of an `items` list."""

    item_id: str
    value: float | None = None
    position: int | None = None


class _Wire(msgspec.Struct, gc=False):
    """Every accepted spelling of an event; absent fields are None."""

    event_id: str | None = None
    event_type: str | None = None
    occurred_at_ms: int | None = None
    occurred_at: str | None = None
    user_id: str | None = None
    item_id: str | None = None
    items: list[_Item] | None = None
    session_id: str | None = None
    recommendation_id: str | None = None
    position: int | None = None
    value: float | None = None
    context: dict[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION


_decode_wire = msgspec.json.Decoder(_Wire).decode


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record is no event."""

    reason: Reason
    detail: str


class EventDecoder:
    """Turns records into events, or into the reason why they are none.

    Nothing happened after it arrived: where the broker says when it got a record, an event whose time lies ahead
    of that is taken to have happened then. So what becomes of such a record does not depend on when it is read.

    Args:
        event_types: The declared types, standard ones included; aliases lead to them.
        max_bytes: Largest accepted record value, bytes.
        max_id_length: Longest accepted id, characters.
        max_context_fields: Context fields kept of one event; further ones are kept out.
        context: Context fields that are kept before all others.
        max_future_s: How far an event may lie ahead of its arrival, seconds; of the clock where the broker does
            not say when it arrived.
    """

    def __init__(
        self,
        event_types: Collection[str],
        *,
        max_bytes: int = 65_536,
        max_id_length: int = 256,
        max_context_fields: int = 32,
        context: Collection[str] = (),
        max_future_s: float = 86_400.0,
    ) -> None:
        self._types = frozenset(event_types)
        self._max_bytes = max_bytes
        self._max_id_length = max_id_length
        self._max_context_fields = max_context_fields
        self._context_first = frozenset(context)
        self._max_future_ms = int(max_future_s * 1000)

    def decode(self, record: RawRecord, now_ms: int) -> list[Event] | DeadLetter:
        """The events of one record: one, or one for each entry of `items` (`event_id#n`).

        Never raises for what the record holds.
        """
        arrived_ms = arrival_ms(record)
        clock_ms = now_ms if arrived_ms is None else arrived_ms
        events = self.read(record.value, clock_ms, generated_id(record), arrived_ms)
        return dead_letter(record, events, now_ms) if isinstance(events, Refusal) else events

    def read(
        self, value: bytes | None, now_ms: int, default_id: str, latest_ms: int | None = None
    ) -> list[Event] | Refusal:
        """The events in `value`.

        Args:
            value: One JSON object.
            now_ms: The clock, UTC milliseconds.
            default_id: Names an event whose producer gave it no id.
            latest_ms: An event that claims to have happened later is taken to have happened then.
        """
        if not value:
            return Refusal(Reason.NOT_JSON, "The record is empty; send one JSON object.")
        if len(value) > self._max_bytes:
            return Refusal(
                Reason.OVERSIZED,
                f"The record has {len(value)} bytes, at most {self._max_bytes} are accepted (events.max_bytes).",
            )
        try:
            wire = _decode_wire(value)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return _explain(value, error)
        return self._check(wire, now_ms, default_id, latest_ms)

    def _check(
        self, wire: _Wire, now_ms: int, default_id: str, latest_ms: int | None
    ) -> list[Event] | Refusal:
        if wire.schema_version != SCHEMA_VERSION:
            return Refusal(
                Reason.UNSUPPORTED_VERSION,
                f"schema_version {_number(wire.schema_version)} is not known; this worker reads {SCHEMA_VERSION}.",
            )
        if wire.user_id is None:
            return Refusal(Reason.MISSING_USER, "There is no user_id: nobody can learn from this event.")
        if wire.event_type is None:
            return Refusal(Reason.MISSING_TYPE, "There is no event_type.")
        event_type = canonical_type(wire.event_type)
        if event_type not in self._types:
            return Refusal(
                Reason.UNDECLARED_TYPE,
                f"Event type {_short(wire.event_type)} is neither standard nor declared; "
                f"declare it under [events.types] and replay the dead letters.",
            )
        occurred_at_ms = self._time(wire, now_ms)
        if isinstance(occurred_at_ms, Refusal):
            return occurred_at_ms
        if latest_ms is not None:
            occurred_at_ms = min(occurred_at_ms, latest_ms)
        if wire.items and len(wire.items) > MAX_ITEMS:
            return Refusal(
                Reason.OVERSIZED, f"items has {len(wire.items)} entries, at most {MAX_ITEMS} are accepted."
            )
        if wire.items:
            items = wire.items
        elif wire.item_id is not None:
            items = [_Item(wire.item_id, wire.value, wire.position)]
        else:
            return Refusal(Reason.MISSING_ITEM, "There is neither an item_id nor a filled items list.")
        for name, text in (
            ("user_id", wire.user_id),
            ("event_id", wire.event_id),
            ("session_id", wire.session_id),
            ("recommendation_id", wire.recommendation_id),
            *(("item_id", item.item_id) for item in items),
        ):
            if text is not None and not 0 < len(text) <= self._max_id_length:
                return Refusal(
                    Reason.BAD_ID,
                    f"{name} has {len(text)} characters; 1 to {self._max_id_length} are accepted.",
                )
        for item in items:
            if item.value is not None and not math.isfinite(item.value):
                return Refusal(Reason.NON_FINITE_VALUE, "value is not a finite number.")
            if item.position is not None and abs(item.position) > _MAX_POSITION:
                return Refusal(
                    Reason.WRONG_TYPE, f"position is no place in a list: more than {_MAX_POSITION}."
                )
        event_id = wire.event_id if wire.event_id is not None else default_id
        context = self._context(wire.context)
        fan_out = bool(wire.items) and len(items) > 1
        return [
            Event(
                event_id=f"{event_id}#{n}" if fan_out else event_id,
                event_type=event_type,
                occurred_at_ms=occurred_at_ms,
                user_id=wire.user_id,
                item_id=item.item_id,
                session_id=wire.session_id,
                recommendation_id=wire.recommendation_id,
                position=known_position(item.position),
                value=item.value if item.value is not None else wire.value,
                context=context,
            )
            for n, item in enumerate(items)
        ]

    def _time(self, wire: _Wire, now_ms: int) -> int | Refusal:
        if wire.occurred_at_ms is not None:
            occurred_at_ms = wire.occurred_at_ms
        elif wire.occurred_at is not None:
            try:
                moment = datetime.fromisoformat(wire.occurred_at)
            except ValueError:
                return Refusal(
                    Reason.WRONG_TYPE,
                    f"occurred_at {_short(wire.occurred_at)} is not an ISO-8601 time such as "
                    f"2026-01-31T12:00:00+01:00.",
                )
            if moment.tzinfo is None:
                return Refusal(
                    Reason.NAIVE_TIME,
                    f"occurred_at {_short(wire.occurred_at)} has no offset from UTC; add one, such as Z or +01:00.",
                )
            occurred_at_ms = (moment - _EPOCH) // _MILLISECOND  # in floats, some would be one off
        else:
            return Refusal(Reason.MISSING_TIME, "There is neither occurred_at_ms nor occurred_at.")
        if occurred_at_ms < EARLIEST_MS:
            return Refusal(
                Reason.ABSURD_TIME,
                f"The event's time {_number(occurred_at_ms)} ms lies before 1990; is it in seconds instead of "
                f"milliseconds?",
            )
        if occurred_at_ms > now_ms + self._max_future_ms:
            return Refusal(
                Reason.ABSURD_TIME,
                f"The event's time {_number(occurred_at_ms)} ms lies more than {self._max_future_ms // 1000} s ahead "
                f"of the clock; is it in microseconds, or is the producer's clock wrong?",
            )
        return occurred_at_ms

    def _context(self, context: dict[str, Any] | None) -> dict[str, ContextValue]:
        """Flat, short, finite facts; everything else is kept out."""
        if not context:
            return {}
        fields = list(context.items())
        if len(fields) > self._max_context_fields:
            fields.sort(key=lambda field: field[0] not in self._context_first)
        kept: dict[str, ContextValue] = {}
        for name, value in fields:
            if len(kept) == self._max_context_fields:
                break
            if len(name) > _MAX_CONTEXT_KEY:
                continue
            if isinstance(value, str):
                kept[name] = value[:_MAX_CONTEXT_TEXT]
            elif isinstance(value, bool | int | float):
                kept[name] = value
        return kept


def dead_letter(record: RawRecord, why: Refusal, now_ms: int) -> DeadLetter:
    """The record as a dead letter, small enough to be published whatever was sent."""
    value, key, detail = record.value or b"", record.key, why.detail
    if len(detail) > _LONGEST_DETAIL:
        detail = detail[: _LONGEST_DETAIL - 3] + "..."
    if len(value) > KEPT_VALUE:
        detail += f" Of this record only the first {KEPT_VALUE} bytes are kept."
    return DeadLetter(
        reason=why.reason,
        detail=detail,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        received_at_ms=now_ms,
        original=value[:KEPT_VALUE],
        key=key if key is None else key[:_KEPT_KEY],
    )


def _explain(value: bytes, error: Exception) -> Refusal:
    """The slow path of a record that does not decode: find out what is wrong with it."""
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        if text.startswith("Expected `object`") and " - at " not in text:
            return Refusal(Reason.NOT_AN_OBJECT, f"The record is JSON but not an object: {text}.")
        if "out of range" in text:
            return Refusal(Reason.NON_FINITE_VALUE, f"A number is not finite or too large: {text}.")
        return Refusal(Reason.WRONG_TYPE, f"A field has the wrong type: {text}.")
    if _holds_non_finite_constant(value):
        return Refusal(
            Reason.NON_FINITE_VALUE,
            "The record holds NaN or Infinity, which are not JSON; leave value out where there is none.",
        )
    return Refusal(Reason.NOT_JSON, f"The record is not JSON: {error}.")


def _holds_non_finite_constant(value: bytes) -> bool:
    """Whether `value` would be JSON but for NaN or Infinity, which Python's own reader accepts."""
    found = False

    def note(_: str) -> None:
        nonlocal found
        found = True

    try:
        json.loads(value, parse_constant=note)
    except (ValueError, RecursionError):
        return False
    return found


def _number(value: int) -> str:
    """Its digits, unless there are so many that Python refuses to write them."""
    return str(value) if abs(value) < _LARGEST_SHOWN else f"of {value.bit_length()} bits"


def _short(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:61] + "...")
