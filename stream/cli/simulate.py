"""`freshet simulate`: publish simulated shoppers who react to their slates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
import msgspec
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from connectors.kafka_admin import BrokerUnreachableError
from connectors.kafka_client import KafkaClient
from connectors.simulator.clock import DEFAULT_SCALE, SimulatedClock
from connectors.simulator.config import SimulatorConfig
from connectors.simulator.loop import LoopProgress, run
from connectors.simulator.report import ClickRates, SimulatorReport
from connectors.simulator.simulation import Simulation
from connectors.sinks.kafka import DeliveryError
from connectors.topics import TopicError
from stream.cli.client_logs import hold_back_client_logs
from stream.cli.context import (
    CommandFailed,
    FiniteRange,
    effective_settings,
    json_option,
    kafka_client,
    print_json,
    say,
)
from stream.cli.stopping import stop_on_signals
from stream.settings import TopicSettings

_DEFAULTS = SimulatorConfig()
_SHOW_EVERY_S = 1.0
_LINE_EVERY_S = 10.0
_SHARE = FiniteRange(0.0, 1.0)
_POSITIVE = FiniteRange(min=0.0, min_open=True)


def _switch(name: str, kind: Any, text: str) -> Callable[[Any], Any]:
    """An option of `SimulatorConfig`, with its default."""
    default = getattr(_DEFAULTS, name)
    option = f"--{name.replace('_', '-')}"
    return click.option(option, type=kind, default=default, show_default=default is not None, help=text)


@click.command()
@click.option("--rate", type=_POSITIVE, default=500.0, show_default=True, help="Events per real second.")
@click.option("--duration", type=_POSITIVE, metavar="S", help="Real seconds.  [default: until Ctrl-C]")
@click.option(
    "--time-scale",
    type=_POSITIVE,
    default=DEFAULT_SCALE,
    show_default=True,
    help="Simulated seconds in a real second, until the present is reached.",
)
@_switch("seed", click.IntRange(min=0), "Of every random draw.")
@_switch("shoppers", click.IntRange(min=1), "Shoppers at any time.")
@_switch("items", click.IntRange(min=10), "Items on sale at any time.")
@_switch("drift", FiniteRange(min=0.0), "How far tastes go towards the next one in a simulated hour.")
@_switch("rotate_at", click.IntRange(min=1), "After so many events all favourite categories change at once.")
@_switch("new_items", FiniteRange(min=0.0), "Items that replace an old one in a simulated hour.")
@_switch("cold_users", _SHARE, "Share of the visits by brand-new shoppers.")
@_switch("label_delay", _POSITIVE, "Multiplies every delay between a cause and its label.")
@_switch("popularity_share", _SHARE, "Share of the shoppers who see the popular items instead.")
@_switch("random_share", _SHARE, "Share of the shoppers who see random items instead.")
@json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    /,
    rate: float,
    duration: float | None,
    time_scale: float,
    as_json: bool,
    **switches: Any,
) -> None:
    """Publish simulated shoppers who react to their slates.

    They visit a shop, see the newest slate that the recommendations topic has for them, click, buy and rate.
    A fixed share sees popular items and another one random items instead: the report compares their click
    rates, and that of the best slates there could be.
    """
    try:
        config = SimulatorConfig(**switches)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    hold_back_client_logs(ctx)
    if duration is None:
        clock = SimulatedClock(_wall_ms, scale=time_scale)
    else:
        clock = SimulatedClock.ending_now(_wall_ms, scale=time_scale, duration_s=duration)
    simulation = Simulation(config, clock.start_ms)
    try:
        progress = asyncio.run(_run(simulation, clock, client, settings.topics, rate, duration))
    except (BrokerUnreachableError, TopicError, DeliveryError) as error:
        raise CommandFailed(str(error)) from error
    except KafkaError as error:
        raise CommandFailed(f"The recommendations cannot be read any more: {error}") from error
    report = simulation.report()
    _show(report, progress)
    if as_json:
        print_json(
            {
                "events_published": progress.published,
                "seconds": round(progress.elapsed_s, 3),
                "events_per_s": round(progress.events_per_s, 1),
                "unreadable_recommendations": progress.unreadable,
                **msgspec.to_builtins(report),
            }
        )


async def _run(
    simulation: Simulation,
    clock: SimulatedClock,
    client: KafkaClient,
    topics: TopicSettings,
    rate: float,
    duration_s: float | None,
) -> LoopProgress:
    with stop_on_signals() as stop, _live(simulation) as on_tick:
        return await run(
            simulation,
            clock,
            client,
            events_topic=topics.events,
            recommendations_topic=topics.recommendations,
            rate=rate,
            duration_s=duration_s,
            stop=stop,
            on_tick=on_tick,
        )


@contextmanager
def _live(simulation: Simulation) -> Iterator[Callable[[LoopProgress], None]]:
    """A line on stderr that is renewed every second; where stderr is no terminal, a line now and then."""
    console = Console(stderr=True)
    every_s = _SHOW_EVERY_S if console.is_terminal else _LINE_EVERY_S
    shown = LoopProgress()
    with Live(Text("The first shoppers are coming ..."), console=console, transient=True) as live:

        def on_tick(progress: LoopProgress) -> None:
            nonlocal shown
            passed_s = progress.elapsed_s - shown.elapsed_s
            if passed_s < every_s:
                return
            rate = (progress.published - shown.published) / passed_s
            shown = replace(progress)
            rates = simulation.report().click_rate
            # What fits into 80 columns; the whole comes at the end.
            own = "fallback" if rates.recommended is None else "recommended"
            clicks = _in_words(rates, (own, "popularity", "oracle"))
            line = f"{progress.published:,} events, {rate:,.0f}/s; clicks: {clicks}"
            if console.is_terminal:
                live.update(Text(line, no_wrap=True, overflow="ellipsis"))
            else:
                say(line)

        yield on_tick


def _show(report: SimulatorReport, progress: LoopProgress) -> None:
    say(
        f"{progress.published:,} events in {progress.elapsed_s:,.1f} s ({progress.events_per_s:,.0f}/s), "
        f"{report.sessions:,} visits, {report.simulated_s / 3_600:,.1f} simulated hours, "
        f"{report.recommendations:,} slates received."
    )
    say(f"Clicks per place: {_in_words(report.click_rate)}.")
    if report.lift_over_popularity is not None:
        say(
            f"Recommended slates get {1 + report.lift_over_popularity:.2f} times the clicks of popular items"
            + (f" and {report.share_of_oracle:.0%} of the best possible." if report.share_of_oracle else ".")
        )
    elif not report.recommendations:
        say("No slate was received: is `freshet worker` running?")
    if progress.unreadable:
        say(f"{progress.unreadable:,} records of the recommendations topic could not be read.")


def _in_words(rates: ClickRates, names: Sequence[str] = ClickRates.__struct_fields__) -> str:
    named = {name: getattr(rates, name) for name in names}
    return ", ".join(f"{name} {rate:.1%}" for name, rate in named.items() if rate is not None) or "none yet"


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
