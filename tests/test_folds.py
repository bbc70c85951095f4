"""Learners that do not learn their own fold."""

from __future__ import annotations

import numpy as np
from builders import NOW_MS, event, numbered
from fakes import CountingLearner, pipeline, user_states

from stream.evaluation.folds import WithholdingLearner, fold_of_moment, scored_in_fold
from stream.evaluation.protocol import apply_protocol
from stream.evaluation.run import run_pipeline

CHOICES = frozenset({"click"})


def test_a_withheld_lesson_leaves_no_trace() -> None:
    learner = CountingLearner()
    made = pipeline(WithholdingLearner(learner))
    states = user_states()
    made.step([event(item="a")], states, 0)
    made.learner.may_learn = False  # type: ignore[attr-defined]
    step = made.step([event(item="b")], states, 0)
    assert (learner.counts, learner.step, step.model_step) == ({0: 1}, 1, 1)
    assert np.isnan(step.lesson.task_losses).all()


def test_a_fold_is_foreseen_by_the_learner_that_never_learned_it() -> None:
    learner = CountingLearner()
    held = WithholdingLearner(learner)
    events = numbered([event(item=item) for item in "abcdefgh"])
    protocol = apply_protocol(events, CHOICES)

    def before(moment: int) -> None:
        held.may_learn = fold_of_moment(moment, 3) != 1

    run = run_pipeline(pipeline(held), user_states(), events, protocol, before_moment=before)
    assert sorted(learner.counts) == [0, 2, 3, 5, 6], "moments 1, 4 and 7 are the fold"
    assert len(run.ranks) == len(protocol.scored), "and everything is foreseen all the same"


def test_every_scored_event_lies_in_one_fold() -> None:
    seconds = [0, 0, 1, 2, 2, 2, 3, 4, 5, 6]
    events = [event(item=f"i{n}", occurred_at_ms=NOW_MS + 1_000 * at) for n, at in enumerate(seconds)]
    protocol = apply_protocol(events, CHOICES)
    folds = [scored_in_fold(protocol, fold, 3).tolist() for fold in range(3)]
    assert sorted([*folds[0], *folds[1], *folds[2]]) == list(range(len(protocol.scored)))
    assert [seconds[protocol.scored[n]] % 3 for n in folds[2]] == [2] * len(folds[2])
