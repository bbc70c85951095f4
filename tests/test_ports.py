"""Free and taken ports of this machine."""

from __future__ import annotations

import os
import socket

import pytest

from connectors import ports


def test_the_usual_port_is_used_where_it_is_free() -> None:
    usual = ports.any_free()
    assert ports.choose(None, usual=usual) == (usual, None)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_usual_port_is_left_alone_and_its_holder_named(address: str) -> None:
    with socket.create_server((address, 0)) as other:
        usual = other.getsockname()[1]
        chosen, note = ports.choose(None, usual=usual)
    assert chosen != usual
    assert note is not None
    assert note.startswith(f"Port {usual} is taken by ")
    assert f"(pid {os.getpid()}); using {chosen} instead." in note


def test_a_taken_port_that_was_asked_for_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ports.PortTakenError, match=rf"Port {port} is taken by .*\(pid {os.getpid()}\)"):
            ports.choose(port, usual=9092)


def test_zero_asks_for_any() -> None:
    port, note = ports.choose(0, usual=9092)
    assert ports.is_free(port)
    assert note is None


def test_a_port_that_was_just_left_is_free() -> None:
    """A connection that lingers from the last server does not hold up the next."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            served, _ = server.accept()
            served.close()  # the server closes first: its side stays in TIME_WAIT
            client.recv(1)
    assert ports.is_free(port)
