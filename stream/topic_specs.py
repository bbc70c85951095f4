"""The five topics as the settings want them, in Kafka's words."""

from __future__ import annotations

from connectors.topics import TopicSpec
from stream.settings import Settings

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_WEEK_MS = 7 * _DAY_MS
_LARGEST_SEGMENT = (1 << 31) - 1
_DEAD_LETTER_MAX_BYTES = 2 * 1024 * 1024


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Events, recommendations, drift, dead letters and model updates, in this order."""
    topics = settings.topics
    replicas = topics.replication_factor
    # One broker may be away without stopping the writers, where there are enough of them for that.
    durable = {"min.insync.replicas": str(max(1, replicas - 1))}
    return [
        TopicSpec(
            topics.events,
            topics.partitions,
            replicas,
            durable
            | {
                "cleanup.policy": "delete",
                "retention.ms": _retention_ms(topics.events_retention_hours),
                # Retention counts from arrival: a replayed log of last year is not deleted at once.
                "message.timestamp.type": "LogAppendTime",
            },
        ),
        TopicSpec(
            topics.recommendations,
            topics.partitions,
            replicas,
            # Only a user's latest slate counts. A deleted user's must be gone in a day, not when a segment fills.
            durable
            | {
                "cleanup.policy": "compact",
                "max.compaction.lag.ms": str(_DAY_MS),
                "delete.retention.ms": str(_DAY_MS),
            },
        ),
        TopicSpec(
            topics.drift,
            1,  # a few an hour, and their order tells the story
            replicas,
            durable
            | {"cleanup.policy": "delete", "retention.ms": _retention_ms(topics.drift_retention_hours)},
        ),
        TopicSpec(
            topics.dead_letters,
            topics.partitions,
            replicas,
            durable
            | {
                "cleanup.policy": "delete",
                "retention.ms": _retention_ms(topics.dead_letters_retention_hours),
                # It wraps a record of up to 1 MiB, which base64 makes a third larger.
                "max.message.bytes": str(_DEAD_LETTER_MAX_BYTES),
            },
        ),
        TopicSpec(
            topics.model,
            1,  # one order for all workers
            replicas,
            durable
            | {
                "cleanup.policy": "delete",
                "retention.ms": str(_WEEK_MS),
                "retention.bytes": str(topics.model_retention_bytes),
                # Whole segments are deleted, and never the one that is written.
                "segment.bytes": str(min(topics.model_retention_bytes // 8, _LARGEST_SEGMENT)),
            },
        ),
    ]


def _retention_ms(hours: int) -> str:
    """Kafka's spelling; -1, for ever, is the same in both."""
    return "-1" if hours < 0 else str(hours * _HOUR_MS)
