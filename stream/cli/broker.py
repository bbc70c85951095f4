"""`freshet broker`: start, stop and inspect a local Apache Kafka."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from connectors.kafka_admin import BrokerUnreachableError, check
from connectors.local_broker import BrokerError, BrokerStatus
from stream.cli.context import (
    CommandFailed,
    effective_settings,
    json_option,
    kafka_client,
    local_broker,
    print_json,
    say,
)
from stream.settings import Settings

_CHECKOUT = Path(__file__).resolve().parents[2]


@click.group()
def broker() -> None:
    """Start, stop and inspect a local Apache Kafka.

    Java runs it, with the Kafka in KAFKA_HOME or one that Maven fetches once; without Java, Docker does. Where
    a broker is configured (FRESHET_BROKER, --bootstrap), nothing is started and that one is looked at.
    """


@broker.command()
@click.option("--ephemeral", is_flag=True, help="Keep the data in a temporary folder that `stop` deletes.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help="Port on 127.0.0.1, 0 for any free one.  [default: 9092, or a free one near it]",
)
@json_option
@click.pass_context
def start(ctx: click.Context, ephemeral: bool, port: int | None, as_json: bool) -> None:
    """Start a broker, unless one is there already, and return when it answers."""
    settings = effective_settings(ctx)
    if settings.broker is not None:
        if ephemeral or port is not None:
            say("A broker is configured: nothing is started, and --ephemeral and --port mean nothing.")
        try:
            _check_configured(settings)
        except BrokerUnreachableError as error:
            raise CommandFailed(str(error)) from error
        _show(_configured(settings, running=True), as_json)
        return
    try:
        _show(start_local(settings, ephemeral=ephemeral, port=port), as_json)
    except BrokerError as error:
        raise CommandFailed(str(error)) from error


@broker.command()
@json_option
@click.pass_context
def stop(ctx: click.Context, as_json: bool) -> None:
    """Stop the local broker; a configured one is not ours to stop."""
    settings = effective_settings(ctx)
    local = local_broker(settings)
    was_running = local.status().running
    try:
        with _progress() as on_phase:
            on_phase("Stopping Apache Kafka")
            status = local.stop()
    except BrokerError as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json(_plain(status))
    for note in status.notes:
        say(note)
    if settings.broker is not None:
        say(f"The configured broker {settings.broker} is left alone.")
    if not was_running:
        say("No local broker was running.")
    elif status.ephemeral:
        say("Kafka has stopped and its data is deleted.")
    else:
        say("Kafka has stopped. Its data is kept" + (f" in {status.data}." if status.data else "."))


@broker.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say which broker is used and whether it runs."""
    settings = effective_settings(ctx)
    if settings.broker is None:
        _show(local_broker(settings).status(), as_json)
        return
    try:
        _check_configured(settings)
    except BrokerUnreachableError as error:
        say(str(error))
        _show(_configured(settings, running=False), as_json)
    else:
        _show(_configured(settings, running=True), as_json)


def start_local(settings: Settings, *, ephemeral: bool = False, port: int | None = None) -> BrokerStatus:
    """Start the local broker of these settings, with progress on stderr.

    Args:
        settings: Say where its state and the fetched Kafka are kept.
        ephemeral: Keep its data in a temporary folder that stopping deletes.
        port: See `LocalBroker.start`.

    Raises:
        BrokerError: It does not start; `NoBrokerAvailable` where there is nothing to run one with.
    """
    compose_file = _CHECKOUT / "docker-compose.yml"
    with _progress() as on_phase:
        return local_broker(settings).start(
            ephemeral=ephemeral,
            port=port,
            cache_dir=settings.cache_dir,
            compose_file=compose_file if compose_file.is_file() else None,
            environment=os.environ,  # not read here: it is what Java, Maven and Docker inherit
            on_phase=on_phase,
        )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal, one line for each phase elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda phase: say(f"{phase} ...")
        return
    with console.status("") as spinner:
        yield lambda phase: spinner.update(f"{phase} ...")


def _check_configured(settings: Settings) -> None:
    with _progress() as on_phase:
        on_phase(f"Asking {settings.broker}")
        check(kafka_client(settings))


def _configured(settings: Settings, *, running: bool) -> BrokerStatus:
    return BrokerStatus(running=running, bootstrap=settings.broker, how="configured")


def _show(status: BrokerStatus, as_json: bool) -> None:
    if as_json:
        print_json(_plain(status))
    for note in status.notes:
        say(note)
    if not status.running:
        say("No broker is running. Start one with `freshet broker start`.")
        return
    details = [f"pid {status.pid}"] if status.pid else []
    details += ["its data is deleted when it stops"] if status.ephemeral else []
    details += [f"data in {status.data}"] if status.data and not status.ephemeral else []
    details += [f"log in {status.log}"] if status.log else []
    say(f"Kafka answers at {status.bootstrap}" + (f" ({', '.join(details)})." if details else "."))


def _plain(status: BrokerStatus) -> dict[str, Any]:
    """What JSON can hold."""
    return {
        "running": status.running,
        "bootstrap": status.bootstrap,
        "pid": status.pid,
        "how": status.how,
        "data": str(status.data) if status.data else None,
        "log": str(status.log) if status.log else None,
        "ephemeral": status.ephemeral,
        "notes": status.notes,
    }
