"""What is slow the first time happens before the first event."""

from __future__ import annotations

import numpy as np
from builders import event

from learners import candidates, features, item_facts, prerank, reasons, standardiser, state_changes
from learners.counts import counts, expectations, neighbours, popularity
from learners.state_changes import Taken
from stream.assembly import build_pipeline, build_states
from stream.settings import load
from stream.warm_up import warm_up


def test_nothing_is_left_to_be_compiled_for_the_first_events() -> None:
    loops = [
        candidates._retrieve,
        candidates._describe,
        features._collect,
        item_facts._find,
        prerank._look,
        prerank._learn_many,
        reasons._reasons,
        standardiser._transform,
        counts._learn_pairwise,
        popularity._learn_many,
        expectations._learn_many,
        neighbours._close_gaps,
        state_changes._find,
    ]
    warm_up(load())
    compiled = [list(loop.signatures) for loop in loops]
    assert all(compiled), "each is reached"
    settings = load(overrides={"recommend": {"ranked": 10, "slate_size": 5}})
    pipeline, states = build_pipeline(settings), build_states(settings)
    for n in range(4):
        pipeline.step([event(f"u{user}", f"i{n}-{user}", "click") for user in range(4)], states, 0)
    pipeline.learner.forget_items(np.array([1]))
    taken = Taken()
    while not taken.choose([states.live_state(), pipeline.learner.live_state()], 4_096.0):
        pass
    assert [list(loop.signatures) for loop in loops] == compiled, "and with the types that events bring"
