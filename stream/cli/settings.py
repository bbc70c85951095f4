"""`freshet settings`."""

from __future__ import annotations

import json
from typing import Any

import click

from stream.cli.context import effective_settings, json_option


@click.command()
@json_option
@click.pass_context
def settings(ctx: click.Context, as_json: bool) -> None:
    """Print the effective settings, secrets masked; the default form can be saved as freshet.toml."""
    effective = effective_settings(ctx)
    values = json.loads(effective.model_dump_json())
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    import tomlkit

    click.echo(tomlkit.dumps(_without_none(values)), nl=False)


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not set is left out."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value]
    return value
