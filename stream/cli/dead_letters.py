"""`freshet dead-letters`."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from connectors.dead_letter import DeadLetter, Reason, decode_dead_letter
from connectors.kafka_client import KafkaClient
from stream.cli.context import broker_errors, effective_settings, json_option, kafka_client, print_json, say

if TYPE_CHECKING:
    from connectors.sources.kafka import Record

_PREVIEW = 100


@click.command()
@click.option("--follow", is_flag=True, help="Go on and show new ones as they come.")
@click.option("--replay", is_flag=True, help="Publish the originals to the events topic again, each once.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([reason.value for reason in Reason]),
    help="Only these; may be given several times.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Show at most this many of the newest.")
@json_option
@click.pass_context
def dead_letters(
    ctx: click.Context, follow: bool, replay: bool, reasons: tuple[str, ...], limit: int | None, as_json: bool
) -> None:
    """List the records that could not be events: where they stood, and why they were refused.

    With --follow --json each dead letter is a line of its own.
    """
    if follow and replay:
        raise click.UsageError("--follow and --replay exclude one another.")
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    topics = settings.topics
    with broker_errors():
        if replay:
            from connectors.dead_letter_replay import replay_dead_letters

            counts = asyncio.run(
                replay_dead_letters(
                    client,
                    dead_letters=topics.dead_letters,
                    events=topics.events,
                    group=settings.worker.group,
                    reasons=reasons,
                )
            )
            if as_json:
                print_json(counts)
            else:
                say(
                    f"{counts['replayed']} records were published to {topics.events} again, "
                    f"{counts['left']} were left where they are."
                )
            return
        wanted = frozenset(reasons)
        found = asyncio.run(_existing(client, topics.dead_letters, wanted, limit))
        if as_json and not follow:
            count = found.reasons.total()
            print_json({"count": count, "reasons": dict(found.reasons), "dead_letters": found.newest})
            return
        for letter in found.newest:
            _show(letter, as_json)
        if follow:
            asyncio.run(_follow(client, topics.dead_letters, found.ends, wanted, as_json))


class _Found:
    """What of a topic was asked for.

    Args:
        ends: Where each partition ended when it was asked.
        most: How many are kept, the newest; all of them where None.
    """

    def __init__(self, ends: Mapping[int, int], most: int | None) -> None:
        self.ends, self._most = ends, most
        self.reasons: Counter[str] = Counter()
        self._kept: list[tuple[tuple[int, ...], DeadLetter]] = []

    def add(self, record: Record, letter: DeadLetter) -> None:
        """Count it, and keep it where it is new enough; the place on the topic keeps two from being equal."""
        self.reasons[letter.reason.value] += 1
        age = (letter.received_at_ms, letter.partition, letter.offset, record.partition, record.offset)
        full = self._most is not None and len(self._kept) >= self._most
        (heapq.heappushpop if full else heapq.heappush)(self._kept, (age, letter))

    @property
    def newest(self) -> list[DeadLetter]:
        """What is kept, oldest first."""
        return [letter for _, letter in sorted(self._kept)]


async def _existing(client: KafkaClient, topic: str, reasons: frozenset[str], limit: int | None) -> _Found:
    """What the topic holds now."""
    from connectors.sources.kafka import KafkaSource
    from connectors.topics import end_offsets

    ends = await asyncio.to_thread(end_offsets, client, topic)
    found = _Found(ends, limit)
    async with KafkaSource(client, topic, start="earliest") as source:
        async for records in source.up_to(ends):
            for record in records:
                if letter := _wanted(record, reasons):
                    found.add(record, letter)
    return found


async def _follow(
    client: KafkaClient, topic: str, begin: Mapping[int, int], reasons: frozenset[str], as_json: bool
) -> None:
    """Show what comes from these offsets on."""
    from connectors.sources.kafka import KafkaSource

    async with KafkaSource(client, topic, start=begin) as source:
        async for records in source:
            for record in records:
                if letter := _wanted(record, reasons):
                    _show(letter, as_json)


def _wanted(record: Record, reasons: frozenset[str]) -> DeadLetter | None:
    letter = _decoded(record.value)
    return letter if letter is not None and (not reasons or letter.reason in reasons) else None


def _decoded(value: bytes | None) -> DeadLetter | None:
    try:
        return decode_dead_letter(value or b"")
    except ValueError as error:
        say(f"A record of the topic is not a dead letter of freshet: {error}.")
        return None


def _show(letter: DeadLetter, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(letter).decode())
        return
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    preview = letter.original[:_PREVIEW].decode("utf-8", "backslashreplace")
    click.echo(f"{place:<28} {letter.reason.value:<20} {letter.detail}\n    {preview!r}")
