"""`freshet`: finds the command that was asked for and turns errors into sentences and exit codes.

Exit codes: 0 done, 1 failed (the message says what to do), 2 called wrongly. Commands are imported only
when they are called, so that `freshet --help` needs neither torch nor Faust.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("stream.cli.demo:demo", "Watch events become recommendations on a real broker."),
    "worker": ("stream.cli.worker:worker", "Learn from the events topic and publish recommendations."),
    "broker": ("stream.cli.broker:broker", "Start, stop and inspect a local Apache Kafka."),
    "topics": ("stream.cli.topics:topics", "Create the topics and compare them with the settings."),
    "replay": ("stream.cli.replay:replay", "Publish a real event log to the events topic."),
    "simulate": ("stream.cli.simulate:simulate", "Publish simulated shoppers who react to their slates."),
    "evaluate": (
        "stream.cli.evaluate:evaluate",
        "Measure the recommendations on a log, beside simpler ones.",
    ),
    "status": ("stream.cli.status:status", "Show offsets, lag and what was learned."),
    "state": ("stream.cli.state:state", "Look into the state of one user."),
    "verify": ("stream.cli.verify:verify", "Count the events again and compare with the checkpoint."),
    "plan": ("stream.cli.plan:plan", "Say what memory and disk a worker will take."),
    "explain": ("stream.cli.explain:explain", "Say why: the tasks' weights."),
    "watch": ("stream.cli.watch:watch", "Follow the recommendations as they are published."),
    "dead-letters": ("stream.cli.dead_letters:dead_letters", "List, follow or replay refused records."),
    "settings": ("stream.cli.settings:settings", "Print the effective settings."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="freshet", prog_name="freshet")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file instead of ./freshet.toml.",
)
@click.option(
    "--bootstrap", metavar="HOST:PORT", help="Bootstrap servers of the broker (over FRESHET_BROKER)."
)
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, bootstrap: str | None, debug: bool) -> None:
    """Freshet: behaviour events in, fresh recommendations out, learned on the way."""
    ctx.obj = {"config": config, "bootstrap": bootstrap, "debug": debug}


def main() -> None:
    """Entry point of the console command."""
    context: dict[str, Any] = {}
    debug = "--debug" in sys.argv
    try:
        code = cli.main(standalone_mode=False, obj=context)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if debug:
            raise
        click.echo(f"freshet: {type(error).__name__}: {error} (--debug shows where)", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
