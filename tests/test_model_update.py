"""Updates of the model as records: in parts, put together again, whoever died in the middle of one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model_update import LARGEST_PART, ModelUpdate, UpdateReader, encode_update


def update(writer: str = "ann", sequence: int = 1, **fields: object) -> ModelUpdate:
    named = {
        "model": "m",
        "topic_id": "t",
        "share": 0.5,
        "learned": {0: 7},
        "part": 0,
        "parts": 1,
        "body": b"",
    }
    return ModelUpdate(writer=writer, sequence=sequence, **{**named, **fields})  # type: ignore[arg-type]


def large(writer: str, sequence: int, parts: int) -> list[bytes]:
    """An update of so many parts, whose body names it."""
    body = f"{writer}{sequence}".encode().ljust((parts - 1) * LARGEST_PART + 1, b".")
    return encode_update(update(writer, sequence), [body])


def test_an_update_comes_back_as_it_was() -> None:
    records = encode_update(update(), [b"some", memoryview(b"thing")])
    assert len(records) == 1
    assert UpdateReader().read(records[0], 5) == update(body=b"something")


def test_a_large_one_goes_in_parts_that_a_topic_takes() -> None:
    body = bytes(range(256)) * 10_000
    records = encode_update(update(), [body])
    assert len(records) == 4
    assert max(map(len, records)) < 1_000_000
    reader = UpdateReader()
    *some, last = [reader.read(record, offset) for offset, record in enumerate(records)]
    assert some == [None] * 3
    assert last is not None
    assert last.body == body


@given(st.data())
def test_whatever_order_writers_come_in_each_gets_through(data: st.DataObject) -> None:
    queues = {writer: [*large(writer, 1, 2), *large(writer, 2, 3)] for writer in ("ann", "bea", "cleo")}
    reader, found, offset = UpdateReader(), [], 0
    while any(queues.values()):
        writer = data.draw(st.sampled_from([name for name, queue in queues.items() if queue]))
        whole = reader.read(queues[writer].pop(0), offset)
        if whole is not None:
            found.append((whole.writer, whole.sequence))
            assert whole.body.startswith(f"{whole.writer}{whole.sequence}.".encode())
        offset += 1
    assert sorted(found) == [(writer, n) for writer in ("ann", "bea", "cleo") for n in (1, 2)]
    assert reader.position == offset


def test_reading_begins_again_where_something_was_not_whole() -> None:
    reader = UpdateReader()
    first, second = large("ann", 1, 2)
    reader.read(encode_update(update("bea"), [])[0], 10)
    reader.read(first, 11)
    assert reader.position == 11
    reader.read(encode_update(update("bea", 2), [])[0], 12)
    assert reader.position == 11
    assert reader.read(second, 13) is not None
    assert reader.position == 14


def test_what_is_not_whole_yet_is_kept_for_who_goes_on_from_there() -> None:
    reader, again = UpdateReader(), UpdateReader()
    first, second = large("ann", 1, 2)
    reader.read(first, 11)
    again.seek(reader.position)
    again.load(reader.saved())
    for each in (reader, again):
        whole = each.read(second, 12)
        assert whole is not None
        assert whole.body.startswith(b"ann1.")
        assert each.position == 13
        assert each.saved() == b""


def test_what_a_dead_writer_left_unfinished_holds_nothing_up() -> None:
    reader = UpdateReader()
    reader.read(large("ann", 1, 2)[0], 0)
    for offset in range(1, 3_000):
        assert reader.read(encode_update(update("bea", offset), [])[0], offset) is not None
    assert reader.position == 3_000


def test_a_writer_that_begins_again_is_not_mixed_with_what_it_left() -> None:
    reader = UpdateReader()
    reader.read(large("ann", 1, 2)[0], 0)
    first, second = large("ann", 2, 2)
    assert reader.read(first, 1) is None
    whole = reader.read(second, 2)
    assert whole is not None
    assert whole.body.startswith(b"ann2.")


def test_a_part_without_its_beginning_is_left_out() -> None:
    reader = UpdateReader()
    assert reader.read(large("ann", 1, 2)[1], 4) is None
    assert reader.position == 5


@pytest.mark.parametrize(
    "value", [None, b"", b"garbage", msgspec.msgpack.encode({"writer": "ann"}), msgspec.msgpack.encode([1])]
)
def test_what_is_no_update_is_told(value: bytes | None) -> None:
    reader = UpdateReader()
    with pytest.raises(ValueError, match="no model update"):
        reader.read(value, 3)
    assert reader.position == 4


def test_a_later_layout_is_told() -> None:
    with pytest.raises(ValueError, match="layout 99"):
        UpdateReader().read(encode_update(update(schema_version=99), [])[0], 0)
