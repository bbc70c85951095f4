"""`freshet dead-letters`."""

from __future__ import annotations

import asyncio
from collections import Counter

import click
import msgspec

from connectors.dead_letter import DeadLetter, Reason, decode_dead_letter
from connectors.kafka_client import KafkaClient
from stream.cli.context import broker_errors, effective_settings, json_option, kafka_client, print_json, say

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
        letters = asyncio.run(_existing(client, topics.dead_letters, frozenset(reasons)))
        shown = letters[-limit:] if limit is not None else letters
        if as_json and not follow:
            counted = Counter(letter.reason.value for letter in letters)
            print_json({"count": len(letters), "reasons": dict(counted), "dead_letters": shown})
            return
        for letter in shown:
            _show(letter, as_json)
        if follow:
            asyncio.run(_follow(client, topics.dead_letters, frozenset(reasons), as_json))


async def _existing(client: KafkaClient, topic: str, reasons: frozenset[str]) -> list[DeadLetter]:
    """All that the topic holds now, oldest first."""
    from connectors.sources.kafka import KafkaSource
    from connectors.topics import beginning_offsets, end_offsets

    first = await asyncio.to_thread(beginning_offsets, client, topic)
    ends = await asyncio.to_thread(end_offsets, client, topic)
    missing = {partition: end for partition, end in ends.items() if end > first[partition]}
    letters = []
    async with KafkaSource(client, topic, start="earliest") as source:
        while missing:
            for record in await source.read():
                if record.offset < ends[record.partition]:
                    letters.append(_decoded(record.value))
                if record.offset + 1 >= ends[record.partition]:
                    missing.pop(record.partition, None)
    kept = [letter for letter in letters if letter is not None and (not reasons or letter.reason in reasons)]
    return sorted(kept, key=lambda letter: (letter.received_at_ms, letter.partition, letter.offset))


async def _follow(client: KafkaClient, topic: str, reasons: frozenset[str], as_json: bool) -> None:
    from connectors.sources.kafka import KafkaSource

    async with KafkaSource(client, topic) as source:
        async for records in source:
            for record in records:
                letter = _decoded(record.value)
                if letter is not None and (not reasons or letter.reason in reasons):
                    _show(letter, as_json)


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
