"""`python -m benchmarks NAME`: one file a benchmark."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

_NAMES = (
    "step",
    "ablations",
    "bounds",
    "checkpoint",
    "closed_loop",
    "drift",
    "encoders",
    "faults",
    "observer",
    "refit",
    "single_tasks",
    "task_weights",
    "teams",
)
_WIDTH = 180  # where no terminal says how wide it is


@click.command()
@click.argument("name", type=click.Choice(_NAMES), default=_NAMES[0])
@click.option("--quick", is_flag=True, help="Fewer repetitions; at most a minute.")
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
def main(
    name: str, quick: bool, as_json: bool, logs: tuple[Path, ...], seeds: int | None, only: tuple[str, ...]
) -> None:
    """Run one benchmark; compare only figures of one run, since machines are noisy.

    Exits with 1 where something is required and a row says that it went wrong.
    """
    measure = importlib.import_module(f"benchmarks.{name}").measure
    taken = inspect.signature(measure).parameters
    given = {"logs": logs, "seeds": seeds, "only": only}
    for option, value in given.items():
        if value and option not in taken:
            raise click.UsageError(f"{name} takes no --{option}")
        if not value and option in taken and taken[option].default is inspect.Parameter.empty:
            raise click.UsageError(f"{name} needs --{option}")
    rows = measure(quick, **{option: value for option, value in given.items() if value})
    if as_json:
        click.echo(json.dumps({"benchmark": name, "quick": quick, "rows": rows}, indent=2))
    else:
        table = Table(*(column.replace("_", " ") for column in rows[0]))
        for row in rows:
            table.add_row(*(_shown(value) for value in row.values()))
        Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
    if any(row.get("went_wrong") for row in rows):
        sys.exit(1)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.1f}" if abs(value) >= 10.0 else f"{value:.4f}"


if __name__ == "__main__":
    main()
