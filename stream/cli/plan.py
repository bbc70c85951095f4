"""`freshet plan`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from stream.cli.context import FiniteRange, effective_settings, json_option, print_json, say

if TYPE_CHECKING:
    from stream.planning import Plan

_MB = 1e6


@click.command()
@click.option("--users", type=click.IntRange(min=1), required=True, help="Users that are remembered.")
@click.option("--items", type=click.IntRange(min=1), required=True, help="Items that are known.")
@click.option(
    "--tasks", type=click.IntRange(min=1, max=32), help="So many tasks instead of those of the settings."
)
@click.option(
    "--choices",
    type=FiniteRange(min=0.0),
    default=10.0,
    show_default=True,
    help="Different items that a user chooses, on average.",
)
@click.option(
    "--owned",
    type=FiniteRange(min=0.0),
    default=1.0,
    show_default=True,
    help="Items that a user owns, on average; counts with recommend.owned_types.",
)
@click.option(
    "--neighbours",
    type=FiniteRange(min=0.0),
    default=20.0,
    show_default=True,
    help="Items that follow an item, and that go together with it, on average.",
)
@click.option(
    "--companions",
    type=FiniteRange(min=0.0),
    default=20.0,
    show_default=True,
    help="Users who choose like a user, on average.",
)
@click.option(
    "--pending",
    type=click.IntRange(min=0),
    default=50_000,
    show_default=True,
    help="Impressions that wait for labels at a time.",
)
@click.option(
    "--id-length", type=click.IntRange(min=1), default=12, show_default=True, help="Characters of an id."
)
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    users: int,
    items: int,
    tasks: int | None,
    choices: float,
    owned: float,
    neighbours: float,
    companions: float,
    pending: int,
    id_length: int,
    as_json: bool,
) -> None:
    """Say what memory and disk a worker with these settings will take.

    It builds a small worker and weighs it, which takes some seconds. The bounds of [state] hold here too.

    \b
    Examples:
      freshet plan --users 300000 --items 200000
      FRESHET_LEARNER__DIMENSION=32 freshet plan --users 300000 --items 200000
    """  # noqa: D301
    from stream.planning import Load
    from stream.planning import plan as planned

    own = {}
    if tasks is not None:
        own["tasks"] = [{"name": f"task{n}", "event_types": ["view"]} for n in range(tasks)]
    found = planned(
        effective_settings(ctx, own),
        Load(
            users=users,
            items=items,
            choices=choices,
            owned=owned,
            neighbours=neighbours,
            companions=companions,
            pending=pending,
            id_length=id_length,
        ),
    )
    if as_json:
        print_json({**asdict(found), "resident": found.resident})
        return
    _show(found)


def _show(found: Plan) -> None:
    """Tables in megabytes."""
    from rich.console import Console
    from rich.table import Table

    table = Table("memory", "MB", title_justify="left")
    table.columns[1].justify = "right"
    for name, size in found.pieces.items():
        table.add_row(name, f"{size / _MB:,.1f}")
    table.add_section()
    table.add_row("resident", f"{found.resident / _MB:,.1f}")
    table.add_section()
    for name, size in found.at_times.items():
        table.add_row(f"at times: {name}", f"{size / _MB:,.1f}")
    table.add_section()
    table.add_row("a whole checkpoint", f"{found.checkpoint / _MB:,.1f}")
    table.add_row("disk for checkpoints", f"{found.disk / _MB:,.1f}")
    Console().print(table)
    say(
        "1 MB is 1,000,000 bytes. Tables double when they grow, so a few users or items more may cost much more."
    )
