"""`freshet evaluate` from end to end, on a small shop of sure habits."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stream.cli.main import cli


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users who go round three of nine items each, half of the items `read` and then liked."""
    rng = np.random.default_rng(0)
    lines = ["timestamp,user_id,item_id,event_type,value"]
    for n in range(240):
        user = int(rng.integers(0, 6))
        item = 3 * (user % 3) + n % 3
        kind = "like" if n % 5 == 0 else "read"
        lines.append(f"{1_700_000_000 + 60 * (n // 2)},u{user},i{item},{kind},")
    path = tmp_path_factory.mktemp("logs") / "shop.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def freshet(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], obj={}, standalone_mode=False)


@pytest.fixture(scope="module")
def results(log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One evaluation with everything, shared: its JSON and the folder of its files."""
    folder = tmp_path_factory.mktemp("results")
    found = freshet(
        "evaluate", log, "--peers", "--seeds", "2", "--folds", "2", "--json",
        "--predictions", folder / "lists.csv.gz", "--plot", folder / "plot.png",
    )  # fmt: skip
    assert found.exception is None, found.output
    return json.loads(found.stdout), folder


def test_it_reports_everything_that_was_asked_for(results: tuple[dict[str, Any], Path]) -> None:
    report, _ = results
    assert (report["log"], report["events"], report["warm_up"]["events"]) == ("shop", 240, 48)
    assert report["notices"] == ["Declared for this run, as choices: read."]
    assert report["scored"] == 192
    assert 0.5 < report["ranking"]["hr10"] <= 1.0
    assert report["seeds"] == [0, 1]
    assert set(report["spread"]["ranking"]) == {"hr10", "hr20", "mrr20", "ndcg10"}
    assert len(report["folds"]["by_fold"]) == 2
    assert len(report["peers"]) == len(report["paired"]) == 15
    assert len(report["windows"]["hr10"]["freshet"]) == len(report["windows"]["starts_ms"]) == 40
    assert report["tasks"]["like"]["n"] > 0
    assert report["satisfaction"]["of_lists"] > 0.0
    assert report["surroundings"]["python"]


def test_the_figures_follow_from_the_file(results: tuple[dict[str, Any], Path]) -> None:
    report, folder = results
    with gzip.open(folder / "lists.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == report["scored"]
    hits = [row["item_id"] in row["recommended"].split("|")[:10] for row in rows]
    assert sum(hits) / len(rows) == pytest.approx(report["by_seed"][0]["hr10"])
    for row in rows:
        names = row["recommended"].split("|")
        assert (names.index(row["item_id"]) + 1 if row["item_id"] in names else "") == (
            int(row["rank"]) if row["rank"] else ""
        )


def test_what_was_measured_is_told_where_a_file_cannot_be_written(log: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(
        cli, ["evaluate", str(log), "--json", "--plot", str(tmp_path / "plot.xyz")], obj={}
    )
    assert found.exit_code == 1
    assert "plot.xyz cannot be drawn" in found.stderr
    assert json.loads(found.stdout)["scored"] == 192


def test_a_picture_is_drawn(results: tuple[dict[str, Any], Path]) -> None:
    _, folder = results
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_peers_do_not_depend_on_freshets_seed(results: tuple[dict[str, Any], Path], log: Path) -> None:
    report, _ = results
    again = json.loads(freshet("evaluate", log, "--peers", "--json").stdout)
    assert again["peers"] == report["peers"]
    assert again["by_seed"][0] == report["by_seed"][0], "and a seed gives the same run again"


def test_with_seen_items_excluded_repeats_are_not_counted(log: Path) -> None:
    found = freshet("evaluate", log, "--exclude-seen", "--limit", "60", "--json")
    report = json.loads(found.stdout)
    assert report["exclude_seen"]
    assert report["slices"]["repeats"]["n"] == 0


def test_everything_of_one_moment_is_ranked_however_much_it_is(tmp_path: Path) -> None:
    """A worker that gets so much at once would be behind, and learn from a share."""
    lines = ["timestamp,user_id,item_id,event_type"]
    lines += [
        f"{1_700_000_000 + 86_400 * day},u{n},i{(n + day) % 40},view" for day in range(4) for n in range(150)
    ]
    path = tmp_path / "days.csv"
    path.write_text("\n".join(lines) + "\n")
    report = json.loads(freshet("evaluate", path, "--json").stdout)
    assert (report["scored"], report["not_ranked"]) == (450, 0)


def test_a_person_reads_a_table(log: Path) -> None:
    found = freshet("evaluate", log, "--limit", "60", "--types", "read")
    assert found.exception is None
    assert "HR@10" in found.stdout
    assert "shop: 60 events of 6 users" in found.stdout


def test_a_diverged_learner_ends_it_with_a_sentence(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from learners.ranker import Ranker
    from stream.cli.context import CommandFailed

    def diverged(self: Ranker, features: Any, *_: Any) -> Any:
        return np.full(features.shape[:2], np.inf, np.float32)

    monkeypatch.setattr(Ranker, "score", diverged)
    found = freshet("evaluate", log, "--limit", "60")
    assert isinstance(found.exception, CommandFailed)
    assert found.exception.exit_code == 1
    assert "not finite" in found.exception.message


def test_a_log_that_is_not_there_ends_it_with_a_sentence(tmp_path: Path) -> None:
    found = freshet("evaluate", tmp_path / "nothing.csv")
    assert "There is no log" in str(found.exception)


def test_what_says_that_items_can_be_had_is_no_choice_and_no_past(tmp_path: Path) -> None:
    """A shop that announces items, and then looks at them itself."""
    lines = ["timestamp,user_id,item_id,event_type,value"]
    for n in range(30):
        kind = ("item_available", "item_unavailable")[n % 2] if n < 10 else "view"
        lines.append(f"{1_700_000_000 + 60 * n},shop,i{n % 5},{kind},")
    path = tmp_path / "announced.csv"
    path.write_text("\n".join(lines) + "\n")
    found = freshet("evaluate", path, "--json")
    assert found.exception is None, found.output
    report = json.loads(found.stdout)
    assert report["notices"] == []
    assert report["scored"] == 19, "20 views, of which the first has no past"
