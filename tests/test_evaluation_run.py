"""Leak guards: no event sees itself, its ties or its label; and the guards are seen to hold something back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event
from fakes import CountingLearner, pipeline, user_states
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event
from learners.event_batch import EventBatch
from learners.learner import Predictions
from learners.task import Task
from stream.evaluation.protocol import Protocol, apply_protocol
from stream.evaluation.report import task_figures
from stream.evaluation.run import UNRANKED, Run, TaskRows, run_pipeline

CHOICES = frozenset({"click"})
Row = tuple[int, str, str]

logs = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["ann", "bob"]), st.sampled_from("abcde")),
    min_size=6,
    max_size=25,
)


class HistoryLearner(CountingLearner):
    """Prefers what stands in the user's history, so that who leaks into a history is found out; never undecided."""

    def predict_many(self, batch: EventBatch) -> Predictions:
        said = super().predict_many(batch)
        own = batch.histories.item_rows[batch.sequence[said.targets]]
        bonus = 100.0 * (said.candidates.rows[:, :, None] == own[:, None, :]).sum(axis=2)
        undecided = (
            1e-3 * said.candidates.rows
        )  # else the chosen item's place among its ties would depend on it
        return replace(said, scores=(said.scores + bonus - undecided).astype(np.float32))


class PeekingLearner(HistoryLearner):
    """Breaks the rule: counts the choices that it is asked to foresee before it answers."""

    def predict_many(self, batch: EventBatch) -> Predictions:
        for row in batch.item_rows[batch.target].tolist():
            self.counts[row] = self.counts.get(row, 0) + 50
        return super().predict_many(batch)


class Diverged(CountingLearner):
    def predict_many(self, batch: EventBatch) -> Predictions:
        said = super().predict_many(batch)
        return replace(said, scores=np.where(np.isfinite(said.scores), np.nan, said.scores))


def clicks(rows: Sequence[Row]) -> list[Event]:
    """Clicks by (second, user, item)."""
    return [event(user, item, occurred_at_ms=NOW_MS + 1_000 * at) for at, user, item in rows]


def timed(rows: Sequence[Row]) -> list[Row]:
    """Gaps become seconds."""
    seconds = np.cumsum([gap for gap, _, _ in rows]).tolist()
    return [(at, user, item) for at, (_, user, item) in zip(seconds, rows, strict=True)]


def played(
    events: Sequence[Event], learner: Any = None, *, exclude_seen: bool = False, **protocol: Any
) -> tuple[Run, Protocol]:
    rules = replace(apply_protocol(events, CHOICES, exclude_seen=exclude_seen), **protocol)
    run = run_pipeline(
        pipeline(learner or HistoryLearner()), user_states(), events, rules, exclude_seen=exclude_seen
    )
    return run, rules


def lists(run: Run, rules: Protocol) -> dict[int, list[str]]:
    """The list that each scored event was examined by."""
    return {
        event: [rules.item_ids[item] for item in row if item >= 0]
        for event, row in zip(rules.scored.tolist(), run.top.tolist(), strict=True)
    }


def test_ranks_and_lists_are_those_of_before_the_event() -> None:
    run, rules = played(clicks([(0, "ann", "a"), (1, "bob", "b"), (2, "ann", "b"), (3, "bob", "c")]))
    assert rules.scored.tolist() == [2, 3]
    assert lists(run, rules) == {2: ["a", "b"], 3: ["b", "a"]}
    assert run.ranks.tolist() == [1, -1], "c had never appeared"


def test_an_event_sees_none_of_its_ties() -> None:
    rows = [(0, "ann", "a"), (0, "bob", "a"), (1, "ann", "b"), (1, "ann", "b"), (1, "bob", "b")]
    run, _ = played(clicks(rows))
    assert run.ranks.tolist() == [-1, -1, -1], "b appears in this very second"
    alone, _ = played(clicks(rows), moments=np.arange(len(rows) + 1))
    assert alone.ranks.tolist() == [-1, 1, 1], "split into steps of their own, the ties are seen"


def test_a_tie_is_not_in_the_history_of_the_other() -> None:
    rows = [(0, "ann", "a"), (0, "bob", "b"), (0, "cat", "b"), (1, "ann", "b"), (1, "ann", "b")]
    run, _ = played(clicks(rows))
    assert run.ranks.tolist() == [1, 1], "else the second would find b in ann's history and rank it first"


def unmoved_by_the_future(rows: list[Row], learner: type[CountingLearner]) -> None:
    """Assert that no list changes when its event, its ties and everything after them become something else."""
    original, rules = played(clicks(rows), learner())
    before = lists(original, rules)
    for n in rules.scored.tolist():
        changed = [(at, user, item if at < rows[n][0] else "z") for at, user, item in rows]
        other, other_rules = played(clicks(changed), learner(), scored=rules.scored[rules.scored <= n])
        assert lists(other, other_rules)[n] == before[n]


@given(logs)
@law(60)
def test_a_list_depends_on_what_came_before_alone(rows: list[Row]) -> None:
    unmoved_by_the_future(timed(rows), HistoryLearner)


def test_a_learner_that_peeks_is_found_out() -> None:
    rows = [(0, "ann", "a"), (0, "bob", "b"), (1, "bob", "b"), (2, "ann", "a"), (3, "ann", "a")]
    unmoved_by_the_future(rows, HistoryLearner)
    with pytest.raises(AssertionError):
        unmoved_by_the_future(rows, PeekingLearner)


def test_ties_rank_against_us() -> None:
    class Indifferent(CountingLearner):
        def predict_many(self, batch: EventBatch) -> Predictions:
            said = super().predict_many(batch)
            return replace(
                said, scores=np.where(np.isfinite(said.scores), 1.0, said.scores).astype(np.float32)
            )

    run, _ = played(
        clicks([(0, "ann", "a"), (1, "bob", "b"), (2, "cat", "c"), (3, "ann", "a")]), Indifferent()
    )
    assert run.ranks.tolist() == [2]


def test_a_score_that_is_not_finite_ends_the_run() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        played(clicks([(0, "ann", "a"), (1, "ann", "b"), (2, "ann", "a")]), Diverged())


def test_seen_items_are_left_out_also_when_the_history_has_lost_them() -> None:
    rows = [(n, "ann", item) for n, item in enumerate("abcdefgh")] + [(8, "bob", "a"), (9, "ann", "i")]
    run, rules = played(clicks(rows), exclude_seen=True)
    assert user_states().history_length < 8
    assert lists(run, rules)[9] == []
    kept, _ = played(clicks(rows))
    assert len(lists(kept, rules)[9]) == 8


def test_what_the_learner_does_not_rank_is_neither_hit_nor_miss() -> None:
    class Half(CountingLearner):
        def predict_many(self, batch: EventBatch) -> Predictions:
            return super().predict_many(replace(batch, target=batch.target & (batch.item_rows > 0)))

    run, _ = played(clicks([(0, "ann", "a"), (1, "ann", "b"), (2, "ann", "a"), (3, "ann", "b")]), Half())
    assert run.ranks.tolist() == [-1, UNRANKED, 1]


def test_progress_is_told_in_events() -> None:
    events = clicks([(0, "ann", "a"), (0, "bob", "a"), (1, "ann", "b")])
    told: list[int] = []
    run_pipeline(pipeline(), user_states(), events, apply_protocol(events, CHOICES), on_progress=told.append)
    assert told == [2, 3]


def test_a_task_that_is_learned_by_lists_is_judged_as_yes_or_no() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 2)) < 0.3).astype(np.float32)
    rows = TaskRows(
        scores=np.clip(0.6 * labels + 0.2 + 0.1 * rng.random((200, 2)), 0.0, 1.0).astype(np.float32),
        labels=labels,
        mask=np.ones((200, 2), np.bool_),
        scored=np.arange(200) >= 40,
    )
    found = task_figures((Task(name="list", kind="ranking"), Task(name="stars", kind="regression")), rows)
    assert found["list"]["kind"] == "ranking"
    assert found["list"]["auc"] == 1.0
    assert "mae" in found["stars"]
