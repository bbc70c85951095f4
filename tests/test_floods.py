"""Floods of new items, users and types, and one user who sends half of everything: memory keeps to its bounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import NOW_MS, Record, wire

from stream.assembly import build_processor
from stream.processor import Processor
from stream.settings import load

MAX_USERS, MAX_ITEMS, MAX_PENDING = 300, 400, 500
STEP = 250


def bounded(folder: Path) -> Processor:
    return build_processor(
        load(
            overrides={
                "state_dir": folder,
                "learner": {"dimension": 8, "neighbours": 8, "negatives": 8, "ranker_memory": 64},
                "events": {"duplicates_window": 1_000},
                "state": {
                    "max_users": MAX_USERS,
                    "max_items": MAX_ITEMS,
                    "max_pending": MAX_PENDING,
                    "max_pairs": 2_000,
                    "max_owned": 100,
                    "history_length": 10,
                },
            }
        )
    )


def even(n: int) -> dict[str, Any]:
    """A hundred users, a hundred items."""
    return {"user_id": f"u{n * 7 % 100}", "item_id": f"i{n * 13 % 100}"}


def one_user(n: int) -> dict[str, Any]:
    """Every second event is one user's."""
    return even(n) | ({"user_id": "loud"} if n % 2 else {})


def new_items(n: int) -> dict[str, Any]:
    """Every second event is on an item that nobody has seen."""
    return even(n) | ({"item_id": f"new{n}", "event_type": "impression"} if n % 2 else {})


def new_users(n: int) -> dict[str, Any]:
    """Every second event is of a user whom nobody has seen."""
    return even(n) | ({"user_id": f"new{n}"} if n % 2 else {})


def new_types(n: int) -> dict[str, Any]:
    """Every second event is of a type that nobody has declared."""
    return even(n) | ({"event_type": f"type{n}"} if n % 2 else {})


def steps(traffic: Callable[[int], dict[str, Any]], count: int, first: int = 0) -> Iterator[list[Record]]:
    for begin in range(first, first + count, STEP):
        yield [
            Record(value=wire(**traffic(n), event_id=f"e{n}", occurred_at_ms=NOW_MS + 100 * n), offset=n)
            for n in range(begin, begin + STEP)
        ]


def size(worked: Processor) -> int:
    """Bytes of everything that a checkpoint would hold."""
    return sum(array.nbytes for arrays in worked.state_dicts().values() for array in arrays.values())


@pytest.mark.parametrize("traffic", [even, one_user, new_items, new_users, new_types])
def test_a_flood_stays_within_the_bounds_and_the_others_are_served(
    tmp_path: Path, traffic: Callable[[int], dict[str, Any]]
) -> None:
    worked = bounded(tmp_path)
    sizes, slates = [], set()
    began = time.perf_counter()
    for some in steps(traffic, 6_000):
        found = worked.process(some, NOW_MS + 10_000_000)
        sizes.append(size(worked))
        slates |= {slate.user_id for slate in found.recommendations}
        assert len(worked.states) <= MAX_USERS
        assert len(worked.pipeline.items) <= MAX_ITEMS
        assert worked.states.pending <= MAX_PENDING
    seconds = time.perf_counter() - began
    print(f"{traffic.__name__}: {6_000 / seconds:.0f} records/s, {sizes[-1] / 1e6:.1f} MB of state")
    assert sizes[-1] <= 1.1 * max(sizes[: len(sizes) // 2]), "it stopped growing"
    assert {even(n)["user_id"] for n in range(0, 100, 2)} <= slates
    view = worked.states.user("u0")
    assert view is not None
    assert len(view.item_rows) > 0


def test_undeclared_types_are_no_labels_of_metrics_and_no_state(tmp_path: Path) -> None:
    worked = bounded(tmp_path)
    for some in steps(new_types, 1_000):
        found = worked.process(some, NOW_MS + 10_000_000)
        assert {letter.reason.value for letter in found.dead_letters} == {"undeclared_type"}
    assert worked.totals.dead_letters == 500
