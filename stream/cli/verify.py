"""`freshet verify`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.cli.context import (
    CommandFailed,
    broker_errors,
    effective_settings,
    json_option,
    kafka_client,
    print_json,
    say,
)

if TYPE_CHECKING:
    from stream.verification.verify import Verdict


@click.command()
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Count this log (a file or folder as of `freshet replay`) instead of the topic; may be given several times.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Show at most so many differences of a kind.",
)
@json_option
@click.pass_context
def verify(ctx: click.Context, logs: tuple[Path, ...], limit: int, as_json: bool) -> None:
    """Count the events again and compare with the newest checkpoint.

    Compared are each user's events and history, each item's events, the labels of each task and the totals. The
    topic is read up to the offsets that the checkpoint has applied, so a worker may run meanwhile. With --log the
    log must be all that was ever published, and all of it applied.

    \b
    Exit codes:
      0  everything was compared and nothing differs
      1  something differs, or nothing could be done
      3  nothing differs, but not everything could be compared: it says what and why

    \b
    Examples:
      freshet verify
      freshet verify --json | jq .differences_by_kind
      freshet verify --log logs/deskdrop
    """  # noqa: D301
    from connectors.sources.files import LogError
    from stream.checkpoints.place import PlaceError
    from stream.verification.verify import VerifyError, verify_log, verify_topic

    settings = effective_settings(ctx)
    try:
        if logs:
            verdict = verify_log(settings, logs)
        else:
            client = kafka_client(settings)
            with broker_errors():
                verdict = verify_topic(settings, client)
    except (VerifyError, LogError, PlaceError) as error:
        raise CommandFailed(str(error)) from error
    shown = [
        difference
        for _, some in groupby(verdict.differences, key=lambda difference: difference.what)
        for difference in list(some)[:limit]
    ]
    if as_json:
        result = asdict(verdict) | {
            "clean": not verdict.differences,
            "complete": not verdict.not_compared,
            "differences_by_kind": dict(Counter(difference.what for difference in verdict.differences)),
            "differences": [asdict(difference) for difference in shown],
        }
        print_json(result)
    else:
        for difference in shown:
            click.echo(
                f"{difference.what:<12} {difference.of}: expected {difference.expected}, "
                f"found {difference.found} ({difference.look})"
            )
    _say(verdict, len(shown))
    ctx.exit(verdict.exit_code)


def _say(verdict: Verdict, shown: int) -> None:
    """The verdict in sentences, on stderr."""
    say(
        f"{verdict.events:,} events of {verdict.users:,} users on {verdict.items:,} items, {verdict.source}, "
        f"against checkpoint {verdict.checkpoint}, in {verdict.seconds:.1f} s."
    )
    for sentence in verdict.not_compared:
        say(f"NOT COMPARED: {sentence}")
    count = len(verdict.differences)
    if not count:
        say("Nothing differs." if not verdict.not_compared else "Nothing of what could be compared differs.")
    elif count > shown:
        say(f"{count:,} differences, {shown} are shown; --limit shows more.")
    else:
        say(f"{count:,} differences.")
