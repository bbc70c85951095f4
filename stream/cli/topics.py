"""`freshet topics`: create the five topics and compare them with the settings."""

from __future__ import annotations

import click

from connectors.kafka_admin import BrokerUnreachableError
from connectors.kafka_client import KafkaClient
from connectors.topics import (
    TopicError,
    TopicReport,
    beginning_offsets,
    compare_topics,
    create_topics,
    end_offsets,
)
from stream.cli.context import CommandFailed, effective_settings, json_option, kafka_client, print_json, say
from stream.topic_specs import topic_specs


@click.group()
def topics() -> None:
    """Create the topics and compare them with the settings."""


@topics.command()
@json_option
@click.pass_context
def create(ctx: click.Context, as_json: bool) -> None:
    """Create the topics that are missing.

    A topic that is there is compared with the settings and never altered.
    """
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    try:
        reports = create_topics(client, topic_specs(settings))
    except (BrokerUnreachableError, TopicError) as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        print_json({"bootstrap": client.bootstrap, "topics": reports})
    for report in reports:
        _tell(report)
    if any(report.outcome == "differs" for report in reports):
        say(
            "Topics that differ were left as they are. Change them with kafka-topics.sh or kafka-configs.sh, or "
            "change the settings ([topics] in freshet.toml)."
        )


@topics.command(name="list")
@json_option
@click.pass_context
def list_topics(ctx: click.Context, as_json: bool) -> None:
    """Show the topics, how many records they hold, and how they differ from the settings."""
    settings = effective_settings(ctx)
    client = kafka_client(settings)
    try:
        reports = compare_topics(client, topic_specs(settings))
        records = {report.name: _records(client, report) for report in reports}
    except (BrokerUnreachableError, TopicError) as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        rows = [
            {
                "name": report.name,
                "outcome": report.outcome,
                "differences": report.differences,
                "partitions": report.partitions,
                "records": records[report.name],
            }
            for report in reports
        ]
        print_json({"bootstrap": client.bootstrap, "topics": rows})
    for report in reports:
        _tell(report, records[report.name])
    if any(report.outcome == "missing" for report in reports):
        say("Create what is missing with `freshet topics create`.")


def _records(client: KafkaClient, report: TopicReport) -> int:
    """How many offsets lie between the oldest record and the newest; compaction may have left fewer records."""
    if report.outcome == "missing":
        return 0
    return sum(end_offsets(client, report.name).values()) - sum(
        beginning_offsets(client, report.name).values()
    )


def _tell(report: TopicReport, records: int | None = None) -> None:
    size = (
        ""
        if report.outcome == "missing"
        else f", {report.partitions} partition{'' if report.partitions == 1 else 's'}"
    )
    size += "" if records is None or report.outcome == "missing" else f", {records:,} records"
    say(f"{report.name}: {report.outcome}{size}")
    for difference in report.differences:
        say(f"  {difference}")
