"""What a worker shows over HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession

from stream.engine import EngineStoppedError
from stream.http_server import AddressError, HttpServer, Views, require_free, split_address

USERS = {"ann": {"events": 3}}


def views(**differing: Any) -> Views:
    async def status() -> dict[str, Any]:
        return {"applied": {0: 7}, "hr10": None}

    async def user(user_id: str) -> dict[str, Any] | None:
        return USERS.get(user_id, {"asked": user_id} if user_id != "nobody" else None)

    async def weights() -> dict[str, Any]:
        return {"tasks": [{"task": "click", "weight": 1.4}]}

    given: dict[str, Any] = {
        "metrics": lambda: b"freshet_up 1\n",
        "content_type": "text/plain; version=1.0.0; charset=utf-8",
        "alive": lambda: (),
        "ready": lambda: (),
        "status": status,
        "user": user,
        "weights": weights,
    }
    return Views(**{**given, **differing})


@asynccontextmanager
async def client(**differing: Any) -> AsyncIterator[ClientSession]:
    """A client of a server on a free port."""
    server = HttpServer(views(**differing))
    address = await server.start("127.0.0.1", 0)
    async with ClientSession(f"http://{address}") as session:
        yield session
    await server.stop()


async def test_metrics_are_served_as_prometheus_wants_them() -> None:
    async with client() as session, session.get("/metrics") as answer:
        assert (answer.status, await answer.read()) == (200, b"freshet_up 1\n")
        assert answer.headers["Content-Type"] == "text/plain; version=1.0.0; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("path", "view"), [("/healthz", "alive"), ("/readyz", "ready")])
async def test_verdicts_are_a_status_and_a_reason(path: str, view: str) -> None:
    async with client() as session, session.get(path) as answer:
        assert (answer.status, await answer.json()) == (200, {"ok": True})
    async with client(**{view: lambda: ["it waits", "and is alone"]}) as session, session.get(path) as answer:
        told = {"ok": False, "reason": "it waits", "reasons": ["it waits", "and is alone"]}
        assert (answer.status, await answer.json()) == (503, told)


async def test_life_and_readiness_are_two_things() -> None:
    async with client(ready=lambda: ["no partitions yet"]) as session, session.get("/healthz") as answer:
        assert answer.status == 200


async def test_the_weights_are_json() -> None:
    async with client() as session, session.get("/weights") as answer:
        assert await answer.json() == {"tasks": [{"task": "click", "weight": 1.4}]}


async def test_the_status_is_json() -> None:
    async with client() as session, session.get("/status") as answer:
        assert await answer.json() == {"applied": {"0": 7}, "hr10": None}
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_user_is_shown_and_an_unknown_one_is_not_found() -> None:
    async with client() as session:
        async with session.get("/users/ann") as answer:
            assert (answer.status, await answer.json()) == (200, {"events": 3})
        async with session.get("/users/nobody") as answer:
            assert (answer.status, await answer.json()) == (404, {"error": "nothing is known of this user"})
        async with session.get("/users/") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    "name", ["a/b", "a?b=c#d", "a%2Fb", "100 %", "日本💧", "a\0b", "a\nb", "/", "a+b", "..a", "‮x"]
)
async def test_any_id_can_be_asked_for(name: str) -> None:
    """Over a plain socket, as the command line asks: a client library might tidy the path up."""
    server = HttpServer(views())
    host, _, port = (await server.start("127.0.0.1", 0)).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = urllib.parse.quote(name, safe="")
    writer.write(f"GET /users/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    await server.stop()
    assert answer.startswith("HTTP/1.1 200")
    assert json.loads(answer.partition("\r\n\r\n")[2]) == {"asked": name}


async def test_a_slash_need_not_be_escaped() -> None:
    async with client() as session, session.get("/users/a/b") as answer:
        assert await answer.json() == {"asked": "a/b"}


async def test_it_only_reads() -> None:
    async with client() as session, session.post("/status") as answer:
        assert answer.status == 405


async def test_a_view_that_fails_costs_its_own_answer_only(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> dict[str, Any]:
        raise RuntimeError("the engine has stopped")

    async with client(status=broken) as session:
        async with session.get("/status") as answer:
            assert answer.status == 500
        async with session.get("/healthz") as answer:
            assert answer.status == 200
    assert "the engine has stopped" in caplog.text


async def test_a_worker_that_is_stopping_says_so() -> None:
    async def gone() -> dict[str, Any]:
        raise EngineStoppedError("the worker is stopping")

    async with client(status=gone, weights=gone) as session:
        for path in ("/status", "/weights"):
            async with session.get(path) as answer:
                assert answer.status == 503
                assert "stopping" in await answer.text()


async def test_a_taken_address_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=rf"Cannot listen on 127\.0\.0\.1:{port} .* --http"):
            await HttpServer(views()).start("127.0.0.1", port)


async def test_a_strangers_address_is_explained() -> None:
    with pytest.raises(AddressError, match=r"Cannot listen on 192\.0\.2\.1:0"):
        await HttpServer(views()).start("192.0.2.1", 0)


def test_a_taken_address_is_found_without_starting_anything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=rf"Cannot listen on 127\.0\.0\.1:{port} .* --http"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine knows no IPv6")
def test_an_address_of_either_family_can_be_looked_at() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    require_free(*split_address("::1:0"))


def test_an_address_without_a_host_is_the_loopback() -> None:
    assert split_address(":8321") == ("127.0.0.1", 8321)
    assert split_address("0.0.0.0:80") == ("0.0.0.0", 80)


async def test_an_ipv6_address_stands_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert split_address("[::1]:8321") == ("::1", 8321)
    with pytest.raises(AddressError, match=r"Cannot listen on \[2001:db8::1\]:80 "):
        require_free("2001:db8::1", 80)
