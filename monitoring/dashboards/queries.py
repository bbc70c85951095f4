"""What the committed dashboards ask: read from their JSON, as Grafana reads it, with its variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_EVERYTHING = {"$job": ".*", "$worker": ".*", "$task": ".*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel of a dashboard.

    Attributes:
        board: The dashboard's title.
        row: The row that it stands in.
        title: Its own.
        kind: Grafana's name of its kind.
        description: What it means.
        unit: Grafana's name of the unit.
        place: Left, top, width and height on the grid.
        queries: PromQL and legend.
        limits: Of the values, None where there is none.
        steps: Thresholds with their colours.
        stacked: Whether lines stand on each other.
        logarithmic: Whether the vertical axis is.
    """

    board: str
    row: str
    title: str
    kind: str
    description: str
    unit: str
    place: tuple[int, int, int, int]
    queries: tuple[tuple[str, str], ...]
    limits: tuple[float | None, float | None]
    steps: tuple[tuple[float, str], ...]
    stacked: bool
    logarithmic: bool


def panels(path: Path) -> Iterator[Panel]:
    """The panels of a dashboard's JSON, in their order."""
    board = json.loads(path.read_text(encoding="utf-8"))
    row = ""
    for panel in board["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        else:
            yield _panel(board["title"], row, panel)


def annotation_queries(path: Path) -> list[str]:
    """The queries of a dashboard's annotations."""
    found = json.loads(path.read_text(encoding="utf-8"))["annotations"]["list"]
    return [annotation["expr"] for annotation in found]


def filled(query: str, *, rate_interval: str = "1m") -> str:
    """A query with all clusters, workers and tasks chosen."""
    for variable, value in (_EVERYTHING | {"$__rate_interval": rate_interval}).items():
        query = query.replace(variable, value)
    return query


def _panel(board: str, row: str, panel: dict[str, Any]) -> Panel:
    defaults = panel["fieldConfig"]["defaults"]
    grid = panel["gridPos"]
    steps = defaults.get("thresholds", {}).get("steps", [])
    custom = defaults.get("custom", {})
    return Panel(
        board=board,
        row=row,
        title=panel["title"],
        kind=panel["type"],
        description=panel.get("description", ""),
        unit=defaults.get("unit", ""),
        place=(grid.get("x", 0), grid.get("y", 0), grid["w"], grid["h"]),
        queries=tuple((target["expr"], target.get("legendFormat", "")) for target in panel["targets"]),
        limits=(defaults.get("min"), defaults.get("max")),
        steps=tuple((step["value"], step["color"]) for step in steps if step["value"] is not None),
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        logarithmic=custom.get("scaleDistribution", {}).get("type") == "log",
    )
