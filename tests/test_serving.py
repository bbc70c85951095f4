"""What a shop asks of slates, through the whole pipeline with the real learner: filters, parts, new items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event

from connectors.recommendation import Recommendation, decode_recommendation, encode_recommendation
from learners.row_index import ABSENT
from stream.assembly import build_pipeline, build_states
from stream.pipeline import Pipeline, Share, Step
from stream.settings import load
from stream.user_states import UserStates

QUIET = {"exploration": 0.0, "new_share": 0.0, "repeat_last": True, "slate_size": 6}


class Shop:
    """A pipeline, and time that passes by a second an event."""

    def __init__(self, recommend: Mapping[str, Any] | None = None, **sections: Any) -> None:
        settings = load(
            overrides={
                "learner": {"dimension": 8, "negatives": 8},
                "recommend": {**QUIET, **(recommend or {})},
                **sections,
            }
        )
        self.pipeline: Pipeline = build_pipeline(settings)
        self.states: UserStates = build_states(settings)
        self.events = 0

    def happen(self, *events: tuple[str, str, str], own: bool = True) -> Step:
        """(user, type, item), one second after the other, in one step; of another worker's where not `own`."""
        made = []
        for user, kind, item in events:
            self.events += 1
            made.append(
                event(
                    user,
                    item,
                    kind,
                    event_id=f"e{self.events}",
                    occurred_at_ms=NOW_MS + 1_000 * self.events,
                    position=self.events % 5 if kind == "impression" else None,
                )
            )
        share = Share(own=np.full(len(made), own), served=np.ones(len(made), np.bool_))
        return self.pipeline.step(made, self.states, NOW_MS, share=share)

    def busy(self, steps: int = 40) -> None:
        """Ten users who are shown and click a few of eight items."""
        for n in range(steps):
            self.happen(
                *((f"u{(n + m) % 10}", "impression", f"i{(3 * n + m) % 8}") for m in range(4)),
                (f"u{n % 10}", "click", f"i{3 * n % 8}"),
                (f"u{n % 10}", "purchase", f"i{3 * n % 8}"),
            )


def slate_of(step: Step, user: str) -> Recommendation:
    return next(slate for slate in step.recommendations if slate.user_id == user)


def items_of(step: Step, user: str) -> list[str]:
    return [item.item_id for item in slate_of(step, user).items]


@pytest.mark.parametrize("diversity", ["none", "mmr", "dpp"])
def test_the_parts_of_a_score_add_up_to_it_on_the_wire_too(diversity: str) -> None:
    shop = Shop({"diversity": diversity, "diversity_strength": 0.3})
    shop.busy(100)
    slate = slate_of(shop.happen(("u1", "click", "i1")), "u1")
    slate = decode_recommendation(encode_recommendation(slate))
    assert len(slate.items) == 6
    for item in slate.items:
        assert item.score == pytest.approx(sum(item.parts.values()), abs=1e-5 * (len(item.parts) + 1))
        assert {"ranker", "click", "counts"} <= item.parts.keys()
    assert any("diversity" in item.parts for item in slate.items) == (diversity != "none")
    assert [item.score for item in slate.items] == sorted((i.score for i in slate.items), reverse=True)


def test_a_withdrawn_item_is_in_no_slate_until_it_is_back() -> None:
    shop = Shop()
    shop.busy()
    assert "i3" in items_of(shop.happen(("u1", "click", "i1")), "u1")
    step = shop.happen(("shop", "item_unavailable", "i3"))
    assert step.recommendations == [], "news of an item is nobody's behaviour"
    step = shop.happen(("u1", "click", "i1"), ("u2", "click", "i1"))
    assert "i3" not in items_of(step, "u1") + items_of(step, "u2")
    assert step.slates.removed["unavailable"] >= 2
    shop.happen(("shop", "item_available", "i3"))
    assert "i3" in items_of(shop.happen(("u1", "click", "i1")), "u1")


def test_news_of_items_enters_no_history_and_opens_no_impression() -> None:
    shop = Shop()
    shop.happen(("shop", "item_available", "tea"), ("shop", "item_unavailable", "cup"))
    user = shop.states.user("shop")
    assert user is not None
    assert (user.item_rows, user.pending) == ([], ([], []))
    assert shop.states.pending == 0


def test_what_makes_an_item_owned_is_a_setting() -> None:
    shop = Shop({"owned_types": ["purchase", "bookmark"]})
    shop.busy(4)
    shop.happen(("u9", "bookmark", "i3"), ("u9", "click", "i0"))
    step = shop.happen(("u9", "click", "i0"), ("u8", "click", "i0"))
    assert "i3" not in items_of(step, "u9")
    assert "i3" in items_of(step, "u8")
    assert step.slates.removed["owned"] >= 1
    free = Shop()
    free.busy(4)
    free.happen(("u9", "bookmark", "i3"))
    assert "i3" in items_of(free.happen(("u9", "click", "i0")), "u9")


def test_the_item_in_hand_is_not_shown_again_at_once_unless_that_is_set() -> None:
    for repeat_last in (False, True):
        shop = Shop({"repeat_last": repeat_last, "slate_size": 8})
        shop.busy()
        step = shop.happen(("u1", "click", "i1"))
        assert ("i1" in items_of(step, "u1")) == repeat_last
        assert (step.slates.removed["in_hand"] > 0) != repeat_last


def test_seen_items_are_left_out_and_counted() -> None:
    shop = Shop({"exclude_seen": True})
    shop.busy()
    step = shop.happen(("u1", "click", "i1"))
    assert "i1" not in items_of(step, "u1")
    assert step.slates.removed["seen"] > 0


def test_an_item_is_recommendable_from_its_first_event_on() -> None:
    shop = Shop({"new_share": 0.5, "new_impressions": 5})
    shop.busy()
    shop.happen(("shop", "item_available", "brand new"))
    found = [
        item
        for n in range(30)
        for item in slate_of(shop.happen((f"u{n % 10}", "click", "i1")), f"u{n % 10}").items
        if item.item_id == "brand new"
    ]
    assert found
    assert {item.source for item in found} == {"new"}
    served = shop.happen(("u1", "click", "i1")).slates.columns
    assert served is not None
    assert (served.new == (served.item_rows == shop.pipeline.items.row("brand new"))).all()
    tried = [item for item in found if item.placed == "new"]
    assert tried
    assert all(0.0 < item.propensity <= 0.5 for item in tried)


def test_items_that_only_another_worker_was_asked_about_can_be_tried() -> None:
    shop = Shop({"new_share": 0.5})
    items = [f"i{n}" for n in range(40)]  # more than any table has room for at first
    step = shop.happen(*(("ann", "impression", item) for item in items), own=False)
    assert {item.item_id for item in slate_of(step, "ann").items} <= set(items)
    saved = shop.pipeline.learner.state_dict()
    assert len(saved["counts.popularity.last_s"]) >= len(items)


def test_places_are_counted_by_why_their_items_stand_there() -> None:
    shop = Shop({"exploration": 0.5, "slate_size": 3})
    shop.busy()
    step = shop.happen(*((f"u{n}", "click", "i1") for n in range(10)))
    placed = [item.placed for slate in step.recommendations for item in slate.items]
    assert step.slates.placed == {name: placed.count(name) for name in ("ranked", "explored", "new")}
    assert step.slates.placed["explored"] > 0


def test_all_that_slates_depend_on_is_in_the_checkpoint() -> None:
    given = {"owned_types": ["purchase"], "exploration": 0.2, "new_share": 0.2, "repeat_last": False}
    one, other = Shop(given), Shop(given)
    one.busy()
    one.happen(("shop", "item_unavailable", "i3"), ("shop", "item_available", "brand new"))
    other.pipeline.learner.load_state_dict(one.pipeline.learner.state_dict())
    other.pipeline.items.load_state_dict(one.pipeline.items.state_dict())
    other.states.load_state_dict(one.states.state_dict())
    other.events = one.events
    for shop in (one, other):
        shop.busy(6)
    ours, theirs = (shop.happen(("u1", "click", "i1")).recommendations for shop in (one, other))
    assert ours == theirs
    assert one.pipeline.items.row("i3") != ABSENT
