"""`python -m monitoring.reference`: writes docs/metrics.md, what each metric means and where it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import yaml

from monitoring.catalogue import CATALOGUE, PREFIX, Definition
from monitoring.dashboards.queries import annotation_queries, panels

PAGE = Path("docs/metrics.md")
BOARDS = Path("docker/grafana/dashboards")
RULES = Path("docker/prometheus/rules")

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_OTHERS = re.compile(r"(process_|python_)\w+|up|ALERTS")  # of the client library, and of Prometheus
_PREFACE = """\
# Metrics

This page is written by `python -m monitoring.reference`; do not edit it. What each metric means, and which panel
(`dashboard: panel`), recording rule (`job:...`) or alert uses it. Times are seconds. Counters and histograms start at
zero with the process; the totals in `/status` come from the checkpoint and go on. Process and platform metrics of the
client library are there too.

Of several workers: add up counters, and the buckets of histograms before a quantile is taken of them. Averages have a
weight (`freshet_progressive_choices`, `freshet_task_window_labels`), by which the recording rules put them together.
`freshet_users`, `freshet_items` and `freshet_applied_offset` are the same on all workers. Dashboards and rules do so.
"""


@dataclass
class Uses:
    """Where names are used.

    Attributes:
        panels: By name, `dashboard: panel`.
        rules: By name, recording rules and alerts.
        recorded: Names that recording rules make.
    """

    panels: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, list[str]] = field(default_factory=dict)
    recorded: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """All that are used, but for those of the client library and of Prometheus itself."""
        return {name for name in {*self.panels, *self.rules} if not _OTHERS.fullmatch(name)}


@click.command()
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False), default=PAGE)
def main(page: Path) -> None:
    """Write PAGE."""
    page.write_text(page_of(uses()), encoding="utf-8")
    click.echo(page)


def uses(boards: Path = BOARDS, rules: Path = RULES) -> Uses:
    """What the dashboards and rules use."""
    found = Uses()
    for path in sorted(boards.glob("*.json")):
        for panel in panels(path):
            where = f"{path.stem}: {panel.title}"
            for query, _ in panel.queries:
                _note(found.panels, query, where)
        for query in annotation_queries(path):
            _note(found.panels, query, "annotations")
    for path in sorted(rules.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                _note(found.rules, rule["expr"], rule.get("alert") or rule["record"])
                found.recorded |= {rule["record"]} if "record" in rule else set()
    return found


def exported(definition: Definition) -> list[str]:
    """The names under which Prometheus knows a metric."""
    name = PREFIX + definition.name
    return [f"{name}_bucket", f"{name}_sum", f"{name}_count"] if definition.kind == "histogram" else [name]


def page_of(found: Uses) -> str:
    """The page."""
    parts = [_PREFACE]
    for group, definitions in CATALOGUE.items():
        parts.append(f"\n## {group}\n\n| name | type | labels | meaning | used by |\n|---|---|---|---|---|\n")
        for each in definitions:
            labels = ", ".join(f"`{label}`" for label in each.labels) or "-"
            used = ", ".join(_used(each, found)) or "nothing"
            parts.append(f"| `{PREFIX}{each.name}` | {each.kind} | {labels} | {each.meaning} | {used} |\n")
    return "".join(parts)


def _used(definition: Definition, found: Uses) -> list[str]:
    names = exported(definition)
    shown = [where for name in names for where in found.panels.get(name, ())]
    ruled = [f"`{where}`" for name in names for where in found.rules.get(name, ())]
    return list(dict.fromkeys([*ruled, *shown]))


def _note(places: dict[str, list[str]], query: str, where: str) -> None:
    for name in _names(query):
        if where not in places.setdefault(name, []):
            places[name].append(where)


def _names(query: str) -> Iterator[str]:
    """Names of metrics in a query: what has our prefix or a colon, and what others are known of."""
    without_texts = re.sub(r'"[^"]*"', '""', query)
    for name in _NAME.findall(without_texts):
        if name.startswith(PREFIX) or (":" in name and not name.startswith(":")) or _OTHERS.fullmatch(name):
            yield name


if __name__ == "__main__":
    main()
