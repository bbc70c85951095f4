"""Which TCP ports of 127.0.0.1 are free, and who holds those that are not."""

from __future__ import annotations

import socket

import psutil

_HOST = "127.0.0.1"
_NEIGHBOURS = 100


class PortTakenError(Exception):
    """The port that was asked for belongs to another process."""


def choose(asked: int | None, *, usual: int) -> tuple[int, str | None]:
    """The port for a server to listen on.

    Args:
        asked: The port somebody insists on, 0 for any, None for the usual one or a neighbour of it.
        usual: The port that nobody has to ask for.

    Returns:
        The port, and a sentence where the usual one had to be left alone.

    Raises:
        PortTakenError: The port insisted on is taken.
    """
    if asked == 0:
        return any_free(), None
    if asked is not None:
        if not is_free(asked):
            raise PortTakenError(
                f"Port {asked} is taken by {holder(asked)}. Stop that, or name another port (--port)."
            )
        return asked, None
    if is_free(usual):
        return usual, None
    neighbours = range(usual + 1, usual + _NEIGHBOURS)
    chosen = next((port for port in neighbours if is_free(port)), None) or any_free()
    return chosen, f"Port {usual} is taken by {holder(usual)}; using {chosen} instead."


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now; another process may still be quicker."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Some systems let a second server bind beside one that listens on all addresses: ask it first.
        probe.settimeout(0.5)
        if probe.connect_ex((_HOST, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Java does it, so that connections which linger from a server just stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def any_free(*, apart_from: int | None = None) -> int:
    """A free port of the system's choice, other than `apart_from`."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((_HOST, 0))
            port: int = probe.getsockname()[1]
        if port != apart_from:
            return port


def holder(port: int) -> str:
    """Who listens on the port, such as `nginx (pid 71)`; `another process` where that is hidden from us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows other processes' sockets to root only
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "another process"
