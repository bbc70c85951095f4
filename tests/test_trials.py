"""Reactions are bounded, tried in shadows, undone where worse, and decided the same after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event, numbered, records
from fakes import CountingLearner, processor
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from learners.knobs import Turn
from learners.learner import Lesson
from monitoring.drift import DriftFinding
from stream.drift_policy import PIECE_OF, reactions_to, turn_of
from stream.trials import DriftDecision, DriftOutcome, ReactionRules, Trials

RULES = ReactionRules(on=tuple(PIECE_OF), events=1_000, trial_events=400, cool_down=2_000)
STEP = processor().process(records(numbered([event()])), NOW_MS).step
assert STEP is not None
LESSON = STEP.lesson
RECORDS = DriftDecision | DriftOutcome


class KnobbedLearner(CountingLearner):
    """Writes down what is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.turned: list[Any] = []

    def turn(self, turn: Turn) -> None:
        self.turned.append(turn)

    def swap(self, piece: str) -> None:
        self.turned.append((piece, "swapped"))

    def settle(self, piece: str, *, keep: bool) -> None:
        self.turned.append((piece, "kept" if keep else "given up"))

    def turn_back(self, piece: str) -> None:
        self.turned.append((piece, "turned back"))


def finding(signal: str = "slates", task: str = "", **differing: Any) -> DriftFinding:
    given = {
        "number": 7,
        "direction": "worse",
        "verdict": "act",
        "before": 0.2,
        "after": 0.4,
        "since_ms": 5_000,
        "events": 0,
        "found_at_ms": 0,
        "event_time_ms": 0,
        "model_step": 0,
    }
    return DriftFinding(signal=signal, task=task, detector="page_hinkley", **{**given, **differing})


def lesson(**compared: Any) -> Lesson:
    return replace(LESSON, compared={name: np.array(pairs, np.float32) for name, pairs in compared.items()})


@dataclass
class Life:
    """Trials of a learner that only writes down what is done to it, step after step."""

    rules: ReactionRules = RULES
    learner: Any = field(default_factory=KnobbedLearner)

    def __post_init__(self) -> None:
        self.trials = Trials(self.learner, self.rules)

    def step(self, events: int, *findings: DriftFinding, **compared: Any) -> list[RECORDS]:
        return self.trials.follow(findings, lesson(**compared), events=events, now_ms=NOW_MS, event_time_ms=9)


def pairs(difference: float, count: int = 50, seed: int = 0) -> Any:
    shadow = np.random.default_rng(seed).random(count)
    noise = 0.01 * np.random.default_rng(seed + 1).normal(size=count)
    return np.stack([shadow + difference + noise, shadow], axis=1)


def outcomes(told: list[RECORDS]) -> list[tuple[str, str]]:
    return [(record.reaction, record.outcome) for record in told if isinstance(record, DriftOutcome)]


def decisions(told: list[RECORDS]) -> list[tuple[str, str]]:
    return [(record.reaction, record.decision) for record in told if isinstance(record, DriftDecision)]


def test_a_finding_that_is_reason_to_act_turns_a_piece_and_says_so() -> None:
    life = Life()
    told = life.step(100, finding())
    assert decisions(told) == [("histories", "acted"), ("ranker", "acted")]
    first = told[0]
    assert isinstance(first, DriftDecision)
    assert (first.finding, first.since_ms, first.events, first.until_events) == (7, 5_000, 100, 1_100)
    assert life.learner.turned[0] == Turn(piece="histories", since_s=5.0)


@pytest.mark.parametrize(("signal", "at_once"), [("slates", True), ("choices", False)])
def test_only_where_slates_are_answered_worse_a_reaction_serves_at_once(signal: str, at_once: bool) -> None:
    life = Life()
    told = life.step(0, finding(signal))
    assert [record.at_once for record in told if isinstance(record, DriftDecision)] == [at_once, at_once]
    assert (("histories", "swapped") in life.learner.turned) == at_once


def test_what_is_better_in_its_shadow_serves_and_is_compared_anew() -> None:
    life = Life()
    life.step(0, finding("choices"))
    assert outcomes(life.step(50, histories=pairs(0.02, count=19))) == [], "too few to tell"
    assert outcomes(life.step(60, histories=pairs(0.02, count=5))) == [("histories", "serves")]
    assert life.learner.turned[-1] == ("histories", "swapped")
    assert life.trials.running["histories"].count == 0
    assert ("histories", "kept") in outcomes(life.step(460))
    assert outcomes(life.step(1_000))[-1] == ("histories", "ended")


def test_what_is_not_better_in_its_shadow_never_serves() -> None:
    life = Life()
    life.step(0, finding("choices"))
    life.step(50, histories=pairs(-0.1), ranker=pairs(0.0))
    assert outcomes(life.step(399)) == []
    assert outcomes(life.step(400)) == [("histories", "dropped"), ("ranker", "dropped")]
    assert life.learner.turned[2:] == [("histories", "given up"), ("ranker", "given up")]


def test_what_was_better_once_and_does_harm_then_is_undone() -> None:
    life = Life()
    life.step(0, finding("choices"))
    life.step(50, histories=pairs(0.02))
    assert outcomes(life.step(60, histories=pairs(-0.1))) == [("histories", "undone")]


@pytest.mark.parametrize("verdict", ["better", "neutral", "alone"])
def test_what_is_no_reason_to_act_does_nothing(verdict: Any) -> None:
    life = Life()
    assert life.step(100, finding(verdict=verdict)) == []
    assert life.learner.turned == []


def test_what_is_worse_than_its_shadow_after_the_window_is_undone() -> None:
    life = Life()
    life.step(0, finding())
    assert outcomes(life.step(200, histories=pairs(-0.002), ranker=pairs(0.002))) == []
    assert outcomes(life.step(400)) == [("histories", "undone"), ("ranker", "kept")]
    assert ("histories", "given up") in life.learner.turned
    assert outcomes(life.step(1_000)) == [("ranker", "ended")]
    assert life.learner.turned[-1] == ("ranker", "turned back")


def test_great_harm_is_undone_at_once() -> None:
    life = Life()
    life.step(0, finding())
    assert outcomes(life.step(1, histories=pairs(-0.1))) == [("histories", "undone")]


def test_few_pairs_undo_nothing_and_the_time_ends_it() -> None:
    life = Life()
    life.step(0, finding())
    life.step(1, histories=pairs(-0.1, count=5))
    assert outcomes(life.step(400))[0] == ("histories", "kept")
    assert outcomes(life.step(1_000))[0] == ("histories", "ended")


def test_a_piece_is_turned_once_at_a_time_and_not_soon_again() -> None:
    life = Life()
    life.step(0, finding())
    assert decisions(life.step(10, finding())) == [("histories", "busy"), ("ranker", "busy")]
    life.step(1_000)
    assert decisions(life.step(2_999, finding())) == [("histories", "cool_down"), ("ranker", "cool_down")]
    assert decisions(life.step(3_000, finding())) == [("histories", "acted"), ("ranker", "acted")]


def test_what_is_switched_off_is_told_and_not_done() -> None:
    life = Life(replace(RULES, on=("ranker",)))
    assert decisions(life.step(0, finding())) == [("histories", "switched_off"), ("ranker", "acted")]
    assert life.learner.turned == [Turn(piece="ranker", rate=2.0), ("ranker", "swapped")]


def test_a_learner_without_knobs_is_left_alone() -> None:
    assert Life(learner=CountingLearner()).step(0, finding()) == []


def test_a_task_is_compared_by_its_own_losses_and_one_that_is_lightened_by_the_others() -> None:
    own = np.array([[-0.3, -0.9, -0.5, -0.2], [-0.3, np.nan, -0.5, np.nan]])  # two tasks, then their shadows
    for task, signal_undone, gain in ((0, False, 0.2), (0, True, -0.7)):
        life = Life()
        if signal_undone:
            life.trials._given_up["click"] = 0
        told = life.step(0, finding("loss", "click"))
        assert decisions(told) == [("task_weight" if signal_undone else "head_boost", "acted")]
        assert life.learner.turned[0].task == task
        life.step(1, heads=own)
        assert life.trials.running["heads"].difference == pytest.approx(gain)


def test_where_a_change_shows_says_what_is_turned() -> None:
    assert reactions_to(finding("choices"), []) == ("histories", "ranker")
    assert reactions_to(finding("calibration", "click"), []) == ("head_boost",)
    assert reactions_to(finding("loss", "click", after=2.0), []) == ("head_reset",)
    assert reactions_to(finding("loss", "click"), ["click"]) == ("task_weight",)
    for reaction, piece in PIECE_OF.items():
        assert turn_of(reaction, finding(), 1).piece == piece


def test_a_trial_that_outlasts_its_reaction_is_refused() -> None:
    with pytest.raises(ValueError, match="outlasts"):
        ReactionRules(events=10, trial_events=11)


steps = st.lists(
    st.tuples(
        st.integers(1, 300),
        st.sampled_from(["", "slates", "loss", "calibration"]),
        st.floats(-0.05, 0.05),
        st.integers(0, 40),
    ),
    min_size=1,
    max_size=40,
)


def lived(life: Life, some: list[tuple[int, str, float, int]], events: int = 0) -> list[list[RECORDS]]:
    told = []
    for more, signal, difference, count in some:
        events += more
        task = "click" if signal in ("loss", "calibration") else ""
        findings = [finding(signal, task)] if signal else []
        told.append(
            life.step(events, *findings, histories=pairs(difference, count), ranker=pairs(-difference, count))
        )
    return told


@given(steps, st.integers(0, 40))
@law(40)
def test_a_restart_decides_the_same(some: list[tuple[int, str, float, int]], cut: int) -> None:
    undisturbed, restarted = Life(), Life()
    wanted = lived(undisturbed, some)
    told = lived(restarted, some[:cut])
    after = Life()
    after.trials.load_state_dict(restarted.trials.state_dict())
    told += lived(after, some[cut:], sum(more for more, *_ in some[:cut]))
    assert told == wanted


@given(steps)
@law(40)
def test_every_reaction_ends_in_time_and_a_piece_rests_between_two(
    some: list[tuple[int, str, float, int]],
) -> None:
    life = Life()
    told = [record for each in lived(life, some) for record in each]
    told += life.step(10**6)
    assert life.trials.running == {}
    for piece in set(PIECE_OF.values()):
        began: int | None = None
        rested = -RULES.cool_down
        for record in told:
            if PIECE_OF[record.reaction] != piece:  # type: ignore[index]
                continue
            if isinstance(record, DriftDecision) and record.decision == "acted":
                assert began is None
                assert record.events - rested >= RULES.cool_down
                began = record.events
            elif isinstance(record, DriftOutcome) and record.outcome not in ("serves", "kept"):
                assert began is not None
                began, rested = None, record.events
        assert began is None
