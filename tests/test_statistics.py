"""Statistics are state: they go on over a restart bit for bit, and no step counts twice, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record, event, numbered, records
from checkpointed import different
from fakes import TASKS, CountingLearner, in_one_portion, processor, statistics
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from learners.candidates import SOURCES
from learners.row_index import ABSENT
from learners.task import Task
from learners.task_map import TaskMap
from monitoring.drift import DriftFinding
from stream.checkpoints.store import CheckpointStore
from stream.pipeline import Forecasts, Served, ServedColumns, Step
from stream.processor import Processor
from stream.slate_ids import slate_id
from stream.statistics import Statistics

K = len(TASKS)
SAME = TaskMap.of({}, TASKS)


def a_step() -> Step:
    step = processor().process(records(numbered([event()])), NOW_MS).step
    assert step is not None
    return step


STEP = a_step()


def made_up_steps(seed: int) -> Iterator[Step]:
    """Steps of all kinds: choices, labels, slates and answers to them; losses that jump now and then."""
    rng = np.random.default_rng(seed)
    slates: list[int] = []
    level, at_ms = 0.2, 10**12
    while True:
        T, L, S = (int(rng.integers(0, most)) for most in (6, 40, 4))
        level = 0.9 - level if rng.random() < 0.004 else level
        at_ms += 60_000
        there = rng.random(K) < 0.7
        items = rng.integers(0, 3_000, (S, 3))
        items[rng.random((S, 3)) < 0.2] = ABSENT
        ids = rng.integers(0, 2**63, S, dtype=np.uint64)
        slates += ids.tolist()
        answering = [
            event(
                kind=str(rng.choice(["impression", "click", "like"])),
                recommendation_id=slate_id(slates[int(rng.integers(0, len(slates)))]),
                position=int(rng.integers(0, 4)),
            )
            for _ in range(3 if slates else 0)
        ]
        labels = (rng.random((L, K)) < 0.3).astype(np.float32)
        mask = there & (rng.random((L, K)) < 0.8)
        lesson = replace(
            STEP.lesson,
            task_losses=np.where(there, level + 0.05 * rng.normal(size=K), np.nan).astype(np.float32),
            task_labels=np.where(there, rng.integers(1, 50, K), 0),
            task_weights=rng.random(K).astype(np.float32),
            retrieval_loss=float(rng.choice([rng.random(), np.nan])),
            retrieved=int(rng.integers(1, 50)),
            gradient_norms=rng.random(K).astype(np.float32),
            relatedness=rng.normal(size=(K, K)).astype(np.float32) if rng.random() < 0.5 else None,
        )
        yield replace(
            STEP,
            ranks=rng.integers(-1, 25, T),
            known=rng.random(T) < 0.5,
            was_candidate=rng.random(T) < 0.5,
            forecasts=Forecasts(
                foreseen=np.clip(level + 0.05 * rng.normal(size=(L, K)), 0.01, 0.99).astype(np.float32),
                came=labels,
                mask=mask,
            ),
            labels=labels,
            label_mask=mask,
            label_late=np.zeros((L, K), np.bool_),
            label_delay_s=np.zeros(L, np.float32),
            lesson=lesson,
            items=rng.integers(0, 3_000, int(rng.integers(0, 300))),
            slates=Served(
                columns=ServedColumns(
                    ids=ids,
                    item_rows=items,
                    sources=rng.integers(0, len(SOURCES), (S, 3)),
                    repeats=np.zeros((S, 3), np.bool_),
                    new=np.zeros((S, 3), np.bool_),
                )
            )
            if S
            else Served(),
            answering=answering,
            event_time_ms=at_ms - int(rng.integers(0, 30_000)),
        )


def state(of: Statistics) -> dict[str, Any]:
    return {"statistics": of.state_dict()}


def taken_up(before: Statistics, **settings: Any) -> Statistics:
    after = statistics(**settings)
    after.load_state_dict({name: array.copy() for name, array in before.state_dict().items()}, SAME)
    return after


@given(st.integers(0, 2**32), st.lists(st.integers(1, 60), min_size=1, max_size=4))
@law(25)
def test_a_restart_changes_nothing_that_is_told_later(seed: int, lives: list[int]) -> None:
    """A restart after each life; the other one lives on."""
    undisturbed = restarted = statistics()
    steps = made_up_steps(seed)
    for life in lives:
        restarted = taken_up(restarted)
        for step in (next(steps) for _ in range(life)):
            told, wanted = restarted.count(step, NOW_MS), undisturbed.count(step, NOW_MS)
            assert (told.findings, told.novelty_bits) == (wanted.findings, wanted.novelty_bits)
            assert np.array_equal(told.answers, wanted.answers)
        assert different(state(restarted), state(undisturbed)) == []
        assert list(restarted.latest) == list(undisturbed.latest)


def test_the_same_drift_is_found_over_a_restart_before_each_step() -> None:
    undisturbed = restarted = statistics()
    found: list[DriftFinding] = []
    steps = made_up_steps(3)
    for step in (next(steps) for _ in range(2_000)):
        restarted = taken_up(restarted)
        told, wanted = restarted.count(step, NOW_MS), undisturbed.count(step, NOW_MS)
        assert told.findings == wanted.findings
        found += wanted.findings
    assert {finding.direction for finding in found} == {"worse", "better"}, "there was something to find"
    assert restarted.found == len(found)


def test_figures_in_other_windows_are_those_of_what_fits() -> None:
    before, steps = statistics(window=100), made_up_steps(1)
    small = statistics(window=20)
    for step in (next(steps) for _ in range(30)):
        before.count(step, NOW_MS)
        small.count(step, NOW_MS)
    taken = taken_up(before, window=20)
    larger = taken_up(before, window=300)
    for task in range(K):
        assert taken.windows.figures(task) == small.windows.figures(task)
        assert larger.windows.figures(task) == before.windows.figures(task)
    for step in (next(steps) for _ in range(30)):
        for each in (before, larger, taken, small):
            each.count(step, NOW_MS)
    for task in range(K):
        assert taken.windows.figures(task) == small.windows.figures(task)
        assert larger.windows.held(task) > before.windows.held(task) == 100
    assert taken.ranking.hit_rate() == pytest.approx(small.ranking.hit_rate())


def test_what_a_checkpoint_does_not_hold_begins() -> None:
    some = statistics(drift=False)
    some.count(next(made_up_steps(0)), NOW_MS)
    watching = taken_up(some)
    assert watching.ranking.scored == some.ranking.scored
    fresh = statistics()
    assert (
        different(
            {"": {k: v for k, v in watching.state_dict().items() if k.startswith("drift.")}},
            {"": {k: v for k, v in fresh.state_dict().items() if k.startswith("drift.")}},
        )
        == []
    )
    fresh.load_state_dict({}, SAME)
    assert fresh.ranking.scored == 0


def test_a_task_keeps_what_is_its_own_and_a_new_one_begins() -> None:
    before, steps = statistics(), made_up_steps(2)
    for step in (next(steps) for _ in range(60)):
        before.count(step, NOW_MS)
    now = (Task(name="like", value=4.0), TASKS[1], TASKS[0])
    after = statistics(now)
    saved = {**before.state_dict(), **CountingLearner().state_dict()}
    after.load_state_dict(before.state_dict(), TaskMap.of(saved, now))
    for name in ("losses", "gradients", "rates", "foreseen"):
        old, new = getattr(before, name).values, getattr(after, name).values
        assert np.array_equal(new, [np.nan, old[1], old[0]], equal_nan=True), name
    assert after.labels.tolist() == [0, before.labels[1], before.labels[0]]
    assert after.weights.tolist() == [4.0, before.weights[1], before.weights[0]]
    related = before.related.values.reshape(K, K)
    assert np.array_equal(after.related.values.reshape(3, 3)[1:, 1:], related[::-1, ::-1])
    assert [after.windows.held(task) for task in range(3)] == [
        0,
        before.windows.held(1),
        before.windows.held(0),
    ]
    assert after.windows.figures(1) == before.windows.figures(1)
    kept = after.state_dict()
    assert kept["drift.lengths"][0] == statistics().state_dict()["drift.lengths"][0]
    of_tasks = kept["drift.signals.counts"][:12].reshape(3, 4)
    was = before.state_dict()["drift.signals.counts"][:8].reshape(2, 4)
    assert of_tasks.tolist() == [[0.0] * 4, *was[::-1].tolist()]
    assert was.any()


# --- with offsets


def visits(count: int) -> list[Record]:
    """Impressions and clicks of a few users, and what a shopper answers to slates that were made up to then."""
    rng = np.random.default_rng(count)
    kinds = ("impression", "click", "purchase")
    events: list[Event] = [
        event(
            f"u{rng.integers(0, 4)}",
            f"i{rng.integers(0, 5)}",
            kinds[int(rng.integers(0, 3))],
            occurred_at_ms=NOW_MS + 30_000 * n,
        )
        for n in range(count)
    ]
    return records(numbered(events))


def play(worked: Processor, some: list[Record], edges: list[int]) -> None:
    for start, end in pairwise(edges):
        worked.process(some[start:end], NOW_MS + 10**9)


@pytest.mark.parametrize("read_again", [0, 7])
def test_a_kill_after_a_checkpoint_changes_nothing_once_its_records_are_read_again(
    tmp_path: Path, read_again: int
) -> None:
    some = visits(40)
    undisturbed, killed = processor(), processor()
    play(undisturbed, some, [0, 3, 12, 20, 31, 40])
    play(killed, some, [0, 3, 12])
    store = CheckpointStore(tmp_path)
    store.write(
        in_one_portion(killed),
        topic="events",
        applied=killed.states.applied,
        totals=killed.totals_dict(),
        summary={},
        now_ms=NOW_MS,
    )
    play(killed, some, [12, 20, 31])  # and gone
    found = CheckpointStore(tmp_path).latest()
    assert found is not None
    after = processor()
    after.load(found.pieces, found.manifest.totals)
    play(after, some, [12 - read_again, 20, 31, 40])
    assert different(state(after.statistics), state(undisturbed.statistics)) == []
    assert after.statistics.ranking.scored > 0
    assert after.statistics.labels.sum() > 0
