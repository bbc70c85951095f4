"""`freshet replay`: publish a real event log to the events topic."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from connectors.decode import EARLIEST_MS
from connectors.event import Event
from connectors.event_types import canonical_type
from connectors.kafka_admin import BrokerUnreachableError
from connectors.kafka_client import KafkaClient
from connectors.sinks.kafka import DeliveryError, KafkaSink
from connectors.sources.files import FileSource, LogError
from connectors.sources.pacing import due_chunks
from connectors.topics import TopicError
from stream.cli.client_logs import hold_back_client_logs
from stream.cli.context import CommandFailed, effective_settings, json_option, kafka_client, print_json, say
from stream.cli.stopping import stop_on_signals
from stream.settings import Settings

_CHUNK = 2_000


class _Speed(click.ParamType):
    """A factor over real time, or `max`, which is an infinite one."""

    name = "N|max"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            factor = float("inf") if value == "max" else float(str(value))
        except ValueError:
            factor = 0.0
        if not factor > 0.0:
            self.fail(f"{value!r} is neither `max` nor a number over 0.", param, ctx)
        return factor


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--speed",
    type=_Speed(),
    metavar="N|max",
    default="max",
    show_default=True,
    help="N times as fast as it happened, or as fast as the broker takes it.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many events.")
@json_option
@click.pass_context
def replay(ctx: click.Context, path: Path, speed: float, limit: int | None, as_json: bool) -> None:
    """Publish the event log at PATH to the events topic.

    PATH is a .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet file, or a folder with events.csv.gz and, where
    there is one, context.csv.gz. The events keep their original times, and an event without an id gets one
    from the log's name and its row: replaying a log twice sends the same ids again, and these count once.
    """
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    hold_back_client_logs(ctx)
    topic = settings.topics.events
    types: Counter[str] = Counter()
    try:
        source = FileSource(path)
        with _progress(f"{source.name} to {topic}") as (set_total, on_published):
            total = source.count() if limit is None else min(source.count(), limit)
            set_total(total)
            events = _counted(islice(source, limit), types)
            published, seconds, stopped = asyncio.run(_publish(events, client, topic, speed, on_published))
    except (LogError, BrokerUnreachableError, TopicError, DeliveryError) as error:
        raise CommandFailed(str(error)) from error
    rate = published / max(seconds, 1e-9)
    say(f"{published:,} events of {source.name} are on {topic} ({rate:,.0f}/s).")
    _warn_of_undeclared(types, settings)
    if as_json:
        print_json(
            {
                "log": source.name,
                "topic": topic,
                "events_published": published,
                "seconds": round(seconds, 3),
                "events_per_s": round(rate, 1),
            }
        )
    if stopped:
        say(f"Stopped before the end: the log has about {total:,} events.")
        ctx.exit(130)


async def _publish(
    events: Iterable[Event],
    client: KafkaClient,
    topic: str,
    speed: float,
    on_published: Callable[[int], None],
) -> tuple[int, float, bool]:
    """Publish in the log's own rhythm; how many, in how many seconds, and whether a signal cut it short."""
    published, stopped = 0, False
    with stop_on_signals() as stop:
        async with KafkaSink(client, topic) as sink:
            started_s = time.monotonic()
            for due_s, chunk in due_chunks(events, speed, size=_CHUNK):
                wait_s = started_s + due_s - time.monotonic()
                if wait_s > 0.0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), wait_s)
                if stop.is_set():
                    stopped = True
                    break
                await sink.write(chunk)
                published += len(chunk)
                on_published(published)
            await sink.flush()
            seconds = time.monotonic() - started_s
    return published, seconds, stopped


def _counted(events: Iterable[Event], types: Counter[str]) -> Iterator[Event]:
    for event in events:
        if event.occurred_at_ms < EARLIEST_MS:
            raise CommandFailed(
                f"Event {event.event_id} happened before 1990 ({event.occurred_at_ms} ms since 1970), and the worker "
                f"would refuse it. Give the events their true times; `freshet evaluate` takes times from any start."
            )
        types[event.event_type] += 1
        yield event


def _warn_of_undeclared(types: Counter[str], settings: Settings) -> None:
    accepted = settings.events.decoded
    for name in sorted(name for name in types if canonical_type(name) not in accepted):
        say(
            f"{types[name]:,} of them have the type {name!r}, which is neither standard nor declared: "
            f"the worker will refuse them unless [events.types] in freshet.toml names it."
        )


@contextlib.contextmanager
def _progress(description: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on stderr with count and rate, nothing where stderr is no terminal.

    It pulses until the first function is told the total; the second one is told what is published.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=None, rate="")
        started_s = time.monotonic()

        def set_total(total: int) -> None:
            nonlocal started_s
            started_s = time.monotonic()
            progress.update(task, total=total)

        def on_published(published: int) -> None:
            rate = published / max(time.monotonic() - started_s, 1e-9)
            progress.update(task, completed=published, rate=f"{rate:,.0f}/s")

        yield set_total, on_published
