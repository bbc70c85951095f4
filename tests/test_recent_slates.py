"""Where an item was recommended just now."""

from __future__ import annotations

from monitoring.recent_slates import MadeSlate, RecentSlates


def slate(user: str, at_ms: int, *items: str) -> MadeSlate:
    return MadeSlate(user, at_ms, items, [f"from-{item}" for item in items])


def test_an_item_is_found_in_the_slates_that_hold_it() -> None:
    recent = RecentSlates()
    recent.add([slate("ann", 1, "tea", "cup"), slate("bob", 2, "cup", "tea"), slate("cat", 3, "pot")])
    assert recent.of_item("tea", 9) == {
        "slates": 3,
        "places": 2,
        "by_rank": {0: 1, 1: 1},
        "by_source": {"from-tea": 2},
        "latest": [
            {"user_id": "bob", "rank": 1, "source": "from-tea", "at_ms": 2},
            {"user_id": "ann", "rank": 0, "source": "from-tea", "at_ms": 1},
        ],
    }


def test_an_item_that_nobody_was_shown_is_nowhere() -> None:
    found = RecentSlates().of_item("tea", 9)
    assert (found["slates"], found["places"], found["latest"]) == (0, 0, [])


def test_only_so_many_slates_are_kept_and_only_so_many_users_told_each_once() -> None:
    recent = RecentSlates(slates=3)
    recent.add(slate(user, at_ms, "tea") for at_ms, user in enumerate(["ann", "bob", "cat", "bob"]))
    found = recent.of_item("tea", 9)
    assert found["slates"] == found["places"] == 3
    assert [(each["user_id"], each["at_ms"]) for each in found["latest"]] == [("bob", 3), ("cat", 2)]
    assert len(recent.of_item("tea", 1)["latest"]) == 1
