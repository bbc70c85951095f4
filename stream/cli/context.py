"""What every command needs: the settings, the broker's address, and one way to print a result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from connectors.kafka_client import KafkaClient
from connectors.local_broker import LocalBroker
from stream.settings import Settings, SettingsError, load

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")


class CommandFailed(click.ClickException):
    """The command could not do what was asked; exit code 1. The message says what to do."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        """One line on stderr, without click's `Error:`."""
        click.echo(f"freshet: {self.format_message()}", err=True, file=file)


class FiniteRange(click.FloatRange):
    """A range of numbers; click's own lets `nan` through, which is neither too small nor too large."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType`."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def effective_settings(ctx: click.Context, own: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this call.

    Args:
        ctx: The command's context.
        own: Values of the command's own options, nested like the settings file.

    Raises:
        click.UsageError: A wrong setting; exit code 2.
    """
    options = ctx.find_root().obj
    overrides = dict(own or {})
    if options["bootstrap"]:
        overrides["broker"] = options["bootstrap"]
    try:
        return load(options["config"], overrides)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def local_broker(settings: Settings) -> LocalBroker:
    """The local broker that belongs to this state folder."""
    return LocalBroker(settings.state_dir / "broker")


def kafka_client(settings: Settings) -> KafkaClient:
    """How to reach the broker: the configured one, else the local one that runs.

    Raises:
        CommandFailed: There is neither.
    """
    bootstrap = settings.broker
    if bootstrap is None:
        running = local_broker(settings).status()
        if not running.running:
            raise CommandFailed(
                "No broker: none is configured (FRESHET_BROKER, --bootstrap or `broker` in freshet.toml) and no "
                "local one is running. Start one with `freshet broker start`."
            )
        bootstrap = running.bootstrap
    assert bootstrap is not None
    kafka = settings.kafka
    return KafkaClient(
        bootstrap=bootstrap,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
        ssl_cafile=kafka.ssl_cafile,
        ssl_certfile=kafka.ssl_certfile,
        ssl_keyfile=kafka.ssl_keyfile,
        ssl_password=kafka.ssl_password.get_secret_value() if kafka.ssl_password else None,
        ssl_check_hostname=kafka.ssl_check_hostname,
    )


def print_json(result: object) -> None:
    """The result as one JSON object on stdout."""
    click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())


def say(message: str) -> None:
    """A line for the person who watches, on stderr."""
    click.echo(message, err=True)


@contextmanager
def broker_errors() -> Iterator[None]:
    """Errors of the broker and its topics become sentences with exit code 1."""
    from aiokafka.errors import KafkaError

    from connectors.kafka_admin import BrokerUnreachableError
    from connectors.topics import TopicError

    try:
        yield
    except (BrokerUnreachableError, TopicError) as error:
        raise CommandFailed(str(error)) from error
    except KafkaError as error:
        raise CommandFailed(f"The broker refuses: {error}.") from error
