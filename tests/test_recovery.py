"""Records that the learner fails on are found and refused; the rest is learned as if they had never been there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record, event, numbered, records
from checkpointed import different
from fakes import processor, statistics
from hypothesis import given
from hypothesis import strategies as st
from laws import law
from test_processor import outcome

from connectors.dead_letter import Reason
from connectors.event import Event
from stream.journal import Journal
from stream.processor import Processed, Processor
from stream.recovery import Recovery, RecoveryError

POISON = 13.0
"""The value of an event that the learner fails on."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is logged with a traceback is not printed a hundred times."""
    logger = logging.getLogger("stream.recovery")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


def choking(
    early: bool = False, error: Callable[[], Exception] = lambda: ZeroDivisionError("thirteen")
) -> Processor:
    """A processor that raises on poison: when nothing has changed yet, or when all has."""
    worked = processor()
    step = worked.pipeline.step

    def choke(events: Sequence[Event], *rest: Any, **named: Any) -> Any:
        poisonous = any(one.value == POISON for one in events)
        if poisonous and early:
            raise error()
        made = step(events, *rest, **named)
        if poisonous:
            raise error()
        return made

    worked.pipeline.step = choke  # type: ignore[method-assign]
    return worked


class Worked:
    """What an engine does with a processor, in one line each."""

    def __init__(self, make: Callable[[], Processor], limit: int = 100, max_bytes: int = 1 << 20) -> None:
        self._make = make
        self._pieces: Any = None
        self.processor = make()
        self.recovery = Recovery(self._rebuild, limit, journal=Journal(max_bytes))
        self.outcomes: list[Processed] = []

    def _rebuild(self) -> Processor:
        made = self._make()
        if self._pieces is not None:
            made.load(*deepcopy(self._pieces))
        return made

    def step(self, some: Sequence[Record]) -> None:
        from stream.journal import Stepped

        try:
            self.outcomes.append(self.processor.process(some, NOW_MS))
        except Exception as error:
            recovered = self.recovery.recover(some, NOW_MS, error)
            self.processor = recovered.processor
            self.outcomes += recovered.outcomes
        else:
            self.recovery.journal.note(Stepped(some, NOW_MS))

    def save(self) -> None:
        self._pieces = (self.processor.state_dicts(), self.processor.totals_dict())
        self.recovery.saved(self.recovery.journal.mark(), dict(self.processor.states.applied))

    @property
    def refused(self) -> list[int]:
        return [letter.offset for one in self.outcomes for letter in one.dead_letters]


def some(count: int, poison: set[int] | frozenset[int] = frozenset()) -> list[Record]:
    return records(
        numbered(
            [event(f"u{n % 3}", f"i{n % 5}", value=POISON if n in poison else None) for n in range(count)]
        )
    )


@given(
    st.integers(1, 24),
    st.sets(st.integers(0, 23)),
    st.sets(st.integers(1, 23)),
    st.sets(st.integers(0, 4)),
    st.booleans(),
)
@law(60)
def test_the_state_is_as_if_the_poison_had_never_been_there(
    count: int, poison: set[int], cut: set[int], saves: set[int], early: bool
) -> None:
    worked = Worked(lambda: choking(early))
    everything = some(count, poison)
    edges = [0, *sorted(at for at in cut if at < count), count]
    for number, (start, end) in enumerate(pairwise(edges)):
        worked.step(everything[start:end])
        if number in saves:
            worked.save()
    poison = {n for n in poison if n < count}
    clean = processor()
    clean.process([record for record in everything if record.offset not in poison], NOW_MS)
    found, expected = outcome(worked.processor), outcome(clean)
    assert found.pop("applied") == {0: count - 1}
    assert found.pop("dead") == len(poison)
    assert found.items() <= expected.items()
    assert worked.refused == sorted(poison)
    assert set(worked.processor.pipeline.ledger.refused) == {(0, n) for n in poison}
    assert sum(one.step.events for one in worked.outcomes if one.step) == count - len(poison), (
        "each told once"
    )
    again = statistics()
    for one in worked.outcomes:
        if one.step is not None:
            again.count(one.step, NOW_MS)
    counted = worked.processor.statistics
    assert different({"": counted.state_dict()}, {"": again.state_dict()}) == [], "and counted once"


def test_a_dead_letter_says_what_the_learner_said_and_holds_the_record() -> None:
    worked = Worked(choking)
    everything = some(5, {3})
    worked.step(everything)
    [letter] = [letter for one in worked.outcomes for letter in one.dead_letters]
    assert letter.reason is Reason.LEARNER_FAILED
    assert letter.detail == (
        "The learner fails on this record: ZeroDivisionError: thirteen. Report it; replay the dead letters when it is "
        "mended."
    )
    assert (letter.offset, letter.original, letter.received_at_ms) == (3, everything[3].value, NOW_MS)


def test_records_that_fail_only_together_are_all_learned() -> None:
    made = 0

    def crowded() -> Processor:
        worked = processor()
        step = worked.pipeline.step

        def choke(events: Sequence[Event], *rest: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if len(events) > 3:
                raise ValueError("too many at once")
            return step(events, *rest, **named)

        worked.pipeline.step = choke  # type: ignore[method-assign]
        return worked

    worked = Worked(crowded)
    worked.step(some(8))
    assert (worked.refused, worked.processor.totals.events_learned, made) == ([], 8, 9)


def test_what_was_refused_stays_refused_when_a_later_step_fails() -> None:
    worked = Worked(choking)
    everything = some(12, {2, 9})
    worked.step(everything[:6])
    worked.step(everything[6:])
    assert worked.refused == [2, 9]
    assert worked.processor.totals.events_learned == 10


def test_too_many_refused_within_an_hour_stop_the_worker_with_a_sentence() -> None:
    worked = Worked(choking, limit=2)
    everything = some(12, {1, 2, 3})
    with pytest.raises(
        RecoveryError, match=r"more than 2 records within an hour.*events/0/3.*refused_per_hour"
    ):
        worked.step(everything)


def test_a_restart_does_not_reset_the_limit() -> None:
    worked = Worked(choking, limit=2)
    worked.step(some(4, {1, 2}))
    worked.save()
    restarted = Worked(choking, limit=2)
    restarted._pieces = worked._pieces
    restarted.processor = restarted._rebuild()
    with pytest.raises(RecoveryError, match="within an hour"):
        restarted.step(some(6, {1, 2, 5})[4:])


def test_an_hour_later_more_may_be_refused() -> None:
    worked = Worked(choking, limit=1)
    worked.step(some(3, {1}))
    assert worked.processor.pipeline.ledger.refused_since(NOW_MS - 3_600_000) == 1
    assert worked.processor.pipeline.ledger.refused_since(NOW_MS + 1) == 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError,
        lambda: OSError(28, "No space left on device"),
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000 bytes."),
        lambda: RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_memory_and_disk_are_no_records_fault(error: Callable[[], Exception]) -> None:
    worked = Worked(lambda: choking(error=error))
    with pytest.raises((MemoryError, OSError, RuntimeError), match=r"|memory|space"):
        worked.step(some(4, {1}))


def test_a_limit_of_nought_stops_at_the_first_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        Worked(choking, limit=0).step(some(4, {1}))


def test_without_the_steps_since_the_checkpoint_it_stops_and_says_what_to_do() -> None:
    worked = Worked(choking, max_bytes=1_000)
    worked.step(some(4))
    with pytest.raises(RecoveryError, match="start the worker again"):
        worked.step(some(5, {4})[4:])
    worked.processor = worked._rebuild()
    for record in some(5, {4})[:4]:  # a restart reads again what was not saved
        worked.step([record])


def test_a_checkpoint_older_than_the_steps_is_not_gone_on_from() -> None:
    worked = Worked(choking)
    worked.step(some(4))
    worked.save()
    worked._pieces = None
    with pytest.raises(RecoveryError, match="the last checkpoint cannot be read"):
        worked.step(some(5, {4})[4:])


def test_a_real_learner_goes_on_bit_for_bit_as_one_that_was_told_in_advance(tmp_path: Any) -> None:
    """After all its tables, optimisers and generators had been changed by the step that raised."""
    from stream.assembly import build_processor
    from stream.settings import load

    settings = load(
        overrides={
            "state_dir": tmp_path,
            "learner": {"dimension": 8, "neighbours": 8, "negatives": 8, "ranker_memory": 64},
        }
    )

    def real() -> Processor:
        worked = build_processor(settings)
        step = worked.pipeline.step

        def choke(events: Sequence[Event], *rest: Any, **named: Any) -> Any:
            made = step(events, *rest, **named)
            if any(one.value == POISON for one in events):
                raise ZeroDivisionError
            return made

        worked.pipeline.step = choke  # type: ignore[method-assign]
        return worked

    everything = some(90, {70})
    worked = Worked(real)
    worked.step(everything[:40])
    worked.save()
    worked.step(everything[40:60])
    worked.step(everything[60:80])
    worked.step(everything[80:])

    told = real()
    told.process(everything[:40], NOW_MS)
    told.process(everything[40:60], NOW_MS)
    for record in everything[60:80]:
        told.process([record], NOW_MS, {(0, 70): "ZeroDivisionError"})
    told.process(everything[80:], NOW_MS)
    for piece, arrays in told.state_dicts().items():
        for name, array in worked.processor.state_dicts()[piece].items():
            np.testing.assert_array_equal(array, arrays[name], err_msg=f"{piece} {name}")
