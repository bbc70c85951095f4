"""What a command printed, kept in a file, so that a long series of runs can be cut off and taken up."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import click

_CODE = ("benchmarks", "connectors", "learners", "monitoring", "stream")


def keep(target: Path, module: str, arguments: Sequence[str]) -> None:
    """Write what `python -m module` prints to `target`, unless it has been there before with the same arguments.

    What other code gave is not measured again, which may take hours, but it is told: delete the file for that. A note
    beside it says what gave it.

    Raises:
        click.ClickException: The command failed.
    """
    note = target.with_suffix(".run")
    wanted = {"module": module, "arguments": list(arguments), "code": _code()}
    if target.is_file():
        made = json.loads(note.read_text()) if note.is_file() else wanted | {"code": ""}
        if made == wanted:
            click.echo(f"{target} is there already.")
            return
        if made["arguments"] == wanted["arguments"]:
            click.echo(f"{target} is there already, measured by other code: delete it to measure it again.")
            return
    click.echo(f"Measuring {target.stem} ...")
    run = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=False)
    if run.returncode:
        raise click.ClickException(f"What gives {target.name} failed.")
    target.write_bytes(run.stdout)
    note.write_text(json.dumps(wanted))


def _code() -> str:
    digest = blake2b(digest_size=8)
    for package in _CODE:
        for file in sorted((Path(__file__).parents[1] / package).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
