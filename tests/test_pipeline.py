"""Predict, learn, update, recommend: in this order, and from what each may see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event, numbered
from fakes import CountingLearner, pipeline, user_states

from connectors.event import Event
from learners.row_index import ABSENT
from stream.pipeline import Pipeline, Share, Step
from stream.slate_ids import slate_number
from stream.user_states import UserStates

AT_MS = NOW_MS + 60_000


class Stage:
    """A pipeline over a counting learner, with its users."""

    def __init__(self, *, max_users: int = 1_000, **bounds: Any) -> None:
        self.learner = CountingLearner()
        self.pipeline: Pipeline = pipeline(self.learner, **bounds)
        self.users: UserStates = user_states(max_users=max_users)

    def step(self, *events: Event) -> Step:
        return self.pipeline.step(events, self.users, AT_MS)

    def names(self, step: Step) -> list[list[str]]:
        return [[item.item_id for item in slate.items] for slate in step.recommendations]


def test_it_predicts_then_learns_then_recommends() -> None:
    stage = Stage()
    stage.step(event())
    assert [call for call, _ in stage.learner.diary] == ["predict", "learn", "recommend"]


def test_a_prediction_sees_none_of_its_steps_choices() -> None:
    stage = Stage()
    stage.step(event(item="a"))
    stage.step(*numbered([event(item="b"), event(item="b", user="bob")]))
    _, (batch, counted) = stage.learner.diary[3]
    assert counted == {0: 1}, "the counts of the step before"
    assert batch.histories.item_rows[batch.sequence[1]].tolist() == [ABSENT] * 5, "bob has done nothing yet"


def test_a_prediction_sees_the_users_earlier_events_of_the_same_step() -> None:
    stage = Stage()
    stage.step(*numbered([event(item="a"), event(item="b")]))
    _, (batch, _) = stage.learner.diary[0]
    assert batch.histories.item_rows[batch.sequence].tolist() == [[ABSENT] * 5, [ABSENT] * 4 + [0]]


def test_what_is_learned_is_what_was_predicted() -> None:
    stage = Stage()
    stage.step(event())
    (_, (predicted, _)), (_, (learned, predictions)), _ = stage.learner.diary
    assert learned is predicted
    assert predictions.targets.tolist() == [0]


def test_ranks_are_from_before_learning() -> None:
    stage = Stage()
    step = stage.step(event(item="a"))
    assert (step.ranks.tolist(), step.known.tolist(), step.repeats.tolist()) == ([-1], [False], [False])
    step = stage.step(*numbered([event(item="a"), event(item="a", user="bob")]))
    assert (step.ranks.tolist(), step.known.tolist()) == ([0, 0], [True, True])
    assert step.repeats.tolist() == [True, False], "ann had it in her history, bob had not"


def test_a_task_that_nobody_ever_answered_makes_no_rows() -> None:
    stage = Stage()
    stage.learner.known = np.array([True, False])
    end = event(item="z", occurred_at_ms=NOW_MS + 3_600_000)
    stage.step(*numbered([event(kind="impression")]))
    step = stage.step(end)
    assert step.label_mask.any(axis=0).tolist() == [True, False], "both windows have closed"
    silent = Stage()
    silent.learner.known = np.zeros(2, np.bool_)
    silent.step(*numbered([event(kind="impression")]))
    assert len(silent.step(end).labels) == 0


def test_a_late_positive_is_told_as_such() -> None:
    stage = Stage()
    stage.pipeline._attribution._latest_ms = [120_000, -1]
    stage.step(event(kind="impression"))
    stage.step(event(item="z", occurred_at_ms=NOW_MS + 61_000))
    step = stage.step(event(occurred_at_ms=NOW_MS + 62_000))
    assert (step.labels[:, 0].tolist(), step.label_late[:, 0].tolist()) == ([1.0], [True])


def test_a_slate_is_made_from_the_newest_state() -> None:
    stage = Stage()
    step = stage.step(event(item="a"))
    assert stage.names(step) == [["a"]], "what was just learned is in it"
    _, histories = stage.learner.diary[-1]
    assert histories.item_rows.tolist() == [[ABSENT] * 4 + [0]], "and the event itself is in the history"
    assert histories.now_s.tolist() == [NOW_MS / 1000.0]


def test_each_touched_user_gets_one_slate_with_its_last_event_as_trigger() -> None:
    stage = Stage()
    events = numbered(
        [
            event(item="a"),
            event("bob", "b"),
            event(item="c"),
            event("bob", "a", "impression"),
            event("cat", "c"),
        ]
    )
    step = stage.step(*events)
    triggers = {slate.user_id: slate.trigger_event_id for slate in step.recommendations}
    assert triggers == {"ann": "e2", "bob": "e3", "cat": "e4"}
    assert len(step.recommendations) == 3
    _, histories = stage.learner.diary[-1]
    by_user = dict(
        zip([slate.user_id for slate in step.recommendations], histories.now_s.tolist(), strict=True)
    )
    assert by_user == {"ann": NOW_MS / 1e3 + 2.0, "bob": NOW_MS / 1e3 + 3.0, "cat": NOW_MS / 1e3 + 4.0}


def test_a_recommendation_says_who_made_it_when_from_what() -> None:
    stage = Stage()
    stage.step(event(item="a"))
    slate = stage.step(event(item="b", event_id="e2")).recommendations[0]
    assert (slate.user_id, slate.trigger_event_id, slate.generated_at_ms) == ("ann", "e2", AT_MS)
    assert (slate.model.version, slate.model.step, slate.outcome) == ("counting", 2, "ok")
    assert [(item.item_id, item.rank, item.because) for item in slate.items] == [("a", 0, "b"), ("b", 1, "b")]
    assert slate.items[0].scores == {"click": 0.0, "purchase": 0.0}


def test_with_nothing_to_recommend_the_slate_is_an_empty_fallback() -> None:
    slate = Stage().step(event(kind="impression")).recommendations[0]
    assert (slate.outcome, slate.items) == ("fallback", [])


def test_a_recommendations_id_comes_from_its_trigger_alone() -> None:
    one, other = Stage(), Stage()
    other.step(event(item="z", user="zoe"))
    ids = [stage.step(event(event_id="e7")).recommendations[0].recommendation_id for stage in (one, other)]
    assert ids[0] == ids[1] == f"{slate_number(event(event_id='e7'), 'counting'):016x}"
    assert len(ids[0]) == 16


@pytest.mark.parametrize(
    "other",
    [
        slate_number(event(event_id="e2"), "1"),
        slate_number(event(user="bob"), "1"),
        slate_number(event(), "2"),
        slate_number(event(occurred_at_ms=7), "1"),
    ],
    ids=["event", "user", "version", "time"],
)
def test_another_trigger_user_time_or_model_makes_another_id(other: int) -> None:
    assert slate_number(event(), "1") != other


def test_a_recommendations_id_is_the_same_in_every_process() -> None:
    assert f"{slate_number(event(), '1'):016x}" == "09c3db5783130dfa"


def test_the_slate_is_remembered_with_its_user() -> None:
    stage = Stage()
    step = stage.step(event(item="a"))
    ann = stage.users.user("ann")
    assert ann is not None
    assert (ann.slate_rows, ann.slate_at_ms) == ([0], AT_MS)
    assert f"{ann.slate_id:016x}" == step.recommendations[0].recommendation_id


def test_labels_reach_the_step_and_the_learner() -> None:
    stage = Stage()
    step = stage.step(event(kind="impression", position=3))
    assert len(step.labels) == 0
    step = stage.step(event(occurred_at_ms=NOW_MS + 5_000))
    assert (step.labels.tolist(), step.label_mask.tolist()) == ([[1.0, 0.0]], [[True, False]])
    assert step.label_delay_s.tolist() == [5.0]
    assert not len(step.forecasts), "a yes alone settles nothing"
    _, (batch, _) = stage.learner.diary[-2]
    assert batch.position.tolist() == [-1, 3]
    assert batch.label_mask[1].tolist() == [True, False]


def test_a_step_counts_what_it_did() -> None:
    step = Stage().step(*numbered([event(), event(kind="impression"), event("bob")]))
    assert (step.events, step.model_step, step.event_time_ms) == (3, 1, NOW_MS + 2_000)
    out_of_order = Stage().step(event(occurred_at_ms=NOW_MS), event(occurred_at_ms=NOW_MS - 9))
    assert out_of_order.event_time_ms == NOW_MS


def test_items_beyond_the_bound_are_forgotten_everywhere() -> None:
    stage = Stage(max_items=2)
    stage.step(*numbered([event(item="a"), event(item="b")]))
    stage.step(event(item="b"))
    step = stage.step(event("bob", "c"))
    assert stage.names(step) == [["b", "c"]]
    forgotten = [rows for call, rows in stage.learner.diary if call == "forget"]
    assert forgotten == [[0]]
    calls = [call for call, _ in stage.learner.diary]
    assert calls[calls.index("forget") + 1] == "predict", "forgotten before the row is used again"
    ann = stage.users.user("ann")
    assert ann is not None
    assert [stage.pipeline.items.id(row) for row in ann.item_rows] == ["b", "b"], "c has the row of a"


def test_a_forgotten_user_gets_slates_again_as_a_stranger() -> None:
    stage = Stage(max_users=1)
    stage.step(event(item="a"))
    stage.step(event("bob", "b"))
    step = stage.step(event(kind="impression", item="c"))
    assert [slate.user_id for slate in step.recommendations] == ["ann"]
    assert stage.users.user("ann").item_rows == []  # type: ignore[union-attr]


def test_scores_are_rounded_for_the_wire() -> None:
    stage = Stage()

    class Precise(CountingLearner):
        def recommend(self, histories: Any, size: int) -> Any:
            slates = super().recommend(histories, size)
            slates.scores[:] = np.float32(1 / 3)
            return slates

    stage.pipeline = pipeline(Precise())
    assert stage.step(event()).recommendations[0].items[0].score == 0.33333


def test_a_small_propensity_is_not_rounded_to_nothing() -> None:
    """Whoever weighs clicks divides by it."""
    stage = Stage()

    class Daring(CountingLearner):
        def recommend(self, histories: Any, size: int) -> Any:
            slates = super().recommend(histories, size)
            slates.propensity[:] = np.float32(1.23456789e-7)
            return slates

    stage.pipeline = pipeline(Daring())
    assert stage.step(event()).recommendations[0].items[0].propensity == pytest.approx(1.2346e-7, rel=1e-9)


def test_a_task_that_was_never_seen_to_succeed_is_not_foretold() -> None:
    class Half(CountingLearner):
        def recommend(self, histories: Any, size: int) -> Any:
            slates = super().recommend(histories, size)
            slates.trained[0] = False
            slates.task_scores[:, :, 1] = 0.25
            return slates

    stage = Stage()
    stage.pipeline = pipeline(Half())
    assert stage.step(event()).recommendations[0].items[0].scores == {"purchase": 0.25}


def test_a_step_tells_what_its_slates_hold() -> None:
    states, made = user_states(), pipeline()
    made.step([event(item="a"), event("bob", item="b")], states, NOW_MS)
    step = made.step([event("cid", item="a")], states, NOW_MS)
    assert step.slates.columns is not None
    a, b = made.items.row("a"), made.items.row("b")
    assert step.slates.columns.item_rows.tolist() == [[a, b, ABSENT]]
    assert step.slates.columns.repeats.tolist() == [[True, False, False]]
    assert step.items.tolist() == [a]
    assert made.step([event(item="a")], states, NOW_MS, slates=False).slates.columns is None


def test_events_that_answer_a_slate_are_told_and_only_this_workers() -> None:
    named = event(item="a", recommendation_id="s", position=0)
    some = [event(item="a", recommendation_id="s"), named, event(item="a", position=0), named]
    assert list(pipeline().step(some, user_states(), NOW_MS).answering) == [named, named]
    share = Share(own=np.array([True, False, True, True]), served=np.ones(4, np.bool_))
    assert list(pipeline().step(some, user_states(), NOW_MS, share=share).answering) == [named]
