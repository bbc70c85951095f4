"""A processor that was filled knows as many as it should, and works on."""

from __future__ import annotations

import numpy as np

from benchmarks.filled import HISTORY, START_MS, Stream, _lists, fill
from learners.counts.neighbours import NeighbourTable
from stream.assembly import build_processor
from stream.settings import load


def test_a_filled_processor_knows_all_and_works_on() -> None:
    processor = build_processor(load(overrides={"state": {"history_length": HISTORY}}))
    stream = Stream(900, 700, evenly=False)
    processor.process(stream.records(200), START_MS)
    fill(processor, stream, 900, 700)
    assert (len(processor.states), len(processor.pipeline.items)) == (900, 700)
    assert (processor.states.remembered(np.arange(900)) == HISTORY).all()
    done = processor.process(stream.records(64), START_MS)
    assert done.step is not None
    assert done.step.events == 64
    assert all(slate.items for slate in done.recommendations)
    assert (len(processor.states), len(processor.pipeline.items)) == (900, 700)


def test_who_goes_with_whom_is_as_many_as_the_histories_would_have_met() -> None:
    table = NeighbourTable(6, np.array([60.0, 120.0]))
    filled = np.array([0, 6, 3, 1])
    table.load_state_dict(_lists(filled, 50, table.state_dict()))
    for row, count in enumerate(filled.tolist()):
        rows, shares = table.shares(row, START_MS / 1e3)
        assert len(rows) == count
        assert (rows < 50).all()
        assert (shares.sum(axis=0) < 1.0).all(), "totals are theirs, and a prior"


def test_popular_items_have_all_the_neighbours_there_is_room_for() -> None:
    processor = build_processor(load(overrides={"state": {"history_length": HISTORY}}))
    stream = Stream(100, 5_000, evenly=False)
    processor.process(stream.records(64), START_MS)
    fill(processor, stream, 100, 5_000)
    counts = processor.pipeline.learner._counts  # type: ignore[attr-defined]
    found = [len(counts.transitions.of(row)) for row in range(5_000)]
    assert found[0] == 80
    assert found[-1] < 5
    assert sorted(found, reverse=True) == found
