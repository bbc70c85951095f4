"""What a worker shows over HTTP: metrics, liveness, readiness, its status, its weights, and one user's state."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from stream.engine import EngineStoppedError

_NO_CACHE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Where the answers come from.

    Attributes:
        metrics: The Prometheus exposition.
        content_type: Of the exposition.
        alive: Why the worker should be started again; nothing where all is well.
        ready: What it still waits for; nothing where it works.
        status: Totals, offsets and quality.
        user: One user's state, None where nothing is known.
        weights: Why the tasks weigh what they weigh.
    """

    metrics: Callable[[], bytes]
    content_type: str
    alive: Callable[[], Sequence[str]]
    ready: Callable[[], Sequence[str]]
    status: Callable[[], Awaitable[dict[str, Any]]]
    user: Callable[[str], Awaitable[dict[str, Any] | None]]
    weights: Callable[[], Awaitable[dict[str, Any]]]


@web.middleware
async def _while_stopping(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A worker that is about to end has no answers, and that is no error."""
    try:
        return await handler(request)
    except EngineStoppedError as error:
        raise web.HTTPServiceUnavailable(text=str(error)) from error


class AddressError(Exception):
    """The address cannot be listened on; the message says what to do."""


class HttpServer:
    """Serves `Views`; read-only.

    Args:
        views: Where the answers come from.
        more: What else is served, such as the explorer.
    """

    def __init__(self, views: Views, more: Sequence[web.RouteDef] = ()) -> None:
        self._views = views
        application = web.Application(middlewares=[_while_stopping])
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/status", self._status),
                web.get("/weights", self._weights),
                web.get(r"/users/{user_id:[\s\S]+}", self._user),
                *more,
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self, host: str, port: int) -> str:
        """Listen; port 0 takes a free one. Returns the address, `host:port`.

        Raises:
            AddressError: Somebody else listens there, or the address is not this machine's.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise _refused(host, port, error) from error
        return _joined(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        """Close the connections."""
        await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._views.metrics(), headers={"Content-Type": self._views.content_type, **_NO_CACHE}
        )

    async def _healthz(self, request: web.Request) -> web.Response:
        return _verdict(self._views.alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _verdict(self._views.ready())

    async def _status(self, request: web.Request) -> web.Response:
        return _json(await self._views.status())

    async def _weights(self, request: web.Request) -> web.Response:
        return _json(await self._views.weights())

    async def _user(self, request: web.Request) -> web.Response:
        user = await self._views.user(request.match_info["user_id"])
        if user is None:
            return _json({"error": "nothing is known of this user"}, status=404)
        return _json(user)


def split_address(address: str) -> tuple[str, int]:
    """`host:port` apart, an IPv6 host in brackets or not; loopback where there is no host."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def require_free(host: str, port: int) -> None:
    """Find out whether `HttpServer.start` could listen, without starting anything.

    Raises:
        AddressError: Somebody else listens there, or the address is not this machine's.
    """
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise _refused(host, port, error) from error


def _refused(host: str, port: int, error: OSError) -> AddressError:
    return AddressError(
        f"Cannot listen on {_joined(host, port)} ({error.strerror or error}). Choose another address with --http "
        f"or FRESHET_WORKER__HTTP; port 0 takes a free one."
    )


def _verdict(reasons: Sequence[str]) -> web.Response:
    if not reasons:
        return _json({"ok": True})
    return _json({"ok": False, "reason": reasons[0], "reasons": reasons}, status=503)


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), content_type="application/json", status=status, headers=_NO_CACHE
    )
