"""What a command printed, kept in a file, so that a long series of runs can be cut off and taken up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click


def keep(target: Path, module: str, arguments: Sequence[str]) -> None:
    """Write what `python -m module` prints to `target`, unless that is there already.

    Raises:
        click.ClickException: The command failed.
    """
    if target.is_file():
        click.echo(f"{target} is there already.")
        return
    click.echo(f"Measuring {target.stem} ...")
    made = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=False)
    if made.returncode:
        raise click.ClickException(f"What gives {target.name} failed.")
    target.write_bytes(made.stdout)
