"""`freshet status`."""

from __future__ import annotations

from typing import Any

import click

from stream.cli.context import (
    CommandFailed,
    broker_errors,
    effective_settings,
    json_option,
    kafka_client,
    print_json,
)


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show offsets and lag of each partition and what was learned; the worker may run or not."""
    settings = effective_settings(ctx)
    client = kafka_client(settings)

    from stream.checkpoints.manifest import CheckpointError
    from stream.checkpoints.place import PlaceError
    from stream.status import WorkerBusyError, worker_status

    with broker_errors():
        try:
            found = worker_status(settings, client)
        except (CheckpointError, PlaceError, WorkerBusyError) as error:
            raise CommandFailed(str(error)) from error
    if as_json:
        print_json(found)
    else:
        _print_table(found)


def _print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    worker = found["worker"]
    where = f"running, pid {worker['pid']}, http://{worker['http']}" if worker["running"] else "not running"
    console.print(f"worker {where}")
    names = (
        "events_learned",
        "events_followed",
        "recommendations",
        "dead_letters",
        "records_skipped",
        "duplicates",
        "late_events",
        "lag",
        "users",
        "items",
        "model_step",
        "checkpoint_age_s",
    )
    for name in names:
        console.print(f"  {name.replace('_', ' '):<18} {found[name]}", highlight=False)
    table = Table("partition", "end", "committed", "applied", "lag")
    for partition in found["partitions"]:
        table.add_row(*("-" if value is None else str(value) for value in partition.values()))
    console.print(table)
