"""What became of the places of slates, by source and by place."""

from __future__ import annotations

import numpy as np
import pytest
from builders import event
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from monitoring.slate_answers import CLICKED, PLACES, SATISFIED, SHOWN, SlateAnswers
from stream.slate_feedback import feedback
from stream.slate_ids import slate_id

ONE, TWO = 1, 2**64 - 1
"""Numbers of slates."""

SOURCES = np.array([[0, 1, 1, 2], [2, 2, -1, -1]])


@pytest.fixture
def answers() -> SlateAnswers:
    remembered = SlateAnswers(sources=3, slates=10)
    remembered.remember([ONE, TWO], SOURCES, SOURCES >= 0)
    return remembered


def test_places_count_by_their_source_and_stretch(answers: SlateAnswers) -> None:
    counts = answers.count([(ONE, 0, SHOWN), (ONE, 3, SHOWN), (TWO, 1, SHOWN)])
    assert counts[SHOWN, 0].tolist() == [1, 0, 0, 0, 0]
    assert counts[SHOWN, 2].tolist() == [1, 1, 0, 0, 0]
    assert counts[CLICKED].sum() == 0


def test_a_place_counts_once_and_what_is_more_implies_what_is_less(answers: SlateAnswers) -> None:
    first = answers.count([(ONE, 1, SHOWN), (ONE, 1, CLICKED), (ONE, 1, CLICKED)])
    assert first.sum(axis=(1, 2)).tolist() == [1, 1, 0]
    assert answers.count([(ONE, 1, SHOWN)]).sum() == 0
    assert answers.count([(ONE, 1, SATISFIED)]).sum(axis=(1, 2)).tolist() == [0, 0, 1]
    unseen = answers.count([(TWO, 0, SATISFIED)])
    assert unseen.sum(axis=(1, 2)).tolist() == [1, 1, 1], "who buys has seen"


def test_what_nobody_served_is_not_counted(answers: SlateAnswers) -> None:
    made_up = [(3, 0, SHOWN), (ONE, 4, SHOWN), (TWO, 2, CLICKED), (ONE, -1, SHOWN)]
    assert answers.count(made_up).sum() == 0


def test_a_slate_that_comes_again_keeps_what_became_of_it(answers: SlateAnswers) -> None:
    answers.count([(ONE, 0, CLICKED)])
    answers.remember([ONE], SOURCES[:1], SOURCES[:1] >= 0)
    assert answers.count([(ONE, 0, CLICKED)]).sum() == 0


def test_old_slates_are_forgotten(answers: SlateAnswers) -> None:
    answers.remember(range(100, 109), np.zeros((9, 4), np.int64), np.ones((9, 4), np.bool_))
    assert answers.count([(ONE, 0, SHOWN)]).sum() == 0
    assert answers.count([(TWO, 0, SHOWN)]).sum() == 1
    assert len(answers._slot_of) == 10


@given(st.lists(st.lists(st.integers(1, 30), unique=True, max_size=17), max_size=12))
@law(40)
def test_the_latest_slates_are_those_whose_answers_count(calls: list[list[int]]) -> None:
    """Slates with even numbers have one place, the others two, the second of which another source brought."""
    answers, latest = SlateAnswers(sources=3, slates=7), list[int]()
    for ids in calls:
        second = np.array(ids, np.int64) % 2
        sources = np.stack([np.zeros_like(second), np.where(second, 2, -1)], axis=1)
        answers.remember(ids, sources, sources >= 0)
        known = set(latest)
        latest = [*latest, *(slate for slate in ids if slate not in known)][-7:]
    for slate in range(1, 31):
        counts = answers.count([(slate, 0, SHOWN), (slate, 1, SHOWN)])[SHOWN].sum(axis=1)
        there = slate in latest
        assert counts.tolist() == [there, 0, there and slate % 2]


def test_every_place_has_its_stretch() -> None:
    answers = SlateAnswers(sources=1)
    answers.remember([ONE], np.zeros((1, 30), np.int64), np.ones((1, 30), np.bool_))
    found = [PLACES[answers.count([(ONE, place, SHOWN)])[SHOWN, 0].argmax()] for place in range(30)]
    assert [found.count(stretch) for stretch in PLACES] == [3, 3, 4, 10, 10]


def test_events_become_reactions() -> None:
    def on_slate(kind: str, **fields: object) -> object:
        return event(kind=kind, recommendation_id=slate_id(5), position=2, **fields)

    told = [
        on_slate("impression"),
        on_slate("click"),
        on_slate("dwell", value=10.0),
        on_slate("dwell", value=30.0),
        on_slate("purchase"),
        event(kind="click", position=2),
        event(kind="click", recommendation_id=slate_id(5)),
        event(kind="click", recommendation_id="somebody else's", position=2),
        event(kind="click", recommendation_id="5", position=2),
    ]
    became = [SHOWN, CLICKED, CLICKED, SATISFIED, SATISFIED]
    assert list(feedback(told)) == [(5, 2, each) for each in became]  # type: ignore[arg-type]


@pytest.mark.parametrize("slates", [4, 10, 30])
def test_slates_go_on_where_more_or_fewer_are_remembered(slates: int) -> None:
    before = SlateAnswers(sources=3, slates=10, places=4)
    before.remember(range(25), np.ones((25, 4), np.int64), np.ones((25, 4), np.bool_))
    before.count([(24, 0, SHOWN)])
    after = SlateAnswers(sources=3, slates=slates, places=3)
    after.load_state_dict({**before.tables(), **before.rest()})
    assert after.count([(24, 0, SHOWN), (24, 1, SHOWN), (24, 3, SHOWN)]).sum() == 1
    more = slates - 1
    after.remember(range(100, 100 + more), np.ones((more, 4), np.int64), np.ones((more, 4), np.bool_))
    assert after.count([(24, 2, SHOWN), (100, 0, SHOWN)]).sum() == 2, (
        "it is the oldest, and there is room for it"
    )
    after.remember([200], np.ones((1, 4), np.int64), np.ones((1, 4), np.bool_))
    assert after.count([(24, 2, CLICKED)]).sum() == 0
