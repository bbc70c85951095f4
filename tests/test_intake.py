"""What waits for a step: in order, counted, acknowledged once it is used up."""

from __future__ import annotations

from collections.abc import Sequence

from builders import Record, event, records
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from stream.intake import Intake


def offered(
    intake: Intake, some: Sequence[Record], acks: list[str], name: str, *, followed: bool = False
) -> None:
    intake.offered += len(some)
    intake.add(some, lambda: acks.append(name), followed=followed)


@law(100)
@given(st.lists(st.integers(0, 5), max_size=8), st.integers(1, 6))
def test_records_come_out_as_they_came_in_and_a_list_is_acknowledged_with_its_last(
    sizes: list[int], room: int
) -> None:
    intake, acks = Intake(), list[str]()
    for number, size in enumerate(sizes):
        offered(intake, records([event()] * size, first=10 * number), acks, str(number))
    assert (intake.since is None) == (not sizes)
    taken: list[int] = []
    while intake.since is not None:
        some, consumed = intake.take(room)
        assert len(some) <= room
        taken += [record.offset for record in some]
        for ack in consumed:
            ack()
        complete = [n for n, size in enumerate(sizes) if size == 0 or 10 * n + size - 1 in taken]
        assert acks == [str(n) for n in complete[: len(acks)]]
        assert intake.waiting == sum(sizes) - len(taken)
    assert taken == [10 * n + k for n, size in enumerate(sizes) for k in range(size)]
    assert acks == [str(n) for n in range(len(sizes))]
    assert intake.handed(0) == (max(taken) + 1 if taken else 0)


def test_a_record_that_is_a_list_of_events_counts_as_all_of_them() -> None:
    intake = Intake()
    page = b'{"event_type": "impression", "items": [{"item_id": "a"}, {"item_id": "b"}, {"item_id": "c"}]}'
    offered(intake, [Record(value=page, offset=n) for n in range(3)], [], "pages")
    assert len(intake.take(4)[0]) == 2, "the last one of a batch may exceed it"
    assert intake.waiting == 1


def test_what_waits_can_be_left_unacknowledged() -> None:
    intake, acks = Intake(), list[str]()
    offered(intake, records([event()]), acks, "before")
    intake.leave_unacknowledged()
    offered(intake, records([event()], first=1), acks, "after")
    for ack in intake.take(2)[1]:
        ack()
    assert acks == ["after"]


def test_of_what_is_owned_by_now_nothing_is_followed() -> None:
    intake = Intake()
    for partition in (0, 1):
        for followed in (False, True):
            some = records([event(), event()], partition=partition, first=4 if followed else 0)
            offered(intake, some, [], "", followed=followed)
    intake.take(1)
    intake.drop_followed(lambda partition: partition == 1)
    assert (intake.waiting, intake.offered) == (5, 6)
    left, consumed = intake.take(9)
    assert [(record.partition, record.offset) for record in left] == [(0, 1), (0, 4), (0, 5), (1, 0), (1, 1)]
    assert len(consumed) == 4, "an empty list waits for its acknowledgement all the same"
