"""What is foretold is what a run then takes. Imports torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli.main import cli
from stream.planning import PIECES, Load, _halved, plan
from stream.settings import Settings, load

SMALL: dict[str, Any] = {
    "learner": {"dimension": 8, "negatives": 8, "neighbours": 8, "ranker_memory": 16},
    "events": {"duplicates_window": 1_000},
    "topics": {"partitions": 2},
}

RUN = """
import json, sys
import numpy as np
import psutil
from connectors.event import Event, encode_event
from stream.allocator import keep_temporaries
keep_temporaries()
import stream.worker
from stream.assembly import build_processor
from stream.settings import load
from stream.warm_up import warm_up
from stream.weighing import weigh
from builders import Record

users, items, partitions, overrides = json.loads(sys.argv[1])
settings = load(overrides=overrides)
warm_up(settings)
processor = build_processor(settings)
rng, order, at_ms = np.random.default_rng(0), np.random.default_rng(1).permutation(users), 1_700_000_000_000
some, offsets, number = [], [0] * partitions, 0
def process():
    events, partition = [event for _, event in some], [where for where, _ in some]
    new = [n for n, event in enumerate(events) if processor.recent.admit(partition[n], event)]
    assert len(new) == len(events)
    processor.states.admit([event.user_id for event in events], partition)
    processor.pipeline.step(events, processor.states, at_ms, slates=False)
    some.clear()
for n in range(max(users, items)):
    user = int(order[n % users])
    for kind, item in (("impression", n % items), ("view", int(rng.integers(items)))):
        some.append((user % partitions, Event(event_id=f"e{number}", event_type=kind, occurred_at_ms=at_ms + number,
                    user_id=f"{user:012d}", item_id=f"{item:012d}")))
        number += 1
    if len(some) >= 512:
        process()
    if number == 2_048:
        begun = psutil.Process().memory_info().rss - weigh(processor).total()
for task in settings.tasks:  # each is answered once, by who was shown the item
    event = Event(event_id=f"e{number}", event_type=task.event_types[0], occurred_at_ms=at_ms + number,
                  user_id=f"{user:012d}", item_id=f"{n % items:012d}", value=1.0)
    some.append((user % partitions, event))
    number += 1
process()
taken = psutil.Process().memory_info().rss
counts = processor.pipeline.learner._counts
size = sum(array.nbytes for piece in processor.state_dicts().values() for array in piece.values())
print(json.dumps({
    "begun": begun,
    "taken": taken,
    "checkpoint": size,
    "users": len(processor.states),
    "items": len(processor.pipeline.items),
    "pending": processor.states.pending,
    "pairs": counts.own.pairs,
    "neighbours": float(np.mean(counts.transitions.arrays.filled[:items])),
    "companions": float(np.mean(counts.companions.of_users.arrays.filled[:users])),
}))
"""


def ran(users: int, items: int, partitions: int, overrides: dict[str, Any]) -> dict[str, int]:
    """What a process took that let so many users and items come, in real events."""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, json.dumps([users, items, partitions, overrides])],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=_environment(),
    )
    found: dict[str, int] = json.loads(answer.stdout.splitlines()[-1])
    return found


def told(overrides: dict[str, Any], **given: float) -> Any:
    """What `freshet plan` says in a process of its own: it weighs the one that it runs in."""
    settings = {
        f"FRESHET_{section}__{key}".upper(): json.dumps(value)
        for section, values in overrides.items()
        for key, value in values.items()
    }
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "stream.cli.main", "plan", "--json", *options],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=_environment() | settings,
    )
    return json.loads(answer.stdout)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{Path(__file__).parent.parent}:{Path(__file__).parent}"}


@pytest.mark.parametrize(("users", "items"), [(50_000, 20_000), (12_000, 30_000)])
def test_a_run_takes_what_was_foretold_within_a_fifth(users: int, items: int) -> None:
    """So does its growth: a fifth of the whole could nearly be met by the libraries alone."""
    overrides = {
        "learner": {
            "ranker_share": 0.0,
            "ranker_memory": 0,
        },  # quicker; what is never filled is never resident
        "recommend": {"candidates": 10},
        "topics": {"partitions": 2},
        "events": {"duplicates_window": 10_000},
    }
    found = ran(users, items, 2, overrides)
    assert (found["users"], found["items"]) == (users, items)
    foretold = told(
        overrides,
        users=users,
        items=items,
        choices=found["pairs"] / users,
        neighbours=found["neighbours"],
        companions=found["companions"],
        pending=found["pending"],
    )
    added = foretold["resident"] - foretold["pieces"]["process with its libraries"]
    grown = found["taken"] - found["begun"]
    assert abs(added / grown - 1.0) < 0.2, (added, grown)
    assert abs(foretold["resident"] / found["taken"] - 1.0) < 0.2, (foretold["resident"], found["taken"])
    assert abs(foretold["checkpoint"] / found["checkpoint"] - 1.0) < 0.1


def planned(users: int, items: int, **sections: Any) -> Any:
    return plan(load(overrides={**SMALL, **sections}), Load(users=users, items=items))


def test_settings_count() -> None:
    few, wide = planned(3_000, 2_000), planned(3_000, 2_000, learner={**SMALL["learner"], "dimension": 16})
    vectors = "item vectors with Adagrad"
    assert 1.6 < wide.pieces[vectors] / few.pieces[vectors] < 2.1
    assert wide.pieces["histories"] == few.pieces["histories"]
    longer = planned(3_000, 2_000, state={"history_length": 100})
    assert 1.8 < longer.pieces["histories"] / few.pieces["histories"] < 2.1
    bounded = planned(3_000, 2_000, state={"max_users": 1_000})
    assert bounded.pieces["histories"] < 0.5 * few.pieces["histories"]
    assert set(few.pieces) == {
        "process with its libraries",
        *PIECES,
        "waiting impressions",
        "ids against duplicates",
        "pairs of users and items",
        "lists of what follows an item",
        "lists of what goes together",
        "lists of companions",
        "copies of the latest vectors",
    }
    dense = plan(load(overrides=SMALL), Load(users=3_000, items=2_000, neighbours=100.0))
    assert dense.pieces["lists of what follows an item"] > few.pieces["lists of what follows an item"]
    assert dense.pieces["lists of companions"] == few.pieces["lists of companions"]
    owning = planned(3_000, 2_000, recommend={"owned_types": ["purchase"]})
    assert owning.pieces["pairs of users and what they own"] > 0
    many, more = planned(3_000, 100_000), planned(3_000, 400_000)
    for piece in ("copies of the latest vectors", "networks, choices to learn again"):
        assert many.pieces[piece] == more.pieces[piece], "the nearest are sought among so many"
    assert all(size > 0 for size in few.pieces.values())


def test_halving() -> None:
    assert _halved(512, 512) == (512, 1)
    assert _halved(513, 512) == (257, 2)
    assert _halved(300_000, 512) == (293, 1_024)
    assert _halved(0, 512) == (0, 1)


def test_the_command_says_it_in_a_table_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Settings, Load]] = []

    def quick(settings: Settings, given: Load) -> Any:
        made.append((settings, given))
        return plan(load(overrides=SMALL), Load(users=100, items=50))

    monkeypatch.setattr("stream.planning.plan", quick)
    words = ["plan", "--users", "100", "--items", "50", "--tasks", "3", "--choices", "2"]
    answer = CliRunner().invoke(cli, [*words, "--json"], obj={})
    found = json.loads(answer.stdout)
    assert found["resident"] == sum(found["pieces"].values()) > 100e6
    assert found["disk"] == 3 * found["checkpoint"]
    assert len(made[0][0].tasks) == 3
    assert made[0][1] == Load(users=100, items=50, choices=2.0)
    told = CliRunner().invoke(cli, words, obj={}).output
    for word in (
        "histories",
        "resident",
        "a whole checkpoint",
        "at times: records since the last checkpoint",
    ):
        assert word in told
