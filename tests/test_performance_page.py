"""The page of performance is made of nothing but what benchmarks printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builders import SURROUNDINGS
from click.testing import CliRunner

from benchmarks.performance import NAMES, main, page_of, with_summary
from benchmarks.requirements import REQUIREMENTS, Requirement
from benchmarks.sizing import Memory, sizing, speed_up, workers_for
from benchmarks.tables import brief, cell, grouped

ABOUT: dict[str, Any] = {
    "quick": True,
    "made_at": "2026-01-31T12:00:00+00:00",
    "load_before": 0.25,
    "surroundings": SURROUNDINGS,
}
PLANE = [
    {"users": users, "items": items, "resident_gb": 0.5 + users / 1e6 + 2.0 * items / 1e6}
    for users, items in ((10_000, 10_000), (10_000, 1_000_000), (1_000_000, 10_000))
]
RESULTS: dict[str, Any] = {
    name: {**ABOUT, "benchmark": name, "rows": [{"what": f"a row of {name}", "us": 12.5}]} for name in NAMES
}
RESULTS["ladder"] |= {
    "learning_over_stock": 0.75,
    "worker_events_per_s": 2_000.0,
    "stock_noop_events_per_s": 9_000.0,
    "learning_events_per_s": 6_750.0,
    "learning_and_recommending_events_per_s": 2_222.0,
    "share_under_load": 0.75,
    "rows": [{"rung": "stock", "events_per_s": 11_111.0}, {"doing": "learn", "share": 0.5}],
}
RESULTS["freshness"] |= {"at_1000_per_s": {"p50_ms": 20.0, "p99_ms": 90.0}}
RESULTS["scale"] |= {"rows": PLANE}
RESULTS["workers"] |= {"speed_up_of_two": 1.6}


def test_every_table_stands_on_the_page_with_what_is_required_and_whether_it_is_met() -> None:
    page = page_of(RESULTS)
    assert "{{" not in page
    assert "11,111" in page
    assert "a row of freshness" in page
    assert "from at least 75% of what comes" in page
    assert "2026-01-31T12:00:00+00:00" in page
    assert "ladder (--quick)" in page
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    assert "| at least 1 | 0.75 | no |" in lines[REQUIREMENTS[0].what]
    assert "| at most 25 ms | 20 | yes |" in lines[REQUIREMENTS[2].what]
    assert "| - | - |" in lines[REQUIREMENTS[4].what]  # not measured


def test_the_summary_takes_the_place_of_the_former_one() -> None:
    readme = "before\n<!-- performance -->\nformer\n<!-- /performance -->\nafter\n"
    once = with_summary(readme, RESULTS)
    assert once.startswith("before\n<!-- performance -->\n\n| ")
    assert once.endswith("<!-- /performance -->\nafter\n")
    assert "former" not in once
    assert "6,750 events/s" in once
    assert "20 ms (median), 90 ms (99 %)" in once
    assert with_summary(once, RESULTS) == once
    with pytest.raises(ValueError, match="no <!-- performance -->"):
        with_summary("no marks", RESULTS)


def test_what_is_measured_already_is_not_measured_again(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name, result in RESULTS.items():
        (work / f"{name}.json").write_text(json.dumps(result))
    page = tmp_path / "performance.md"
    made = CliRunner().invoke(main, [str(page), "--work", str(work), "--quick"])
    assert made.exit_code == 0, made.output
    assert page.read_text() == page_of(RESULTS)


def test_a_requirement_knows_its_sense() -> None:
    most = Requirement("latency", ("a", "ms"), "at most", 5.0)
    least = Requirement("speed", ("a", "ms"), "at least", 5.0)
    for value, fits_most, fits_least in ((4.0, True, False), (5.0, True, True), (6.0, False, True)):
        results = {"a": {"ms": value}}
        assert (most.met(results), least.met(results)) == (fits_most, fits_least)
    assert most.met({}) is None
    assert most.met({"a": {"ms": None}}) is False  # it was infinite


@pytest.mark.parametrize(("of_two", "of_four"), [(2.0, 4.0), (1.0, 1.0), (1.6, 1.0 / (0.25 + 0.75 * 0.25))])
def test_what_more_workers_do_follows_from_what_two_do(of_two: float, of_four: float) -> None:
    assert speed_up(1, of_two) == pytest.approx(1.0)
    assert speed_up(2, of_two) == pytest.approx(of_two)
    assert speed_up(4, of_two) == pytest.approx(of_four)


def test_as_many_workers_as_keep_up_with_headroom() -> None:
    assert workers_for(700.0, 1_000.0, 2.0) == 1
    assert workers_for(701.0, 1_000.0, 2.0) == 2
    assert workers_for(10_000.0, 1_000.0, 1.6) is None


def test_memory_is_a_plane_over_users_and_items() -> None:
    memory = Memory.of(PLANE)
    assert memory.at(1_000_000, 1_000_000) == pytest.approx(3.5)
    assert sizing(RESULTS)[0]["GB_each"] == pytest.approx(0.5 + 0.1 + 0.02)


def test_rows_with_other_columns_begin_another_table() -> None:
    groups = grouped([{"a": 1}, {"a": 2}, {"b": 3}])
    assert [len(group) for group in groups] == [2, 1]
    assert [cell(value) for value in (None, True, float("nan"), 1234.5, 0.25, 7_000, "x")] == [
        *("-", "yes", "-", "1,234.5", "0.2500", "7,000", "x")
    ]
    assert [brief(value) for value in (None, 1234.5, 99.96, 0.04567, 7)] == [
        "-",
        "1,234",
        "100",
        "0.0457",
        "7",
    ]
