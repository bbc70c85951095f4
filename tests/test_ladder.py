"""What a rung's process measures, and how its time is sorted into pieces."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, event, numbered, records

from benchmarks.ladder import RUNGS, headline
from benchmarks.rungs.course import Course, Mark, Stopwatch
from benchmarks.rungs.pieces import PIECES, pieces
from benchmarks.rungs.truncated import Decoded, Nothing, Remembered
from stream.settings import load

STACKS = [
    "run (a.py:1);Processor.process (stream/processor.py:180);Pipeline.step (stream/pipeline.py:141) 1",
    "Processor.process (stream/processor.py:180);OnlineLearner.recommend (learners/online_learner.py:220);"
    "ranking_features (learners/features.py:91) 6",
    "Processor.process (stream/processor.py:180);OnlineLearner.learn_many (learners/online_learner.py:344);"
    "NeuralModel.learn_many (learners/neural.py:175);Heads.forward (learners/heads/heads.py:85) 3",
    "main (somewhere.py:1);sleep (else.py:2) 90",
]


def test_a_stopwatch_leaves_out_the_warm_up_and_ends_when_enough_was_seen() -> None:
    watch = Stopwatch(warm_up=100, events=50)
    assert not watch.see(Mark(90, 1.0, 0.5))
    with pytest.raises(RuntimeError):
        watch.result()
    assert not watch.see(Mark(120, 2.0, 1.0, slates=5))
    assert not watch.see(Mark(169, 3.0, 1.5, slates=9))
    assert watch.see(Mark(180, 4.0, 2.5, slates=11))
    assert watch.see(Mark(999, 9.0, 9.0))
    assert watch.result() == {"events": 60, "wall_s": 2.0, "cpu_s": 1.5, "slates": 6}


def test_a_course_survives_the_command_line() -> None:
    course = Course(
        rung="+ decode",
        bootstrap="127.0.0.1:9092",
        topics={"events": "mall.events"},
        group="g",
        state_dir="s",
        warm_up=1,
        events=2,
    )
    back = Course.of(["module", *course.arguments()])
    assert back.topics == course.topics
    assert (back.rung, back.warm_up, back.events) == ("+ decode", 1, 2)


def test_time_is_sorted_by_what_is_done_and_by_the_innermost_piece_of_it() -> None:
    assert pieces(STACKS) == [
        ("recommend", "features", 6),
        ("learn", "heads", 3),
        ("rest of the step", "rest", 1),
    ]


def test_a_search_of_vectors_is_not_the_network_it_is_called_from() -> None:
    search = (
        "OnlineLearner.recommend (learners/online_learner.py:240);NeuralModel.nearest (learners/neural.py:146);"
        "NeuralModel.nearest.<locals>.<listcomp> (learners/neural.py:152);nearest (learners/nearest.py:11) 4"
    )
    facts = (
        "OnlineLearner.recommend (learners/online_learner.py:240);ItemFacts.of (learners/item_facts.py:45) 4"
    )
    assert sorted(pieces([search, facts])) == [
        ("recommend", "features", 4),
        ("recommend", "nearest items", 4),
    ]


def test_what_tells_a_piece_is_the_name_of_a_file_that_is_there() -> None:
    marks = [mark for marks in PIECES.values() for mark in marks if mark.startswith("(")]
    for mark in marks:
        path = Path(__file__).parents[1] / mark.strip("(:")
        assert path.exists() or list(path.parent.glob(f"{path.name}*")), mark


def test_time_of_nothing_is_nothing() -> None:
    assert pieces([]) == []
    assert pieces(STACKS[-1:]) == []


def test_the_figures_that_are_looked_for_stand_by_their_names() -> None:
    rows: list[dict[str, Any]] = [
        {"rung": name, "events_per_s": 1_000.0 * (n + 1), "events_per_s_core": 2_000.0 * (n + 1)}
        for n, name in enumerate(RUNGS)
    ]
    found = headline([*rows, {"doing": "learn", "what": "", "share": 1.0, "us_per_event": 9.0}])
    assert found["stock_noop_events_per_s"] == 2_000.0
    assert found["learning_events_per_s"] == 6_000.0
    assert found["learning_all_events_per_s"] == 7_000.0
    assert found["learning_and_recommending_events_per_s"] == 8_000.0
    assert found["learning_and_recommending_events_per_s_core"] == 16_000.0
    assert found["learning_over_stock"] == 3.0


@pytest.mark.parametrize("kind", [Nothing, Decoded, Remembered])
def test_a_processor_that_stops_early_says_how_far_it_is(kind: type[Nothing]) -> None:
    processor = kind.new(load())
    done = processor.process(records(numbered([event(user) for user in ("ann", "bob", "ann")])), NOW_MS)
    assert done.step is None
    assert processor.states.applied == {0: 2}
    assert len(processor.states) == (2 if kind is Remembered else 0)
    with pytest.raises(ValueError, match="no event") if kind is Decoded else nullcontext():
        processor.process(records([b"no event"], first=3), NOW_MS)
