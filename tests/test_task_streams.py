"""What the benchmark of task weights compares is labelled alike for everybody."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.task_streams import made


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_one_task_alone_is_scored_on_the_labels_that_it_has_among_others(share: float) -> None:
    stream = made("task_arrival", 0, 3_000)
    for task in range(len(stream.tasks)):
        alone = stream.only(task)
        among = sum(int(given.mask[:, task].sum()) for given in stream.labels[stream.after(share) :])
        assert sum(len(given.mask) for given in alone.labels[alone.after(share) :]) == among
    assert any(alone_.missing for alone_ in map(stream.only, range(len(stream.tasks))))


def test_the_beginning_of_a_stream_has_a_beginning_of_its_own() -> None:
    stream = made("control", 0, 3_000)
    beginning = stream.first(0.5)
    assert len(beginning.rows) == len(stream.rows) // 2
    assert beginning.after(0.2) == int(0.2 * len(beginning.rows))
    assert np.array_equal(beginning.labels[0].labels, stream.labels[0].labels)
