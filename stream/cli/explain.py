"""`freshet explain weights`."""

from __future__ import annotations

import click

from stream.cli.context import CommandFailed, effective_settings, json_option, print_json


@click.group()
def explain() -> None:
    """Say why the worker does what it does."""


@explain.command()
@json_option
@click.pass_context
def weights(ctx: click.Context, as_json: bool) -> None:
    """Say why each task weighs what it weighs at the moment; the worker must run."""
    settings = effective_settings(ctx)

    from stream.status import WorkerBusyError, task_weights

    try:
        found = task_weights(settings)
    except WorkerBusyError as error:
        raise CommandFailed(str(error)) from error
    if found is None:
        raise CommandFailed(
            f"No worker runs in {settings.state_dir}: weights are explained by the worker that uses them. "
            f"Start one with `freshet worker`."
        )
    if as_json:
        print_json(found)
        return
    for task in found["tasks"]:
        click.echo(task["sentence"])
