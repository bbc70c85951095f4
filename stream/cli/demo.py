"""`freshet demo`."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from connectors.kafka_client import KafkaClient
from connectors.local_broker import BrokerError, NoBrokerAvailable
from connectors.sources.files import LogError
from stream.cli.broker import start_local
from stream.cli.client_logs import hold_back_client_logs
from stream.cli.context import (
    CommandFailed,
    FiniteRange,
    broker_errors,
    effective_settings,
    json_option,
    kafka_client,
    local_broker,
    print_json,
    say,
)
from stream.cli.stopping import stop_on_signals
from stream.demo import scenario as scenarios
from stream.demo.in_process import play_in_process
from stream.demo.on_broker import play_on_broker
from stream.demo.scenario import Scenario
from stream.demo.summary import DemoSummary
from stream.demo.view import drawn, in_words
from stream.settings import Settings
from stream.worker_process import WorkerFailedError

_POSITIVE = FiniteRange(min=0.0, min_open=True)
_LINE_EVERY_S = 10.0

Stage = Callable[[], Scenario]


@click.command()
@click.option(
    "--duration", type=_POSITIVE, metavar="S", default=90.0, show_default=True, help="Real seconds."
)
@click.option("--rate", type=_POSITIVE, default=700.0, show_default=True, help="Events per real second.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the shoppers.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    help="Play a real log instead of simulated shoppers.",
)
@click.option("--in-process", is_flag=True, help="Without a broker, all in this process.")
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
    duration: float,
    rate: float,
    seed: int,
    data: Path | None,
    in_process: bool,
    as_json: bool,
) -> None:
    """Watch events become recommendations: broker, topics, worker and shoppers, on this machine, for a while.

    Uses the configured broker, if there is one, with topics and a group of its own; otherwise starts an Apache Kafka
    that is gone afterwards. Ctrl-C ends it early, and cleanly.
    """
    settings = effective_settings(ctx)
    hold_back_client_logs(ctx)
    try:
        config = ctx.find_root().obj["config"]
        summary = _play(settings, config, lambda: _stage(data, seed, duration), rate, duration, in_process)
    except (WorkerFailedError, LogError) as error:
        raise CommandFailed(str(error)) from error
    for line in in_words(summary):
        say(line)
    if as_json:
        print_json(summary)


def _stage(data: Path | None, seed: int, duration_s: float) -> Scenario:
    return scenarios.log(data) if data is not None else scenarios.shop(seed, duration_s)


def _play(
    settings: Settings, config: Path | None, stage: Stage, rate: float, duration_s: float, in_process: bool
) -> DemoSummary:
    if not in_process:
        try:
            with (
                broker_errors(),
                _broker(settings) as client,
                tempfile.TemporaryDirectory(prefix="freshet-demo-") as folder,
            ):
                return asyncio.run(
                    _on_broker(settings, config, stage, client, rate, duration_s, Path(folder))
                )
        except NoBrokerAvailable as error:
            say(f"{error}\nPlaying the same pipeline in this process instead.")
        except BrokerError as error:
            raise CommandFailed(str(error)) from error
    return asyncio.run(_in_process(settings, stage, rate, duration_s))


@contextmanager
def _broker(settings: Settings) -> Iterator[KafkaClient]:
    """The configured broker, or one of this demonstration's own, which is gone afterwards."""
    if settings.broker is not None:
        yield kafka_client(settings)
        return
    with tempfile.TemporaryDirectory(prefix="freshet-demo-broker-") as folder, _sigterm_as_interrupt():
        own = settings.model_copy(update={"state_dir": Path(folder)})
        try:
            started = start_local(own, ephemeral=True, port=0)
            yield kafka_client(own.model_copy(update={"broker": started.bootstrap}))
        finally:
            with _undisturbed():
                local_broker(own).stop()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Outside of the event loop too, SIGTERM must run the clean-up."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half of it running."""
    former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


async def _on_broker(
    settings: Settings,
    config: Path | None,
    stage: Stage,
    client: KafkaClient,
    rate: float,
    duration_s: float,
    folder: Path,
) -> DemoSummary:
    with stop_on_signals() as stop, _view(duration_s) as on_summary:
        return await play_on_broker(
            stage,
            settings,
            client,
            rate=rate,
            duration_s=duration_s,
            state_dir=folder,
            config=config,
            stop=stop,
            say=say,
            on_summary=on_summary,
        )


async def _in_process(settings: Settings, stage: Stage, rate: float, duration_s: float) -> DemoSummary:
    with stop_on_signals() as stop, _view(duration_s) as on_summary:
        return await play_in_process(
            stage, settings, rate=rate, duration_s=duration_s, stop=stop, on_summary=on_summary
        )


@contextmanager
def _view(duration_s: float) -> Iterator[Callable[[DemoSummary], None]]:
    """Draws summaries on stderr; where that is no terminal, says a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        said = 0.0

        def say_sometimes(summary: DemoSummary) -> None:
            nonlocal said
            if summary.seconds - said >= _LINE_EVERY_S:
                said = summary.seconds
                say(f"{summary.seconds:4.0f} s: {' '.join(in_words(summary))}")

        yield say_sometimes
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda summary: live.update(drawn(summary, duration_s))
