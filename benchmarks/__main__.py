"""`python -m benchmarks NAME`: one file a benchmark.

A benchmark has `measure(quick)`, which gives rows, and may have `headline(rows)`: the few numbers that are looked for
by name, which stand beside the rows in the JSON.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.tables import grouped
from stream.evaluation.surroundings import surroundings

_NAMES = (
    "step",
    "ablations",
    "alerts",
    "bounds",
    "checkpoint",
    "closed_loop",
    "drift",
    "encoders",
    "faults",
    "freshness",
    "ladder",
    "observer",
    "pace",
    "peers",
    "refit",
    "scale",
    "single_tasks",
    "task_weights",
    "teams",
    "workers",
)
_WIDTH = 180  # where no terminal says how wide it is


@click.command()
@click.argument("name", type=click.Choice(_NAMES), default=_NAMES[0])
@click.option(
    "--quick", is_flag=True, help="Less of everything; at most five minutes, drills of faults aside."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--logs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with an event log, for those that play one; may be given several times.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), help="How many, for those that repeat themselves with others."
)
@click.option(
    "--only", multiple=True, help="One of its parts, for those that have some; may be given several times."
)
@click.option("--minutes", type=click.FloatRange(min=0.5), help="How long, for those that go on for a while.")
def main(
    name: str,
    quick: bool,
    as_json: bool,
    logs: tuple[Path, ...],
    seeds: int | None,
    only: tuple[str, ...],
    minutes: float | None,
) -> None:
    """Run one benchmark; compare only figures of one run, since machines are noisy.

    Exits with 1 where something is required and a row says that it went wrong.
    """
    benchmark = importlib.import_module(f"benchmarks.{name}")
    measure = benchmark.measure
    taken = inspect.signature(measure).parameters
    given = {"logs": logs, "seeds": seeds, "only": only, "minutes": minutes}
    for option, value in given.items():
        if value and option not in taken:
            raise click.UsageError(f"{name} takes no --{option}")
        if not value and option in taken and taken[option].default is inspect.Parameter.empty:
            raise click.UsageError(f"{name} needs --{option}")
    load_before = os.getloadavg()[0]
    rows = measure(quick, **{option: value for option, value in given.items() if value})
    if as_json:
        figures = benchmark.headline(rows) if hasattr(benchmark, "headline") else {}
        about = {
            "benchmark": name,
            "quick": quick,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "surroundings": surroundings(),
            "load_before": load_before,
        }
        click.echo(json.dumps(_finite({**about, **figures, "rows": rows}), indent=2, allow_nan=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else _WIDTH)
        for group in grouped(rows):
            table = Table(*(column.replace("_", " ") for column in group[0]))
            for row in group:
                table.add_row(*(_shown(value) for value in row.values()))
            console.print(table)
    if any(row.get("went_wrong") for row in rows):
        sys.exit(1)


def _finite(value: Any) -> Any:
    """The same with None for what is no number: JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.1f}" if abs(value) >= 10.0 else f"{value:.4f}"


if __name__ == "__main__":
    main()
