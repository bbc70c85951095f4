"""Everything that is measured is looked at, everything that is looked at is measured, and the page says so."""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.catalogue import CATALOGUE
from monitoring.reference import PAGE, Uses, exported, page_of, uses
from stream.observer import worker_metrics

DEFINITIONS = [each for group in CATALOGUE.values() for each in group]


def test_no_metric_is_unused() -> None:
    names = uses().names
    assert [each.name for each in DEFINITIONS if not names & set(exported(each))] == []


def test_whatever_is_used_exists() -> None:
    found = uses()
    there = {name for each in DEFINITIONS for name in exported(each)} | found.recorded
    assert found.names - there == set()


def test_no_recording_rule_is_unused() -> None:
    found = uses()
    assert found.recorded - found.names == set()


def test_the_page_is_that_of_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_of(uses()), "python -m monitoring.reference writes it"


def test_the_registry_holds_the_catalogue_and_nothing_else_of_ours() -> None:
    families = {family.name for family in worker_metrics([]).registry.collect()}
    ours = {name for name in families if name.startswith("freshet_")}
    assert ours == {f"freshet_{each.name.removesuffix('_total')}" for each in DEFINITIONS}


def test_names_follow_their_kinds() -> None:
    for each in DEFINITIONS:
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert each.meaning.endswith("."), each.name


def test_a_name_that_does_not_exist_is_found(tmp_path: Path) -> None:
    rule = {"alert": "A", "expr": 'freshet_nonsense_total{reason="freshet_text"} > job:freshet_gone:sum'}
    (tmp_path / "a.yml").write_text(json.dumps({"groups": [{"name": "a", "rules": [rule]}]}))
    found: Uses = uses(tmp_path, tmp_path)
    assert found.names == {"freshet_nonsense_total", "job:freshet_gone:sum"}
