"""A processor that was filled knows as many as it should, and works on."""

from __future__ import annotations

import numpy as np

from benchmarks.filled import HISTORY, START_MS, Stream, _apart, fill
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


def test_each_repetition_has_neighbours_of_its_own_as_far_as_there_are_so_many() -> None:
    rows = np.resize(np.array([[1, -1], [0, 1]], np.int32), (5, 2))
    assert _apart(rows, 2, 5).tolist() == [[1, -1], [0, 1], [3, -1], [2, 3], [1, -1]]
