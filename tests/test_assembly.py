"""From settings to working pieces. Imports torch: the whole is put together."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event, numbered, records

from connectors.event_types import canonical_type
from learners.online_learner import OnlineLearner
from stream.assembly import build_decoder, build_processor, build_states
from stream.processor import Processor
from stream.settings import Settings, load

SMALL = {"learner": {"dimension": 8, "negatives": 8}, "recommend": {"exploration": 0.0, "slate_size": 4}}


def settings(**sections: Any) -> Settings:
    return load(overrides={**SMALL, **sections})


def built(**sections: Any) -> Processor:
    return build_processor(settings(**sections))


def targets(processor: Processor, *types: str) -> list[bool]:
    """Which types are choices: of different items each, so that none is a follow-up."""
    batcher = processor.pipeline.batcher
    events = [event(user=f"u{n}", kind=kind) for n, kind in enumerate(types)]
    return batcher.arrivals(events, processor.states, processor.pipeline.items).target.tolist()


def test_settings_reach_the_learner() -> None:
    learner = built(
        learner={"dimension": 12, "encoder": "gru", "weighting": "equal", "seed": 5},
        tasks=[
            {"name": "buy", "event_types": ["purchase"], "value": 3.0, "window_s": 7.0},
            {"name": "stars", "kind": "regression", "event_types": ["rating"]},
        ],
    ).pipeline.learner
    assert isinstance(learner, OnlineLearner)
    config = learner.config
    assert (config.dimension, config.encoder, config.seed) == (12, "gru", 5)
    assert config.multitask.weighting == "equal"
    assert config.slates.exploration.probability == 0.0
    buy, stars = learner.tasks
    assert (buy.name, buy.kind, buy.value, buy.window_s) == ("buy", "binary", 3.0, 7.0)
    assert (stars.name, stars.kind) == ("stars", "regression")


def test_settings_reach_the_bounds() -> None:
    processor = built(
        state={"history_length": 7, "max_users": 11, "max_items": 13, "max_pending": 17},
        events={"max_bytes": 200},
    )
    assert (processor.states.history_length, processor.states.index.capacity) == (7, 11)
    assert processor.pipeline.items.capacity == 13
    assert processor.states.pending_of(0).capacity == 17
    letters = processor.process(records([b"{" + b" " * 300 + b"}"]), NOW_MS).dead_letters
    assert [letter.reason for letter in letters] == ["oversized"]


def test_choices_are_what_a_user_goes_for() -> None:
    chosen = targets(built(), "click", "purchase", "rating", "impression", "dwell", "dislike", "return")
    assert chosen == [True, True, True, False, False, False, False]


def test_declared_types_say_whether_they_are_choices() -> None:
    processor = built(
        events={"types": {"listen": {}, "hum": {"target": False}, "click": {"target": False}, "dwell": {}}}
    )
    assert targets(processor, "listen", "hum", "click", "dwell") == [True, False, False, True]


def test_what_only_shows_or_tells_how_long_something_took_enters_no_history() -> None:
    """Heartbeats of a page that stays open would leave no room for anything else."""
    clicks = [event(item="book"), event(item="lamp")]
    pings = [event(item="lamp", kind=canonical_type("page_ping")) for _ in range(100)]
    shown = [event(item="mug", kind="impression"), event(item="mug", kind="item_available")]

    def remembered(processor: Processor) -> int:
        processor.process(records(numbered([*clicks, *pings, *shown, event(item="hat", kind="hum")])), NOW_MS)
        return int(processor.states.remembered(np.array([0]))[0])

    types = {"hum": {"target": False}}
    assert remembered(built(events={"types": types})) == 3
    assert remembered(built(events={"types": {"hum": {"history": False}}})) == 2
    assert remembered(built(events={"types": {**types, "dwell": {"target": False}}})) == 103


def test_there_are_candidates_for_all_places_of_a_slate() -> None:
    learner = built(recommend={"candidates": 10, "slate_size": 30}).pipeline.learner
    assert isinstance(learner, OnlineLearner)
    assert learner.config.candidates == 45


def test_a_slate_has_the_places_that_were_asked_for() -> None:
    processor = built()
    clicks = numbered([event(item=f"i{n}", user=f"u{n % 3}") for n in range(12)])
    found = processor.process(records(clicks), NOW_MS)
    assert [len(slate.items) for slate in found.recommendations] == [4, 4, 4]


@pytest.mark.parametrize("kind", ["impression", "click", "dislike", "rating", "return"])
def test_any_type_of_event_alone_gets_an_answer(kind: str) -> None:
    """Whether items are first met as a choice, in a history, as a label, or nowhere."""
    processor = built()
    for n in range(18):
        some = records([event(kind=kind, item=f"i{n}", event_id=f"e{n}", value=1.0)], first=n)
        found = processor.process(some, NOW_MS)
        assert len(found.recommendations) == 1


def test_states_and_decoder_need_no_model() -> None:
    """The commands that only look at a checkpoint must not wait for torch."""
    import subprocess

    code = (
        "import sys; from stream.settings import load; from stream.assembly import build_decoder, build_states;"
        "build_states(load()); build_decoder(load()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert build_states(settings()).history_length == 50
    assert build_decoder(settings()).read(b"{}", NOW_MS, "d")


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_settings_and_records_give_the_same_slates(seed: int) -> None:
    clicks = numbered([event(item=f"i{n % 7}", user=f"u{n % 3}") for n in range(40)])

    def slates() -> list[Any]:
        processor = built(learner={**SMALL["learner"], "seed": seed})
        return [
            processor.process(records(clicks[n : n + 10], first=n), NOW_MS).recommendations
            for n in range(0, 40, 10)
        ]

    assert slates() == slates()
    assert np.isfinite([item.score for step in slates() for slate in step for item in slate.items]).all()
