"""Topics on a real broker."""

from __future__ import annotations

import logging
import socket
import threading
import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, KafkaError

from connectors.kafka_admin import BrokerUnreachableError, admin, check
from connectors.kafka_client import KafkaClient
from connectors.topics import (
    TopicError,
    TopicReport,
    TopicSpec,
    beginning_offsets,
    committed_offsets,
    compare_topics,
    create_topics,
    delete_topics,
    end_offsets,
)
from stream.settings import TopicSettings, load
from stream.topic_specs import topic_specs


@pytest.fixture
def name(broker: KafkaClient) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    delete_topics(broker, [name])


def test_a_topic_is_created_once_and_then_found(broker: KafkaClient, name: str) -> None:
    spec = TopicSpec(name, 3, 1, {"retention.ms": "3600000"})
    assert compare_topics(broker, [spec]) == [TopicReport(name, "missing")]
    assert create_topics(broker, [spec]) == [TopicReport(name, "created", partitions=3)]
    assert create_topics(broker, [spec]) == [TopicReport(name, "exists", partitions=3)]


def test_a_created_topic_can_be_written_to_at_once(broker: KafkaClient, name: str) -> None:
    create_topics(broker, [TopicSpec(name, 8)])
    with admin(broker) as kafka:
        partitions = kafka.describe_topics([name])[0]["partitions"]
    assert all(partition["leader_id"] >= 0 for partition in partitions)


def test_differences_are_told_in_words_and_nothing_is_altered(broker: KafkaClient, name: str) -> None:
    create_topics(broker, [TopicSpec(name, 4, 1, {"retention.ms": "604800000", "cleanup.policy": "delete"})])
    wanted = TopicSpec(name, 8, 2, {"retention.ms": "-1", "cleanup.policy": "compact", "flush.ms": "5400000"})
    expected = TopicReport(
        name,
        "differs",
        (
            "partitions: 4, settings say 8",
            "replication factor: 1, settings say 2",
            "retention.ms: 7 d, settings say for ever",
            "cleanup.policy: delete, settings say compact",
            "flush.ms: for ever, settings say 1.5 h",
        ),
        partitions=4,
    )
    assert create_topics(broker, [wanted]) == [expected]
    assert compare_topics(broker, [wanted]) == [expected]


def test_settings_that_may_not_be_seen_are_not_called_different(
    broker: KafkaClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As kafka-python answers an account without DescribeConfigs: error 29 is in nobody's way."""
    spec = TopicSpec(name, 3, 1, {"retention.ms": "3600000"})
    create_topics(broker, [spec])
    monkeypatch.setattr(
        KafkaAdminClient, "describe_configs", lambda *_, **__: {"topic": {name: {}}, "broker": {}}
    )
    (report,) = compare_topics(broker, [spec])
    assert [difference.split(":")[0] for difference in report.differences] == ["settings"]
    assert "DescribeConfigs" in report.differences[0]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (GroupAuthorizationFailedError("no"), TopicError),
        (KafkaConnectionError("gone"), BrokerUnreachableError),
    ],
)
def test_what_is_refused_and_what_is_lost_are_told_apart(
    broker: KafkaClient, error: KafkaError, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(KafkaAdminClient, "list_group_offsets", fails)
    with pytest.raises(raised):
        committed_offsets(broker, "group", "topic")


def test_the_order_of_cleanup_policies_is_no_difference(broker: KafkaClient, name: str) -> None:
    create_topics(broker, [TopicSpec(name, 1, 1, {"cleanup.policy": "compact,delete"})])
    (report,) = compare_topics(broker, [TopicSpec(name, 1, 1, {"cleanup.policy": "delete,compact"})])
    assert report.outcome == "exists"


def test_a_topic_that_the_broker_refuses_is_an_error_in_its_words(broker: KafkaClient, name: str) -> None:
    with pytest.raises(TopicError, match=rf"Topic {name} cannot be created: .*replication factor"):
        create_topics(broker, [TopicSpec(name, 1, 3)])
    with pytest.raises(TopicError, match=r"cannot be created: Unknown topic config name: no\.such"):
        create_topics(broker, [TopicSpec(name, 1, 1, {"no.such": "1"})])


def test_the_specs_of_the_settings_are_what_the_broker_makes_of_them(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    specs = topic_specs(load(overrides={"topics": topics.model_dump()}))
    assert [report.outcome for report in create_topics(broker, specs)] == ["exists"] * 5


def test_offsets_tell_how_far_a_topic_was_written_and_read(
    broker: KafkaClient, topics: TopicSettings
) -> None:
    producer = KafkaProducer(**broker.options())
    for _ in range(3):
        producer.send(topics.events, b"{}", partition=1)
    producer.close()
    assert end_offsets(broker, topics.events) == {0: 0, 1: 3, 2: 0, 3: 0}
    assert beginning_offsets(broker, topics.events) == {0: 0, 1: 0, 2: 0, 3: 0}

    group = f"group-of-{topics.events}"
    assert committed_offsets(broker, group, topics.events) == {}
    with admin(broker) as kafka:
        kafka.delete_records({TopicPartition(topics.events, 1): 1})
        kafka.alter_group_offsets(group, {TopicPartition(topics.events, 1): OffsetAndMetadata(2, "", -1)})
    assert beginning_offsets(broker, topics.events)[1] == 1
    assert committed_offsets(broker, group, topics.events) == {1: 2}
    assert committed_offsets(broker, group, topics.drift) == {}


def test_offsets_of_a_missing_topic_are_an_error(broker: KafkaClient) -> None:
    with pytest.raises(TopicError, match="There is no topic no-such-topic"):
        end_offsets(broker, "no-such-topic")


def test_deleting_a_missing_topic_is_no_error(broker: KafkaClient) -> None:
    delete_topics(broker, ["no-such-topic"])


def test_a_refused_connection_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else gets it, and it refuses
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            BrokerUnreachableError, match=rf"No Kafka broker answers at {address}: connection ref"
        ):
            create_topics(KafkaClient(bootstrap=address), [TopicSpec("x", 1)])


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost:kafka", "'kafka' is not a port"),
        ("localhost:99999", "'99999' is not a port"),
        ("a..b:9092", "'a..b' is not a host"),
        ("no-such-host.invalid:9092", "name"),
        ("", "address is empty"),
    ],
)
def test_a_wrong_address_is_a_sentence(address: str, reason: str) -> None:
    with pytest.raises(BrokerUnreachableError, match=reason):
        check(KafkaClient(bootstrap=address))


def test_a_server_that_is_no_kafka_is_told_apart_and_leaves_no_thread_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.NOTSET, "kafka")  # a level that somebody chose would stand
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="does not answer as Kafka"):
            check(KafkaClient(bootstrap=address), timeout_s=0.3)
    assert threading.active_count() == before
    assert caplog.records == []


def test_specs_follow_the_settings() -> None:
    settings = load(
        overrides={"topics": {"partitions": 6, "replication_factor": 3, "events_retention_hours": -1}}
    )
    events, recommendations, drift, dead_letters, model = topic_specs(settings)
    assert (events.name, events.partitions, events.replication_factor) == ("freshet.events", 6, 3)
    assert events.config["retention.ms"] == "-1"
    assert events.config["min.insync.replicas"] == "2"
    assert recommendations.config["cleanup.policy"] == "compact"
    assert "retention.ms" not in recommendations.config
    assert drift.partitions == 1
    assert model.partitions == 1
    assert model.config["retention.bytes"] == str(8 * int(model.config["segment.bytes"]))
    *_, large = topic_specs(load(overrides={"topics": {"model_retention_bytes": 1 << 40}}))
    assert large.config["segment.bytes"] == "2147483647", "the broker takes no larger one"
    assert dead_letters.config["retention.ms"] == str(30 * 24 * 3_600_000)
