"""`freshet state user`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from stream.cli.context import CommandFailed, effective_settings, json_option, print_json


@click.group()
def state() -> None:
    """Look into the state."""


@state.command()
@click.argument("user_id")
@json_option
@click.pass_context
def user(ctx: click.Context, user_id: str, as_json: bool) -> None:
    """Show the history, the counts, the pending labels and the latest slate of USER_ID; the worker may run or not."""
    settings = effective_settings(ctx)

    from stream.checkpoints.manifest import CheckpointError
    from stream.checkpoints.place import PlaceError
    from stream.status import WorkerBusyError, user_state

    try:
        found = user_state(settings, user_id)
    except (CheckpointError, PlaceError, WorkerBusyError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    if found is None:
        raise CommandFailed(f"Nothing is known of user {user_id!r} in {settings.state_dir}.")
    if as_json:
        print_json(found)
        return
    click.echo(
        f"user {user_id}: {found['events']} events applied, {len(found['pending'])} impressions pending"
    )
    for entry in found["history"]:
        moment = datetime.fromtimestamp(entry["occurred_at_ms"] / 1000, UTC)
        click.echo(f"  {moment:%Y-%m-%d %H:%M:%S}  {entry['event_type']:<16} {entry['item_id']}")
    click.echo("slate: " + (", ".join(place["item_id"] for place in found["slate"]) or "none yet"))
