"""Objects are weighed by what they really hold."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import torch

from learners.adam import adam_of
from learners.row_index import RowIndex
from stream.pending import PendingImpressions
from stream.weighing import weigh


def test_arrays_count_once_and_whole_whoever_looks_at_them() -> None:
    array = np.zeros(1_000)
    held = weigh({"a": array, "b": array[:10], "c": array.reshape(10, 100)})
    assert 8_000 <= held.total() < 8_800
    assert held["a"] >= 8_000


def test_tensors_and_what_modules_hold_count() -> None:
    layer = torch.nn.Linear(100, 50)
    assert 4 * 5_050 <= weigh(layer).total() < 4 * 5_050 + 20_000
    optimiser = adam_of(layer.parameters(), 0.01)
    before = weigh(optimiser).total()
    layer(torch.ones(1, 100)).sum().backward()
    optimiser.step()
    assert weigh(optimiser).total() - before >= 2 * 4 * 5_050, "two moments"


def test_names_lead_to_where_it_stands() -> None:
    held = weigh(PendingImpressions(256))
    assert held["user"] == 256 * 8
    assert held["shown"] == 0
    assert held["_marks"] == 256


def test_classes_and_what_all_share_do_not_count() -> None:
    assert weigh(RowIndex).total() == 0
    assert weigh([None, True, False]).total() <= sys.getsizeof([1, 2, 3]) + 16


def test_python_containers_weigh_what_the_allocator_gave() -> None:
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    index = RowIndex(10_000)
    for start in range(0, 5_000, 500):
        index.admit([f"user-{n:07d}" for n in range(start, start + 500)])
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert abs(weigh(index).total() / taken - 1.0) < 0.08
