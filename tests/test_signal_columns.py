"""What of steps is watched, in sums and counts, against steps made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import TASKS
from test_statistics import STEP

from stream.pipeline import Forecasts, Served, Step
from stream.signal_columns import LabelSums, SignalColumns, watched

SIGNALS = [f"{signal.name} {signal.task}".strip() for signal in watched(TASKS)]
DAY_MS = 86_400_000


def came(labels: np.ndarray, foreseen: np.ndarray) -> Forecasts:
    return Forecasts(foreseen=foreseen, came=labels, mask=np.ones(labels.shape, np.bool_))


def a_step(**differing: Any) -> Step:
    given = {
        "items": np.arange(64),
        "types": np.zeros(64, np.int64),
        "ranks": np.zeros(0, np.int64),
        "known": np.zeros(0, np.bool_),
        "forecasts": came(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)),
        "label_delay_s": np.zeros(0, np.float32),
        "event_time_ms": DAY_MS,
        "slates": Served(),
    }
    return replace(STEP, **{**given, **differing})


def read(
    columns: SignalColumns, step: Step, answers: tuple[int, int] = (0, 0), bits: float | None = None
) -> Any:
    settled = step.forecasts
    sums = LabelSums(settled.mask.sum(axis=0), settled.came.sum(axis=0), settled.foreseen.sum(axis=0))
    told = columns.read(step, sums, answers, bits)
    return told and dict(
        zip(SIGNALS, zip(told.sums.tolist(), told.counts.tolist(), strict=True), strict=True)
    )


def test_nothing_is_told_of_few_events_and_all_of_it_then() -> None:
    columns = SignalColumns(TASKS)
    few = a_step(items=np.arange(40), types=np.zeros(40, np.int64))
    assert read(columns, few, (1, 10)) is None
    told = read(columns, few, (2, 10), bits=8.0)
    assert told["slates"] == (3.0, 20.0)
    assert told["popularity"] == (8.0, 40.0)
    assert read(columns, few) is None, "it begins again"


def test_choices_are_worth_their_discounted_gain() -> None:
    step = a_step(ranks=np.array([0, 2, -1]), known=np.array([True, True, False]))
    told = read(SignalColumns(TASKS), step)
    assert told["choices"] == (pytest.approx(1.5), 3.0)
    assert told["new_items"] == (1.0, 3.0)


def test_a_loss_counts_for_the_examples_that_it_was_learned_of() -> None:
    """They waited for a gradient step, and most came with steps before this one."""
    lesson = replace(STEP.lesson, retrieval_loss=2.0, retrieved=32, ranking_loss=0.5, ranked=16)
    told = read(SignalColumns(TASKS), a_step(lesson=lesson))
    assert told["retrieval_loss"] == (64.0, 32.0)
    assert told["ranking_loss"] == (8.0, 16.0)
    nothing = read(SignalColumns(TASKS), a_step())
    assert nothing["retrieval_loss"] == nothing["ranking_loss"] == (0.0, 0.0)


def test_a_task_is_watched_once_four_of_its_windows_have_passed() -> None:
    columns = SignalColumns(TASKS)
    labels = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    settled = {"forecasts": came(labels, np.array([[0.5, 0.1], [0.5, 0.1]], np.float32))}
    first = read(columns, a_step(**settled))
    assert (first["loss click"], first["loss purchase"]) == ((0.0, 0.0), (0.0, 0.0))
    later = read(columns, a_step(event_time_ms=DAY_MS + 240_000, **settled))
    assert later["calibration click"] == (0.0, 2.0)
    assert later["labels click"] == (1.0, 2.0)
    assert later["forecasts click"] == (1.0, 2.0)
    assert later["loss click"] == (pytest.approx(0.0, abs=1e-6), 2.0), "as good as the base rate alone"
    assert later["loss purchase"] == (0.0, 0.0)
    assert read(columns, a_step(event_time_ms=DAY_MS + 2_400_000, **settled))["loss purchase"][1] == 2.0


def test_labels_of_a_rare_task_fill_a_group_as_far_as_they_tell_something() -> None:
    """One in four is a click, one in sixty-four a purchase: so many purchases as clicks take more labels."""
    columns = SignalColumns(TASKS)
    labels = np.zeros((640, 2), np.float32)
    labels[::4, 0] = labels[::64, 1] = 1.0
    forecasts = came(labels, np.full(labels.shape, 0.1, np.float32))
    sums = LabelSums(np.array([640, 640]), labels.sum(axis=0), np.array([64.0, 64.0]))
    for n in range(40):
        told = columns.read(a_step(event_time_ms=(n + 1) * DAY_MS, forecasts=forecasts), sums, (3, 10), None)
    assert told is not None
    filled = dict(zip(SIGNALS, told.filled.tolist(), strict=True))
    assert filled["labels click"] == 640.0
    assert filled["labels purchase"] == filled["loss purchase"] == pytest.approx(160.0, rel=0.02)
    assert filled["slates"] == 10.0


def test_a_type_that_is_not_usual_surprises() -> None:
    columns = SignalColumns(TASKS)
    for _ in range(20):
        usual = read(columns, a_step())["event_types"]
    surprising = read(columns, a_step(types=np.full(64, 5)))["event_types"]
    assert surprising[0] > usual[0] + 64.0
    assert surprising[1] == 64.0


def test_a_restart_tells_the_same() -> None:
    before, after = SignalColumns(TASKS), SignalColumns(TASKS)
    some = a_step(
        items=np.arange(40), types=np.ones(40, np.int64), ranks=np.array([3]), known=np.array([True])
    )
    read(before, some, (1, 10))
    after.load_state_dict(before.state_dict())
    assert read(before, some, (1, 10)) == read(after, some, (1, 10))
