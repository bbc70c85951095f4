"""Topics as they should be, as they are, and how far they have been written and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from kafka import OffsetSpec, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, KafkaTimeoutError, for_code

from connectors.kafka_admin import admin
from connectors.kafka_client import KafkaClient

_OK = 0
_UNKNOWN_TOPIC = 3
_NO_LEADER_YET = 5
_ALREADY_EXISTS = 36
_LEADER_WAIT_MS = 15_000
_LONGEST_MS = 2**63 - 1
_LISTS = frozenset({"cleanup.policy"})


class TopicError(Exception):
    """A topic cannot be made or read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be.

    Attributes:
        name: Its name.
        partitions: How many partitions.
        replication_factor: On how many brokers each is kept.
        config: Kafka's topic settings, by Kafka's names, in Kafka's units.
    """

    name: str
    partitions: int
    replication_factor: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What offsets and assignments of a topic depend on.

    Attributes:
        id: Tells this topic from an earlier one of the same name (KIP-516): its offsets mean nothing for another.
        partitions: How many it has.
    """

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class TopicReport:
    """A topic as it was found.

    Attributes:
        name: Its name.
        outcome: `created` now, `exists` as it should, `differs` from it, or is `missing`.
        differences: One phrase each, such as `partitions: 4, settings say 8`.
        partitions: How many it has; 0 where it is missing.
    """

    name: str
    outcome: Literal["created", "exists", "differs", "missing"]
    differences: tuple[str, ...] = ()
    partitions: int = 0


def create_topics(client: KafkaClient, specs: Iterable[TopicSpec]) -> list[TopicReport]:
    """Create the topics that are missing; every partition has a leader on return.

    A topic that is there is compared and left as it is, whatever the difference: more partitions would send
    the keys elsewhere, and less retention would delete records.

    Returns:
        One report for each spec, in their order.

    Raises:
        TopicError: The broker refuses a topic, or a partition gets no leader.
        BrokerUnreachableError: No broker answers.
    """
    wanted = list(specs)
    if not wanted:
        return []
    with _asked(client) as kafka:
        found = _describe(kafka, [spec.name for spec in wanted])
        created = _create(kafka, [spec for spec in wanted if spec.name not in found])
        try:
            kafka.wait_for_topics([spec.name for spec in wanted], timeout_ms=_LEADER_WAIT_MS)
        except KafkaTimeoutError as error:
            raise TopicError(f"Topics are there but have no leader: {error}. Is a broker down?") from error
        reports = _compare(kafka, wanted)
    return [
        TopicReport(report.name, "created", partitions=report.partitions)
        if report.name in created
        else report
        for report in reports
    ]


def compare_topics(client: KafkaClient, specs: Iterable[TopicSpec]) -> list[TopicReport]:
    """Say how the topics differ from their specs, in the order of the specs.

    Raises:
        TopicError: The broker refuses to tell.
        BrokerUnreachableError: No broker answers.
    """
    with _asked(client) as kafka:
        return _compare(kafka, list(specs))


def delete_topics(client: KafkaClient, names: Sequence[str]) -> None:
    """Delete topics with all their records; one that is not there is no error.

    Raises:
        TopicError: The broker refuses.
        BrokerUnreachableError: No broker answers.
    """
    with _asked(client) as kafka:
        answers = kafka.delete_topics(list(names), raise_errors=False)["topics"]
    for answer in answers:
        if answer["error_code"] not in (_OK, _UNKNOWN_TOPIC):
            raise TopicError(f"Topic {answer['name']} cannot be deleted: {_reason(answer)}.")


def beginning_offsets(client: KafkaClient, topic: str) -> dict[int, int]:
    """The offset of each partition's oldest record that is still kept.

    Raises:
        TopicError: There is no such topic, or the broker refuses to tell.
        BrokerUnreachableError: No broker answers.
    """
    return _offsets(client, topic, OffsetSpec.EARLIEST)


def end_offsets(client: KafkaClient, topic: str) -> dict[int, int]:
    """The offset that each partition's next record will get.

    Raises:
        TopicError: There is no such topic, or the broker refuses to tell.
        BrokerUnreachableError: No broker answers.
    """
    return _offsets(client, topic, OffsetSpec.LATEST)


def committed_offsets(client: KafkaClient, group: str, topic: str) -> dict[int, int]:
    """The offset at which a consumer group would go on, for each partition that it has committed.

    Returns:
        Empty for a group that was never there.

    Raises:
        TopicError: The broker refuses to tell.
        BrokerUnreachableError: No broker answers.
    """
    with _asked(client) as kafka:
        offsets = kafka.list_group_offsets({group: None})[group]
    return {
        at.partition: offset.offset
        for at, offset in offsets.items()
        if at.topic == topic and offset.offset >= 0
    }


def topic_shape(client: KafkaClient, topic: str) -> TopicShape:
    """What the topic is now; raises what `topic_shapes` does."""
    return topic_shapes(client, [topic])[topic]


def topic_shapes(client: KafkaClient, topics: Sequence[str]) -> dict[str, TopicShape]:
    """What each of the topics is now, by its name.

    Raises:
        TopicError: One of them is not there.
        BrokerUnreachableError: No broker answers.
    """
    with _asked(client) as kafka:
        found = _existing(kafka, topics)
    return {
        topic: TopicShape(str(told["topic_id"]), len(told["partitions"])) for topic, told in found.items()
    }


def topic_id(client: KafkaClient, topic: str) -> str:
    """The id of `topic_shape`; raises the same."""
    return topic_shape(client, topic).id


@contextmanager
def _asked(client: KafkaClient) -> Iterator[Any]:
    """An administration client; what the broker refuses is a `TopicError`."""
    try:
        with admin(client) as kafka:
            yield kafka
    except KafkaError as error:
        raise TopicError(
            f"The broker refuses to tell about topics and groups, or to change them: {error}."
        ) from error


def _offsets(client: KafkaClient, topic: str, spec: OffsetSpec) -> dict[int, int]:
    with _asked(client) as kafka:
        partitions = [
            TopicPartition(topic, part["partition_index"])
            for part in _existing(kafka, [topic])[topic]["partitions"]
        ]
        offsets = kafka.list_partition_offsets(dict.fromkeys(partitions, spec))
    return {at.partition: offsets[at].offset for at in sorted(offsets)}


def _existing(kafka: Any, topics: Sequence[str]) -> dict[str, Any]:
    found = _describe(kafka, topics)
    for topic in topics:
        if topic not in found:
            raise TopicError(f"There is no topic {topic}. Create the topics with `freshet topics create`.")
    return found


def _describe(kafka: Any, names: Sequence[str]) -> dict[str, Any]:
    """What the broker says of those topics that are there."""
    found = {}
    for topic in kafka.describe_topics(list(names)):
        if topic["error_code"] in (_OK, _NO_LEADER_YET):
            found[topic["name"]] = topic
        elif topic["error_code"] != _UNKNOWN_TOPIC:
            raise TopicError(f"Topic {topic['name']} cannot be looked at: {_reason(topic)}.")
    return found


def _create(kafka: Any, specs: list[TopicSpec]) -> set[str]:
    """Ask the broker for new topics; the names of those that were made."""
    if not specs:
        return set()
    wishes = {
        spec.name: {
            "num_partitions": spec.partitions,
            "replication_factor": spec.replication_factor,
            "configs": dict(spec.config),
        }
        for spec in specs
    }
    created = set()
    for answer in kafka.create_topics(wishes, raise_errors=False)["topics"]:
        if answer["error_code"] == _OK:
            created.add(answer["name"])
        elif answer["error_code"] != _ALREADY_EXISTS:  # somebody else was quicker
            raise TopicError(f"Topic {answer['name']} cannot be created: {_reason(answer)}.")
    return created


def _compare(kafka: Any, specs: list[TopicSpec]) -> list[TopicReport]:
    found = _describe(kafka, [spec.name for spec in specs])
    present = [spec for spec in specs if spec.name in found]
    configs: dict[str, Any] = {}
    if present:
        resources = [
            ConfigResource(ConfigResourceType.TOPIC, spec.name, list(spec.config)) for spec in present
        ]
        configs = kafka.describe_configs(resources, config_filter="all")["topic"]
    reports = []
    for spec in specs:
        if spec.name not in found:
            reports.append(TopicReport(spec.name, "missing"))
            continue
        partitions = found[spec.name]["partitions"]
        differences = tuple(_differences(spec, partitions, configs[spec.name]))
        outcome: Literal["differs", "exists"] = "differs" if differences else "exists"
        reports.append(TopicReport(spec.name, outcome, differences, len(partitions)))
    return reports


def _differences(spec: TopicSpec, partitions: list[Any], config: Mapping[str, Any]) -> Iterable[str]:
    if len(partitions) != spec.partitions:
        yield f"partitions: {len(partitions)}, settings say {spec.partitions}"
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    if replicas != spec.replication_factor:
        yield f"replication factor: {replicas}, settings say {spec.replication_factor}"
    if spec.config and not config:  # the client hands over an empty answer where the broker refuses one
        yield "settings: not known, since this account may not see them (it needs DescribeConfigs on the topic)"
        return
    for key, wanted in spec.config.items():
        value = config.get(key, {}).get("value")
        if not _same(key, value, wanted):
            yield f"{key}: {_in_words(key, value)}, settings say {_in_words(key, wanted)}"


def _same(key: str, value: str | None, wanted: str) -> bool:
    if key in _LISTS and value is not None:
        return set(value.split(",")) == set(wanted.split(","))
    return value == wanted


def _in_words(key: str, value: str | None) -> str:
    """The value, with its days or hours where it is a time."""
    if value is None:
        return "not known to the broker"
    if not key.endswith(".ms") or not value.lstrip("-").isdigit():
        return value
    if int(value) < 0 or int(value) == _LONGEST_MS:
        return "for ever"
    for unit, ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if int(value) >= ms:
            return f"{int(value) / ms:g} {unit}"
    return f"{value} ms"


def _reason(answer: Mapping[str, Any]) -> str:
    """The broker's own sentence, or the name of its error."""
    message: str | None = answer.get("error_message")
    return (message or for_code(answer["error_code"]).__name__).rstrip(".")
