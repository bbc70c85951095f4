"""The Faust application: one agent that hands lists of raw records to the engine."""

from __future__ import annotations

import hashlib
import logging
import socket
from pathlib import Path
from typing import Any

import faust
from mode import CrashingSupervisor

from connectors.kafka_client import KafkaClient
from connectors.topics import TopicShape
from stream.engine import Engine
from stream.transport import BatchedApp, BatchSchema, OnLoss, ReachedEnd, TakeOver

_QUEUED_LISTS = 8  # between fetcher and agent; a small bound is the back-pressure
_COMMIT_EVERY_S = 1.0
_HEARTBEATS = 4  # to a session timeout
_REQUEST_TIMEOUT_S, _REBALANCE_TIMEOUT_S = 90.0, 60.0  # Faust's own
_METADATA_AGE_MS = 30_000  # after which partitions that were added are found


class FreshetApp(BatchedApp):
    """A Faust application that knows where each partition is to be read from."""

    logger = logging.getLogger("faust.app")  # its own lines are the framework's, not ours


async def _nobody_waits(_partition: int, _after: int) -> None:
    """For an end, where nothing is ever taken over."""


def create_app(
    client: KafkaClient,
    engine: Engine,
    *,
    group: str,
    topic: str,
    shape: TopicShape,
    session_timeout_s: float,
    folder: Path,
    take_over: TakeOver,
    reached_end: ReachedEnd = _nobody_waits,
    on_loss: OnLoss = lambda _: None,
) -> FreshetApp:
    """The application.

    Args:
        client: The broker.
        engine: Takes the records; the application drains it when it stops, before the last commit.
        group: Consumer group.
        topic: The events topic.
        shape: What it is now; it is part of the member's name, since a member that comes back under its former name
            gets the partitions of then.
        session_timeout_s: After which silence the broker gives this worker's partitions to others.
        folder: The worker's state folder; it names the member of the group, so that a worker which restarts
            in the same folder gets its partitions back at once (KIP-345, static membership).
        take_over: Told which partitions are this worker's from now on; says where to read them from.
        reached_end: Told which of them were read to where they ended then.
        on_loss: Told how many records the topic's retention has deleted before they were read.
    """
    app = FreshetApp(
        group,
        broker=";".join(f"kafka+batch://{server}" for server in client.servers),
        broker_credentials=_credentials(client),
        store="memory://",
        datadir=str(folder / "faust"),
        web_enabled=False,
        worker_redirect_stdouts=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        table_standby_replicas=0,  # else Faust gives the four partitions to two of three workers
        stream_buffer_maxsize=_QUEUED_LISTS,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=_METADATA_AGE_MS,
        consumer_group_instance_id=f"{group}-{_fingerprint(folder, shape)}",
        broker_session_timeout=session_timeout_s,
        broker_request_timeout=max(_REQUEST_TIMEOUT_S, session_timeout_s),  # Faust wants it no shorter
        broker_rebalance_timeout=max(
            _REBALANCE_TIMEOUT_S, session_timeout_s
        ),  # half of it goes to what is at hand
        broker_heartbeat_interval=session_timeout_s / _HEARTBEATS,
        broker_max_poll_records=_poll_records(engine),
        broker_commit_interval=_COMMIT_EVERY_S,
    )
    app.take_over = take_over
    app.reached_end = reached_end
    app.on_loss = on_loss
    app.before_poll = engine.before_poll
    events_topic = app.topic(topic, schema=BatchSchema())

    @app.agent(events_topic, name="learn", concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def learn(events: Any) -> None:
        async for event in events.noack().events():
            records = event.value
            # The list is in the engine now; what waits for its acknowledgement need not hold it too.
            event.value = event.message.value = None
            await engine.offer(records, event.ack)

    return app


def _poll_records(engine: Engine) -> int:
    return 4 * engine.config.batch_max_events


def _fingerprint(folder: Path, shape: TopicShape) -> str:
    text = f"{socket.gethostname()}\0{folder}\0{shape.id}\0{shape.partitions}".encode()
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def _credentials(client: KafkaClient) -> Any:
    if client.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=client.sasl_username,
            password=client.sasl_password,
            mechanism=client.sasl_mechanism,
            ssl_context=client.ssl_context(),
        )
    context = client.ssl_context()
    return faust.SSLCredentials(context=context) if context is not None else None
