"""What could not be an event, or not be learned: the original bytes, where they came from, and why."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from connectors.own_json import reader_of

KEPT_VALUE = 1 << 20
"""Most bytes of a refused record's value that are kept; in base64 they fit into a record of the dead-letter topic."""


class Reason(StrEnum):
    """Why a record is refused; a bounded set, so that it can be a metric's label."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    OVERSIZED = "oversized"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING_USER = "missing_user"
    MISSING_ITEM = "missing_item"
    MISSING_TYPE = "missing_type"
    UNDECLARED_TYPE = "undeclared_type"
    MISSING_TIME = "missing_time"
    NAIVE_TIME = "naive_time"
    ABSURD_TIME = "absurd_time"
    WRONG_TYPE = "wrong_type"
    BAD_ID = "bad_id"
    NON_FINITE_VALUE = "non_finite_value"
    LEARNER_FAILED = "learner_failed"


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record on its way to the dead-letter topic (JSON; `original` is base64 there).

    Attributes:
        reason: A code of `Reason`.
        detail: One sentence for a person: what is wrong and what to do.
        topic: Topic it was read from.
        partition: Partition it was read from.
        offset: Offset it was read at; with topic and partition it names the record for good.
        received_at_ms: When it was refused, UTC milliseconds.
        original: The record's value, byte for byte.
        key: The record's key, byte for byte, where it had one.
    """

    reason: Reason
    detail: str
    topic: str
    partition: int
    offset: int
    received_at_ms: int
    original: bytes
    key: bytes | None = None


encode_dead_letter = msgspec.json.Encoder().encode
decode_dead_letter = reader_of(DeadLetter)
