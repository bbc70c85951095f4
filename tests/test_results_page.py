"""The page of results is made of nothing but what evaluations and benchmarks printed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from builders import SURROUNDINGS
from click.testing import CliRunner

from benchmarks.results import main, page_of

EVALUATION: dict[str, Any] = {
    "log": "shop",
    "events": 1_200,
    "event_types": {"view": 1_000, "like": 200},
    "users": 30,
    "items": 40,
    "exclude_seen": False,
    "warm_up": {"share": 0.2, "events": 240},
    "scored": 900,
    "seeds": [0, 1],
    "ranking": {"hr10": 0.5, "hr20": 0.6, "mrr20": 0.25, "ndcg10": 0.3},
    "spread": {"ranking": {"hr10": 0.01, "hr20": 0.02, "mrr20": 0.003, "ndcg10": 0.004}},
    "slices": {"repeats": {"n": 100, "hr10": 0.9}},
    "candidate_recall": {"all": 0.8, "known_items": 0.85, "compared": 0.82},
    "variety": {"catalogue": 40, "coverage": 0.95, "gini": 0.4},
    "satisfaction": {"places": 9_000, "satisfying_events": 100, "of_places": 0.01, "of_lists": 0.1},
    "peers": {
        "newest item": {
            "ranking": {"hr10": 0.4, "hr20": 0.5, "mrr20": 0.2, "ndcg10": 0.25},
            "slices": {"repeats": {"n": 100, "hr10": 0.3}},
        }
    },
    "paired": {
        "newest item": {
            "mcnemar": {"only_one": 150, "only_other": 60, "p": 1e-9},
            "wilcoxon_p": 1e-5,
            "hr10_difference": {"difference": 0.1, "low": 0.08, "high": 0.13, "block": 9, "resamples": 2_000},
        }
    },
    "tasks": {
        "engage": {"kind": "binary", "n": 500, "base_rate": 0.1, "auc": 0.7, "log_loss": 0.3},
        "cart": {"kind": "binary", "n": 500, "base_rate": 0.0, "auc": None, "log_loss": 0.01},
    },
    "events_per_s": [1_234.5, 1_200.0],
    "peak_memory_mib": 700.0,
    "made_at": "2026-01-31T12:00:00+00:00",
    "surroundings": SURROUNDINGS,
}
BENCHMARK = {
    "benchmark": "weightings",
    "rows": [{"weighting": "equal", "auc": 0.7}, {"weighting": "balanced", "auc": 0.71}],
}


def test_every_section_has_its_table() -> None:
    page = page_of([EVALUATION, BENCHMARK])
    for line in (
        "### shop (like, view)",
        "| **freshet** | 0.5000 ± 0.0100 | 0.6000 ± 0.0200 | 0.2500 ± 0.0030 | 0.3000 ± 0.0040 |  |  |",
        "| newest item | 0.4000 | 0.5000 | 0.2000 | 0.2500 | -0.1000 [-0.1300, -0.0800] | 1e-09 |",
        "| repeats | 100 | 0.9000 | 0.3000 |",
        "|  | engage |",
        "| AUC | 0.7000 |",
        "## Benchmark: weightings",
        "| balanced | 0.7100 |",
        "A processor, 2 cores, Linux x86_64",
        "freshet 0.1.0, python 3.11.9, torch 2.13.0, numpy 2.4.6, river 0.26.1",
        "2026-01-31T12:00:00+00:00",
    ):
        assert line in page, line
    assert "cart" not in page, "a task without labels of both kinds has no quality"


def test_one_run_without_peers_is_a_page_too() -> None:
    alone = copy.deepcopy(EVALUATION)
    alone |= {"peers": {}, "paired": {}, "spread": None, "satisfaction": {"of_places": None}}
    assert "| **freshet** | 0.5000 | 0.6000 | 0.2500 | 0.3000 |  |  |" in page_of([alone])


def test_the_command_writes_the_page_from_the_files(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "shop.json").write_text(json.dumps(EVALUATION))
    page = tmp_path / "results.md"
    done = CliRunner().invoke(main, [str(page), "--work", str(tmp_path / "work")])
    assert done.exit_code == 0, done.output
    assert page.read_text() == page_of([EVALUATION])


def test_without_files_it_says_how_to_make_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, [str(tmp_path / "page.md"), "--work", str(tmp_path / "work")])
    assert done.exit_code == 1
    assert "--logs" in done.output
