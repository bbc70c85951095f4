"""New items are known from their first event on, and stop being new."""

from __future__ import annotations

import numpy as np
from test_filters import DAY_S, happened

from learners.newcomers import Newcomers, NewnessRules
from learners.row_index import ABSENT

RULES = NewnessRules(age_s=7 * DAY_S, impressions=3)


def test_an_item_is_new_from_its_first_event_on_whatever_it_was() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened((0, 4, 0.0, "back"), (0, 2, 1.0, "impression"), (1, 4, 2.0, "click")))
    assert newcomers.rows.tolist() == [4, 2]


def test_it_grows_old() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened((0, 4, 0.0, "click")))
    newcomers.learn_many(happened((0, 5, 7 * DAY_S, "click")))
    assert newcomers.rows.tolist() == [4, 5]
    newcomers.learn_many(happened((0, 5, 7 * DAY_S + 1.0, "click")))
    assert newcomers.rows.tolist() == [5]


def test_it_stops_being_new_when_it_was_shown_often_enough() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened((0, 4, 0.0, "impression"), (1, 4, 0.0, "impression"), (0, 5, 0.0, "click")))
    assert newcomers.rows.tolist() == [4, 5]
    newcomers.learn_many(happened((2, 4, 1.0, "impression")))
    assert newcomers.rows.tolist() == [5]
    newcomers.learn_many(happened((2, 4, 1.0, "click")))
    assert newcomers.rows.tolist() == [5], "and does not become so again"


def test_a_reused_row_is_a_new_item() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened(*((0, 4, 0.0, "impression") for _ in range(3))))
    newcomers.forget(np.array([4, 99]))
    assert newcomers.rows.tolist() == []
    newcomers.learn_many(happened((0, 4, 50 * DAY_S, "click")))
    assert newcomers.rows.tolist() == [4]


def test_those_that_are_tried_differ_within_a_slate_and_are_all_tried_equally() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened(*((0, row, 0.0, "click") for row in range(5))))
    rng = np.random.default_rng(0)
    drawn = np.concatenate([newcomers.draw(50, 3, rng) for _ in range(400)])
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    shares = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    assert np.abs(shares - 0.2).max() < 0.01
    assert newcomers.draw(1, 9, rng)[0].tolist()[5:] == [ABSENT] * 4
    assert Newcomers(RULES).draw(2, 3, rng).tolist() == [[ABSENT] * 3] * 2


def test_at_most_a_thousand_are_new_at_a_time() -> None:
    newcomers = Newcomers(RULES)
    newcomers.learn_many(happened(*((0, row, float(row), "click") for row in range(2_000))))
    assert newcomers.rows.tolist() == list(range(2_000 - 1_024, 2_000))


def test_a_restored_one_knows_the_same() -> None:
    one, other = Newcomers(RULES), Newcomers(RULES)
    one.learn_many(happened((0, 4, 0.0, "impression"), (0, 4, 0.0, "impression"), (0, 5, 1.0, "click")))
    other.load_state_dict(one.state_dict())
    for newcomers in (one, other):
        newcomers.learn_many(happened((1, 4, 2.0, "impression")))
        assert newcomers.rows.tolist() == [5]
