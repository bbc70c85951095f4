"""The committed dashboards are those that the code makes, and a person can read them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from monitoring.dashboards.__main__ import FOLDER, boards
from monitoring.dashboards.panels import WIDTH
from monitoring.dashboards.queries import filled, panels

NAMES = ("drift", "learning", "overview", "pipeline", "recommendations")
PANELS = [panel for name in NAMES for panel in panels(FOLDER / f"{name}.json")]
COMPOSE = yaml.safe_load(Path("docker-compose.yml").read_text(encoding="utf-8"))
PROVISIONING = Path("docker/grafana/provisioning")


def test_what_is_committed_is_what_the_code_makes() -> None:
    made = boards()
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            "python -m monitoring.dashboards writes it"
        )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel.board}: {panel.title}")
def test_a_panel_says_what_it_shows(panel: object) -> None:
    assert panel in PANELS
    assert panel.title  # type: ignore[attr-defined]
    assert panel.description.endswith(".")  # type: ignore[attr-defined]
    assert panel.unit  # type: ignore[attr-defined]
    queries = panel.queries  # type: ignore[attr-defined]
    assert len(queries) == 1 or all(legend not in ("", "__auto") for _, legend in queries)
    assert not any("$" in filled(query) for query, _ in queries), "a variable that nobody declares"


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel.board}: {panel.title}")
def test_an_average_leaves_out_who_does_not_know(panel: object) -> None:
    """A worker's gauge is no number until it is known, and an average with one of these is none either."""
    for query, _ in panel.queries:  # type: ignore[attr-defined]
        for averaged in re.findall(r"avg[a-z_ (,)]*\(([^;]*)", query):
            assert "> -1e9" in averaged or "job:" in averaged


@pytest.mark.parametrize("name", NAMES)
def test_panels_fill_the_grid_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(FOLDER / f"{name}.json"):
        left, top, width, height = panel.place
        cells = {(x, y) for x in range(left, left + width) for y in range(top, top + height)}
        assert left + width <= WIDTH
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_variables_annotations_and_a_name_of_its_own(name: str) -> None:
    board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert board["uid"] == f"freshet-{name}"
    assert [variable["name"] for variable in board["templating"]["list"]] == ["job", "worker", "task"]
    found = [annotation["expr"] for annotation in board["annotations"]["list"]]
    shown = ("findings", "findings", "decisions", "outcomes")
    told = [f"freshet_drift_{what}_total" for what in shown]
    assert all(name in query for name, query in zip(told, found, strict=True))


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    [source] = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"]
    asked = {
        uid
        for name in NAMES
        for uid in re.findall(r'"uid": "(prometheus)"', (FOLDER / f"{name}.json").read_text())
    }
    assert asked == {source["uid"]}
    [provider] = yaml.safe_load((PROVISIONING / "dashboards/freshet.yml").read_text())["providers"]
    volumes = COMPOSE["services"]["grafana"]["volumes"]
    assert f"./{FOLDER}:{provider['options']['path']}:ro" in volumes


def test_whatever_is_mounted_exists() -> None:
    mounted = [
        volume.split(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", ())
        if volume.startswith("./")
    ]
    assert mounted
    assert [path for path in mounted if not Path(path).exists()] == []
