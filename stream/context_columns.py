"""What events say of their moment becomes columns: declared fields as text, and the text as a bucket."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from connectors.event import ContextValue, Event
from learners.context_fields import ContextArray, ContextFields

_LARGEST = 1e18  # beyond, a number is noise; one of hundreds of digits is more than a float can hold


def context_columns(events: Sequence[Event], fields: ContextFields) -> ContextArray:
    """(B, F) buckets of what B events say of the declared fields."""
    if not len(fields):
        return fields.empty(len(events))
    buckets = [
        [fields.bucket(name, context_text(event.context.get(name))) for name in fields.names]
        for event in events
    ]
    return np.array(buckets, np.uint16).reshape(len(events), len(fields))


def context_text(value: ContextValue) -> str:
    """A value as text, empty where it says nothing: a whole number has no point, whatever it was sent as."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if abs(value) >= _LARGEST or not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) else repr(value)
