"""Steps are remembered until a checkpoint holds them, and never beyond the bound."""

from __future__ import annotations

import threading
from collections import deque

from builders import NOW_MS, event, records

from stream.journal import Done, Journal, Stepped


def step(count: int = 1) -> Stepped:
    return Stepped(records([event() for _ in range(count)]), NOW_MS)


def test_what_came_before_the_mark_is_forgotten_when_its_checkpoint_is_on_disk() -> None:
    journal, steps = Journal(), [step() for _ in range(4)]
    for one in steps[:2]:
        journal.note(one)
    mark = journal.mark()
    for one in steps[2:]:
        journal.note(one)
    assert journal.steps == steps, "the checkpoint is not on disk yet"
    journal.forget(mark)
    assert journal.steps == steps[2:]
    assert journal.whole


def test_beyond_the_bound_all_is_given_up_until_a_newer_checkpoint() -> None:
    journal = Journal(max_bytes=step(10).size)
    for _ in range(10):
        journal.note(step())
    assert (len(journal.steps), journal.whole, journal.crowded) == (10, True, True)
    early = journal.mark()
    journal.note(step())
    assert (journal.steps, journal.whole, journal.crowded) == ([], False, False)
    journal.forget(early)
    assert not journal.whole, "one step is in neither"
    late = journal.mark()
    journal.note(step())
    journal.forget(late)
    assert (len(journal.steps), journal.whole) == (1, True)


def test_a_record_counts_with_its_key_and_value() -> None:
    small, large = Stepped(records([b"x"]), NOW_MS), Stepped(records([b"x" * 1_000]), NOW_MS)
    assert large.size - small.size == 999
    assert Stepped(records([b""]), NOW_MS).size > 0


def test_what_is_noted_while_something_is_forgotten_counts() -> None:
    """Steps are noted in their own thread, checkpoints are reported in the loop's."""
    journal = Journal(max_bytes=step(10).size)
    beside: list[threading.Thread] = []

    class Interrupted(deque[tuple[Done, int]]):
        def popleft(self) -> tuple[Done, int]:
            if not beside:
                beside.append(threading.Thread(target=journal.note, args=(step(6),)))
                beside[0].start()
                beside[0].join(0.05)
            return super().popleft()

    journal.note(step(6))
    journal._steps = Interrupted(journal._steps)
    journal.forget(1)
    beside[0].join()
    assert len(journal.steps) == 1
    assert journal.crowded, "six of ten"
