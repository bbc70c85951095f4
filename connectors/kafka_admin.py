"""An administration client of a broker, and the wait until a broker truly answers."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    NotCoordinatorError,
)
from kafka.net.compat import KafkaNetClient

from connectors.kafka_client import KafkaClient

_DEFAULT_PORT = 9092
_LARGEST_PORT = 65_535
_CONNECT_TIMEOUT_S = 3.0
_POLL_S = 0.05
_COORDINATOR_WAIT_S = 15.0
_NOT_YET = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)


class BrokerUnreachableError(Exception):
    """No broker answers at the address; the message says what to do."""


@contextmanager
def admin(client: KafkaClient, *, timeout_s: float = 10.0) -> Iterator[Any]:
    """A connected `kafka.KafkaAdminClient`, closed at the end of the `with` block.

    Args:
        client: The broker's address and credentials.
        timeout_s: For connecting, and for each request, in seconds.

    Raises:
        BrokerUnreachableError: Nothing listens there, it does not speak Kafka, or it went away in between.
        KafkaError: The broker refused a request made inside the block.
    """
    refusals = [refusal for server in client.servers if (refusal := _refusal(server, timeout_s))]
    if len(refusals) == len(client.servers):
        raise BrokerUnreachableError(_sentence(client, refusals[0] if refusals else "the address is empty"))
    networks: list[Any] = []

    def network(**options: Any) -> Any:
        networks.append(KafkaNetClient(**options))
        return networks[-1]

    with _raised_not_logged():
        try:
            kafka = KafkaAdminClient(
                **client.options(),
                client_id="freshet-admin",
                bootstrap_timeout_ms=int(timeout_s * 1000),
                request_timeout_ms=int(timeout_s * 1000),
                kafka_client=network,
            )
        except (KafkaError, OSError) as error:
            # A constructor that fails leaves its thread and sockets behind, and no object to close.
            for left in networks:
                left.close()
                left._net.stop()
            raise BrokerUnreachableError(
                _sentence(
                    client,
                    f"it does not answer as Kafka over {client.security_protocol} ({error}; wrong [kafka] settings?)",
                )
            ) from error
        try:
            yield kafka
        except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError) as error:
            raise BrokerUnreachableError(_sentence(client, f"the connection was lost ({error})")) from error
        finally:
            kafka.close()


def check(client: KafkaClient, *, timeout_s: float = 10.0) -> None:
    """Make sure that a broker answers.

    Raises:
        BrokerUnreachableError: It does not.
    """
    with admin(client, timeout_s=timeout_s) as kafka:
        kafka.describe_cluster()


def wait_until_ready(
    client: KafkaClient, *, timeout_s: float, is_alive: Callable[[], bool] = lambda: True
) -> str:
    """Return when the broker answers requests and can coordinate consumer groups.

    The topic of committed offsets is made when the first group asks for it, and until then groups are turned
    away. That is asked for here, so that the first consumer need not meet it; a broker that is slow at it is
    ready all the same.

    Args:
        client: The broker.
        timeout_s: How long to wait, in seconds.
        is_alive: Says False once there is nothing left to wait for.

    Returns:
        The id of the cluster that answers.

    Raises:
        BrokerUnreachableError: It does not answer in time, or is alive no more.
    """
    deadline = time.monotonic() + timeout_s
    while refusal := _refusal(client.servers[0], _CONNECT_TIMEOUT_S):
        if not is_alive():
            raise BrokerUnreachableError("The broker stopped while it was starting.")
        if time.monotonic() >= deadline:
            raise BrokerUnreachableError(f"The broker did not answer within {timeout_s:g} s ({refusal}).")
        time.sleep(_POLL_S)
    with admin(client, timeout_s=max(1.0, deadline - time.monotonic())) as kafka:
        cluster_id: str = kafka.describe_cluster()["cluster_id"]
        patience = min(deadline, time.monotonic() + _COORDINATOR_WAIT_S)
        while time.monotonic() < patience:
            try:
                kafka.list_group_offsets({"freshet-ready": []})
                break
            except _NOT_YET:
                time.sleep(_POLL_S)
        return cluster_id


def _refusal(server: str, timeout_s: float) -> str | None:
    """Why nothing can be sent there; None where something listens."""
    host, colon, port = server.rpartition(":")
    if not colon or "]" in port:
        host, port = server, str(_DEFAULT_PORT)
    if not port.isdecimal() or int(port) > _LARGEST_PORT:
        return f"{port!r} is not a port"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), min(timeout_s, _CONNECT_TIMEOUT_S)):
            return None
    except UnicodeError:
        return f"{host!r} is not a host"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _sentence(client: KafkaClient, reason: str) -> str:
    return (
        f"No Kafka broker answers at {client.bootstrap}: {reason}. Start one with `freshet broker start`, "
        f"or correct the address (--bootstrap, FRESHET_BROKER, `broker` in freshet.toml)."
    )


@contextmanager
def _raised_not_logged() -> Iterator[None]:
    """Hold back kafka-python's log while whatever it would complain of is raised to us anyway.

    A level that somebody chose for that logger stands.
    """
    logger = logging.getLogger("kafka")
    chosen = logger.level
    if chosen == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(chosen)
