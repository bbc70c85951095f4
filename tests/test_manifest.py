"""A manifest and the checksum that it carries."""

from __future__ import annotations

import json

import msgspec
import pytest
from builders import NOW_MS

from stream.checkpoints.manifest import FileRecord, Manifest, decode, encode

MANIFEST = Manifest(
    format=2,
    number=12,
    kind="delta",
    parent=11,
    created_at_ms=NOW_MS,
    topic="events",
    topic_id="an id",
    applied={0: 7, 11: 4},
    totals={"events_learned": 9},
    summary={"users": 2},
    files={"users.safetensors": FileRecord(5, 6, ["items:rows", "items:values"])},
)


def test_it_comes_back_and_is_json_for_people() -> None:
    data = encode(MANIFEST)
    assert decode(data) == MANIFEST
    assert json.loads(data)["manifest"]["parent"] == 11
    assert MANIFEST.bytes == 5


def test_any_flipped_bit_is_found_or_harmless() -> None:
    data = encode(MANIFEST)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(bytes(flipped)) == MANIFEST
        except ValueError:
            continue


def test_the_former_format_is_read_and_a_later_one_is_not() -> None:
    former = msgspec.structs.replace(MANIFEST, format=1, kind="full", parent=None)
    assert decode(msgspec.json.encode(former)) == former
    with pytest.raises(ValueError, match="format 3, this version reads 1 to 2"):
        decode(encode(msgspec.structs.replace(MANIFEST, format=3)))
    with pytest.raises(ValueError, match="format 2"):
        decode(msgspec.json.encode(MANIFEST))  # a present one without its checksum


def test_topics_are_told_apart_where_their_ids_are_known() -> None:
    assert MANIFEST.is_of("an id")
    assert MANIFEST.is_of("")
    assert not MANIFEST.is_of("another")
