"""`python -m benchmarks.pictures docs/dashboards`: watches a worker for some minutes, and draws the dashboards."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click

from benchmarks.faults.place import Place
from benchmarks.observed import observed
from connectors.kafka_client import KafkaClient
from connectors.local_broker import LocalBroker
from connectors.topics import create_topics, delete_topics
from monitoring.dashboards.render import draw_all
from stream.settings import TopicSettings, load
from stream.topic_specs import topic_specs


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--minutes", type=click.FloatRange(min=0.5), default=8.0, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(min=1.0), default=250.0, show_default=True, help="Events a second."
)
def main(folder: Path, minutes: float, rate: float) -> None:
    """Write one PNG a dashboard to FOLDER."""
    with tempfile.TemporaryDirectory(prefix="freshet-pictures-") as temporary:
        rooms = Path(temporary)
        broker = LocalBroker(rooms / "broker")
        status = broker.start(ephemeral=True, port=0, cache_dir=load().cache_dir)
        assert status.bootstrap is not None
        try:
            asyncio.run(_watch(KafkaClient(bootstrap=status.bootstrap), rooms, folder, minutes, rate))
        finally:
            broker.stop()


async def _watch(client: KafkaClient, rooms: Path, folder: Path, minutes: float, rate: float) -> None:
    topics = TopicSettings()
    specs = topic_specs(load(overrides={"topics": topics.model_dump()}))
    await asyncio.to_thread(create_topics, client, specs)
    place = Place(client, topics, rooms / "state")
    place.environment["FRESHET_WORKER__CHECKPOINT_EVERY_S"] = "5"
    (rooms / "prometheus").mkdir()
    seconds = 60.0 * minutes
    async with observed(place, rooms / "prometheus", duration_s=seconds, rate=rate) as url:
        for path in await asyncio.to_thread(lambda: list(draw_all(url, folder, seconds=seconds))):
            click.echo(path)
    await asyncio.to_thread(delete_topics, client, [spec.name for spec in specs])


if __name__ == "__main__":
    main()
