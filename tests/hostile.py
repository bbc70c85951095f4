"""Records and requests that nobody should send: made quickly, from a seed, so that a million of them can be tried."""

from __future__ import annotations

import json
import random
from typing import Any

from builders import NOW_MS

IDS = [
    *(
        "ann",
        "",
        " ",
        "\0",
        "a\0b",
        "\ud800",
        "\udfff\ud800",
        "\u202eevil\u202c",
        "مستخدم",
        "用户",
        "👩‍👩‍👧",
        "e\u0301",
    ),
    *(
        "x" * 256,
        "x" * 257,
        "x" * 10_240,
        "é" * 256,
        "../../etc/passwd",
        "%00",
        "'; drop",
        "NaN",
        "null",
        "\ufeff",
    ),
]
NUMBERS: list[Any] = [
    *(
        0,
        -1,
        1,
        2**31,
        2**53,
        2**63,
        2**64,
        10**18,
        10**30,
        10**400,
        -(10**400),
        1e308,
        -1e308,
        5e-324,
        0.1,
        -0.0,
    ),
    *(float("nan"), float("inf"), True, None, "7", [], {}, NOW_MS, NOW_MS + 86_400_000, 253_402_300_799_000),
]
TIMES = [
    *(
        "2026-01-31T12:00:00Z",
        "9999-12-31T23:59:59.999999-23:59",
        "0001-01-01T00:00:00+23:59",
        "2026-02-30",
        "",
    ),
    *(
        "2026-01-31T12:00:00",
        "-1",
        "２０２６-01-31T12:00:00Z",
        "2026-W05-6T12:00Z",
        "1970-01-01T00:00:00Z",
        "\0",
    ),
]
TYPES = [
    "click",
    "impression",
    "purchase",
    "CLICK ",
    "view_item",
    "\ud800",
    "",
    "x" * 70_000,
    "t\0",
    "rating",
]
FIELDS = [
    *("event_id", "event_type", "occurred_at_ms", "occurred_at", "user_id", "item_id", "items", "session_id"),
    *("recommendation_id", "position", "value", "context", "schema_version", "unknown", "\0"),
]
DIGITS = b'"event_type":"click","user_id":"a","item_id":"b","occurred_at_ms":'


def record(rng: random.Random) -> bytes:
    """A record's value: mostly JSON that is nearly an event."""
    kind = rng.random()
    if kind < 0.05:
        return rng.randbytes(rng.randrange(200))
    if kind < 0.08:
        depth = rng.choice((1, 10, 900, 1_100, 5_000, 30_000))
        return rng.choice((b"[", b'{"context":', b'{"a":', b'{"items":[')) * depth + b"1" * rng.randrange(2)
    if kind < 0.10:
        return b"{" + DIGITS + b"9" * rng.choice((20, 400, 4_299, 4_301, 20_000, 60_000)) + b"}"
    body: dict[str, Any] = {
        "event_type": "click",
        "user_id": "ann",
        "item_id": "tea",
        "occurred_at_ms": NOW_MS,
    }
    for _ in range(rng.randrange(5)):
        name = rng.choice(FIELDS)
        body[name] = _value(rng, name)
        if rng.random() < 0.15:
            body.pop(rng.choice(list(body)))
    value = json.dumps(body, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        at = rng.randrange(len(value) + 1)
        value = value[:at] + rng.randbytes(rng.randrange(3)) + value[at + rng.randrange(3) :]
    return value


def path(rng: random.Random) -> bytes:
    """What stands between GET and HTTP/1.1; no blanks and no line ends, which would be another request."""
    known = rng.choice(
        (
            *(
                b"/metrics",
                b"/status",
                b"/healthz",
                b"/readyz",
                b"/weights",
                b"/users/",
                b"/users",
                b"/",
                b"",
            ),
            *(
                b"/explorer/",
                b"/explorer/main.js",
                b"/explorer/api/overview?since=",
                b"/explorer/api/learning",
            ),
            *(
                b"/explorer/api/find?kind=items&prefix=",
                b"/explorer/api/find?prefix=",
                b"/explorer/api/find?kind=",
            ),
            *(b"/explorer/api/user?id=", b"/explorer/api/item?id="),
        )
    )
    tail = bytearray()
    for _ in range(rng.randrange(6)):
        some = (
            rng.choice(IDS).encode("utf-8", "surrogatepass")
            if rng.random() < 0.4
            else rng.randbytes(rng.randrange(9))
        )
        if rng.random() < 0.7:
            some = b"".join(b"%%%02X" % byte for byte in some[:900])
        tail += rng.choice((b"", b"/", b"?", b"&a=", b"..", b"%", b"#")) + some[:2_000]
    blanks = bytes(range(33)) + b"\x7f"
    return b"/" + (known[1:] + bytes(tail)).translate(None, blanks)


def _value(rng: random.Random, name: str) -> Any:
    if rng.random() < 0.2:
        return rng.choice(NUMBERS)
    if name in ("event_id", "user_id", "item_id", "session_id", "recommendation_id"):
        return rng.choice(IDS)
    if name == "event_type":
        return rng.choice(TYPES)
    if name == "occurred_at":
        return rng.choice(TIMES)
    if name == "items":
        return [
            {"item_id": rng.choice(IDS), "value": rng.choice(NUMBERS[:8])}
            for _ in range(rng.choice((0, 1, 2, 500, 501)) if rng.random() < 0.1 else rng.randrange(3))
        ]
    if name == "context":
        return {rng.choice(IDS): rng.choice((*IDS, *NUMBERS)) for _ in range(rng.randrange(40))}
    return rng.choice(NUMBERS)
