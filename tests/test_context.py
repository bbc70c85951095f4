"""Declared context through everything: from a log's columns to what is foreseen and served. Imports torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, event
from click.testing import CliRunner

from connectors.event import Event
from connectors.sources.files import FileSource
from stream.assembly import build_pipeline, build_states
from stream.cli.main import cli
from stream.pipeline import Pipeline, Step
from stream.settings import load
from stream.user_states import UserStates

DEVICES = 4
STEP = 16
QUICK = {"dimension": 8, "negatives": 8, "learning_rate": 0.01}
PLAIN = {"exploration": 0.0, "new_share": 0.0, "repeat_last": True, "slate_size": DEVICES}


def shop(events: int, users: int = 10) -> list[Event]:
    """Choices that follow from the device of the user's event before, which is drawn: after device d comes item d."""
    rng, device = np.random.default_rng(0), np.zeros(users, np.int64)
    made = []
    for n in range(events):
        user = int(rng.integers(users))
        item, device[user] = device[user], rng.integers(DEVICES)
        made.append(
            event(
                f"u{user}",
                f"i{item}",
                event_id=f"e{n}",
                occurred_at_ms=NOW_MS + 1_000 * n,
                context={"device": f"d{device[user]}", "shade": n},
            )
        )
    return made


def built(context: Sequence[str]) -> tuple[Pipeline, UserStates]:
    settings = load(overrides={"events": {"context": context}, "learner": QUICK, "recommend": PLAIN})
    return build_pipeline(settings), build_states(settings)


def played(context: Sequence[str], events: Sequence[Event]) -> tuple[list[Step], Pipeline, UserStates]:
    pipeline, states = built(context)
    steps = [
        pipeline.step(events[first : first + STEP], states, NOW_MS, slates=first + STEP >= len(events))
        for first in range(0, len(events), STEP)
    ]
    return steps, pipeline, states


def hit_rate(steps: Sequence[Step]) -> float:
    """HR@1."""
    return float(np.mean(np.concatenate([step.ranks for step in steps]) == 0))


def test_what_follows_from_a_context_alone_is_foreseen_and_served_where_it_is_declared() -> None:
    events = shop(3_200)
    steps, _, _ = played(["device"], events)
    assert hit_rate(steps[:20]) < 0.4
    assert hit_rate(steps[-30:]) > 0.95
    device = {one.user_id: str(one.context["device"]) for one in events}
    for slate in steps[-1].recommendations:
        expected = device[slate.user_id].replace("d", "i")
        assert slate.items[0].item_id == expected, "the trigger's context is known when its slate is made"


def test_what_follows_from_a_context_that_is_not_declared_is_guessed() -> None:
    steps, _, _ = played([], shop(1_600))
    assert hit_rate(steps[-60:]) == pytest.approx(1.0 / DEVICES, abs=0.06)


def test_a_declared_field_that_no_event_has_changes_nothing_at_all() -> None:
    events = shop(320)
    plain, declared = (played(context, events)[0] for context in ([], ["channel", "country"]))
    for one, other in zip(plain, declared, strict=True):
        assert one.scores.tobytes() == other.scores.tobytes()
        assert one.ranks.tobytes() == other.ranks.tobytes()
        assert one.recommendations == other.recommendations


def test_the_event_that_is_foreseen_does_not_tell_its_own_context() -> None:
    """It may be known only afterwards; what had been told before is all there is."""
    events = shop(640)
    (*_, one), (*_, other) = (
        played(["device"], [*events, last])[0]
        for last in (
            event("u1", "i0", event_id="last", occurred_at_ms=NOW_MS + 10**7, context=context)
            for context in ({"device": "d0"}, {"device": "d3"})
        )
    )
    assert one.scores.tobytes() == other.scores.tobytes()
    assert one.ranks.tolist() == other.ranks.tolist()


# --- logs

Row = dict[str, Any]
ROWS: list[Row] = [
    {"timestamp": 10, "user_id": "u", "item_id": "i", "event_type": "view", "device": "phone", "level": 3},
    {"timestamp": 11, "user_id": "u", "item_id": "i", "event_type": "view", "device": "", "level": 4},
    {"timestamp": 12, "user_id": "u", "item_id": "i", "event_type": "view", "device": "desk", "level": 3},
]


def gathered(row: Row) -> Row:
    """Its context as one object, and not as columns."""
    context = {name: row[name] for name in ("device", "level")}
    return {**{name: row[name] for name in row if name not in context}, "context": context}


def as_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def as_jsonl(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)))


def as_parquet(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)


def with_text(rows: Sequence[Row]) -> list[Row]:
    return [{**row, "context": json.dumps(row["context"])} for row in rows]


@pytest.mark.parametrize(
    ("name", "write"),
    [("log.csv", as_csv), ("log.jsonl", as_jsonl), ("log.parquet", as_parquet)],
    ids=["csv", "jsonl", "parquet"],
)
def test_a_logs_columns_and_its_context_column_say_the_same_in_every_format(
    tmp_path: Path, name: str, write: Callable[[Path, Sequence[Row]], None]
) -> None:
    in_columns, in_one = tmp_path / f"columns-{name}", tmp_path / f"one-{name}"
    write(in_columns, ROWS)
    together = [gathered(row) for row in ROWS]
    write(in_one, with_text(together) if write is as_csv else together)
    pipeline, states = built(["device", "level"])
    told = [
        pipeline.batcher.arrivals(list(FileSource(path)), states, pipeline.items).columns.context.tolist()
        for path in (in_columns, in_one)
    ]
    assert told[0] == told[1]
    first, second, third = told[0]
    assert second[0] == 0, "an empty cell says nothing"
    assert first[0] != third[0]
    assert first[1] == third[1] != second[1]


def test_an_evaluation_takes_in_what_the_settings_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.csv"
    as_csv(
        path,
        [
            {
                "occurred_at_ms": one.occurred_at_ms,
                "user_id": one.user_id,
                "item_id": one.item_id,
                "event_type": one.event_type,
                "device": one.context["device"],
            }
            for one in shop(240)
        ],
    )
    for name, value in QUICK.items():
        monkeypatch.setenv(f"FRESHET_LEARNER__{name.upper()}", str(value))
    found = []
    for context in ("[]", '["device"]'):
        monkeypatch.setenv("FRESHET_EVENTS__CONTEXT", context)
        result = CliRunner().invoke(cli, ["evaluate", str(path), "--json"], obj={}, standalone_mode=False)
        assert result.exception is None, result.output
        found.append(json.loads(result.stdout)["ranking"]["mrr20"])
    assert found[0] != found[1]
