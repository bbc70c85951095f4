"""`python -m benchmarks NAME`: one file a benchmark."""

from __future__ import annotations

import importlib
import json

import click
from rich.console import Console
from rich.table import Table

_NAMES = ("step",)


@click.command()
@click.argument("name", type=click.Choice(_NAMES), default=_NAMES[0])
@click.option("--quick", is_flag=True, help="Fewer repetitions; at most a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(name: str, quick: bool, as_json: bool) -> None:
    """Run one benchmark; compare only figures of one run, since machines are noisy."""
    rows = importlib.import_module(f"benchmarks.{name}").measure(quick)
    if as_json:
        click.echo(json.dumps({"benchmark": name, "rows": rows}, indent=2))
        return
    table = Table(*(column.replace("_", " ") for column in rows[0]))
    for row in rows:
        table.add_row(
            *(f"{value:,.1f}" if isinstance(value, float) else str(value) for value in row.values())
        )
    Console().print(table)


if __name__ == "__main__":
    main()
