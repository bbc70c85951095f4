"""What may not stand in a slate: owned, withdrawn, in the user's hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batches import START_S, histories

from learners.event_batch import Happenings, Histories
from learners.filters import FILTERS, FilterRules, Filters
from learners.row_index import ABSENT

DAY_S = 86_400.0


def happened(*events: tuple[int, int, float, str]) -> Happenings:
    """(user, item, seconds after the start, what)."""
    what = [event[3] for event in events]
    return Happenings(
        users=np.array([event[0] for event in events], np.int64),
        items=np.array([event[1] for event in events], np.int64),
        now_s=START_S + np.array([event[2] for event in events]),
        shown=np.array([name == "impression" for name in what], np.bool_),
        acquired=np.array([name == "purchase" for name in what], np.bool_),
        supply=np.array([{"gone": -1, "back": 1}.get(name, 0) for name in what], np.int8),
    )


def at(after_s: float, items: list[list[int]] | None = None, **given: Any) -> Histories:
    return histories(items or [[]], now_s=START_S + after_s, **given)


def barred(filters: Filters, rows: list[int], moments: Histories) -> list[str | None]:
    found = filters.barred(np.array([rows]), moments)[0].tolist()
    return [None if number < 0 else FILTERS[number] for number in found]


def test_what_somebody_bought_is_not_offered_to_them_again() -> None:
    filters = Filters(FilterRules())
    filters.learn_many(happened((0, 5, 0.0, "purchase"), (1, 6, 0.0, "purchase"), (0, 7, 0.0, "click")))
    assert barred(filters, [5, 6, 7, ABSENT], at(1_000 * DAY_S)) == ["owned", None, None, None]


def test_what_was_bought_long_ago_may_be_wanted_again() -> None:
    filters = Filters(FilterRules(owned_s=DAY_S))
    filters.learn_many(happened((0, 5, 0.0, "purchase")))
    assert barred(filters, [5], at(DAY_S)) == ["owned"]
    assert barred(filters, [5], at(DAY_S + 1.0)) == [None]
    filters.learn_many(happened((0, 5, DAY_S, "purchase")))
    assert barred(filters, [5], at(2 * DAY_S)) == ["owned"], "bought once more"


def test_a_withdrawn_item_is_nobodys_until_it_comes_back() -> None:
    filters = Filters(FilterRules())
    filters.learn_many(happened((9, 5, 0.0, "gone")))
    assert barred(filters, [5, 40], at(1.0)) == ["unavailable", None]
    filters.learn_many(happened((8, 5, 10.0, "back")))
    assert barred(filters, [5], at(20.0)) == [None]


def test_news_that_comes_late_does_not_undo_what_happened_after_it() -> None:
    filters = Filters(FilterRules())
    filters.learn_many(happened((9, 5, 10.0, "back")))
    filters.learn_many(happened((9, 5, 5.0, "gone")))
    assert barred(filters, [5], at(20.0)) == [None]
    filters.learn_many(happened((9, 5, 10.0, "gone")))
    assert barred(filters, [5], at(20.0)) == ["unavailable"], "of one moment the later to arrive counts"


def test_what_is_in_hand_is_not_shown_right_after_unless_that_is_wanted() -> None:
    moments = at(0.0, [[3, 5]], gap_s=60.0)
    assert barred(Filters(FilterRules()), [3, 5], moments) == [None, "in_hand"]
    assert barred(Filters(FilterRules(repeat_last=True)), [3, 5], moments) == [None, None]
    assert barred(Filters(FilterRules()), [3, 5], at(0.0, [[3, 5]], gap_s=2_000.0)) == [None, None]


def test_items_and_users_that_are_gone_leave_nothing_behind() -> None:
    filters = Filters(FilterRules())
    filters.learn_many(happened((0, 5, 0.0, "purchase"), (0, 6, 0.0, "purchase"), (9, 7, 0.0, "gone")))
    filters.forget(items=np.array([5, 7, 1_000]))
    assert barred(filters, [5, 6, 7], at(1.0)) == [None, "owned", None]
    filters.forget(users=np.array([0]))
    assert barred(filters, [5, 6, 7], at(1.0)) == [None, None, None]


def test_what_is_owned_is_bounded() -> None:
    filters = Filters(FilterRules(max_owned=1_000))
    for n in range(20):
        filters.learn_many(happened(*((0, 100 * n + m, float(n), "purchase") for m in range(100))))
    assert barred(filters, [0, 1_999], at(30.0)) == [None, "owned"]


def test_a_restored_filter_bars_the_same() -> None:
    one, other = Filters(FilterRules()), Filters(FilterRules())
    one.learn_many(happened((0, 5, 0.0, "purchase"), (9, 7, 4.0, "gone")))
    other.load_state_dict(one.state_dict())
    other.learn_many(happened((9, 7, 3.0, "back")))
    assert barred(other, [5, 6, 7], at(9.0)) == ["owned", None, "unavailable"]


@pytest.mark.parametrize("rows", [np.zeros((0, 3), np.int64), np.full((1, 2), ABSENT)])
def test_nothing_bars_nobody(rows: np.ndarray) -> None:
    moments = histories([[]] * len(rows))
    assert (Filters(FilterRules()).barred(rows, moments) == -1).all()
