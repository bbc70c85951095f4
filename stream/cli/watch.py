"""`freshet watch`."""

from __future__ import annotations

import asyncio
import time

import click

from connectors.kafka_client import KafkaClient
from connectors.recommendation import Recommendation, decode_recommendation
from stream.cli.context import broker_errors, effective_settings, json_option, kafka_client, say

_SHOWN = 5


@click.command()
@click.option("--user", "user_id", help="Only this user's.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after this many.")
@click.option("--from-beginning", is_flag=True, help="Begin with what the topic holds already.")
@json_option
@click.pass_context
def watch(
    ctx: click.Context, user_id: str | None, limit: int | None, from_beginning: bool, as_json: bool
) -> None:
    """Follow the recommendations as they are published. With --json each is a line of its own."""
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    with broker_errors():
        asyncio.run(_watch(client, settings.topics.recommendations, user_id, limit, from_beginning, as_json))


async def _watch(
    client: KafkaClient,
    topic: str,
    user_id: str | None,
    limit: int | None,
    from_beginning: bool,
    as_json: bool,
) -> None:
    from connectors.sources.kafka import KafkaSource

    shown = 0
    async with KafkaSource(client, topic, start="earliest" if from_beginning else "latest") as source:
        if not as_json:
            say(f"Waiting for recommendations on {topic} ...")
        async for records in source:
            for record in records:
                if record.value is None:
                    continue  # a user's slate was deleted
                try:
                    slate = decode_recommendation(record.value)
                except ValueError as error:
                    say(f"A record of {topic} is not a recommendation of freshet: {error}.")
                    continue
                if user_id is not None and slate.user_id != user_id:
                    continue
                click.echo(record.value.decode() if as_json else _line(slate))
                shown += 1
                if shown == limit:
                    return


def _line(slate: Recommendation) -> str:
    moment = time.strftime("%H:%M:%S", time.localtime(slate.generated_at_ms / 1000))
    items = ", ".join(f"{item.item_id} ({item.source})" for item in slate.items[:_SHOWN])
    more = f" and {len(slate.items) - _SHOWN} more" if len(slate.items) > _SHOWN else ""
    return f"{moment}  {slate.user_id:<20} after {slate.trigger_event_id}: {items or 'nothing'}{more}"
