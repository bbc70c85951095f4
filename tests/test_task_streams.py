"""What the benchmark of task weights compares is labelled alike for everybody."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.task_streams import logged, made
from benchmarks.task_weights import scores


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


def test_an_answer_that_came_late_is_scored_once_and_as_a_yes(tmp_path: Path) -> None:
    """It is told as a no after a minute, and corrected: the first forecast is scored by what came of it."""
    rows = []
    for n in range(200):
        at = 1_500_000_000 + 45 * n
        rows.append(f"{at},u{n % 5},i{n},view,1")
        rows += [f"{at + 120},u{n % 5},i{n},like,1"] if n % 2 else []
    with gzip.open(tmp_path / "events.csv.gz", "wt") as file:
        file.write("\n".join(["timestamp,user_id,item_id,event_type,value", *sorted(rows)]) + "\n")
    stream = logged(tmp_path, 0)
    task = [one.name for one in stream.tasks].index("like")
    told = np.concatenate([given.mask[:, task] for given in stream.labels])
    late = np.concatenate([given.late[:, task] for given in stream.labels])
    answers = np.concatenate([answer[:, task] for answer in stream.answers])
    assert late.sum() > 90
    assert answers[told & ~late].mean() == pytest.approx(0.5, abs=0.03)
    forecasts = [np.full(given.mask.shape, 0.5, np.float32) for given in stream.labels]
    assert scores(stream, forecasts)[task].ratio == pytest.approx(1.0, abs=0.1)
