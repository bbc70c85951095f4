"""The explorer over HTTP: its files, as they lie in `web/`, and JSON. Read-only, and bounded in size and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import get_args

import msgspec
from aiohttp import web

from stream.explorer.explorer import BusyError, Explorer, Kind, Seen

LONGEST = 1_024
"""Characters of an id or a prefix that is asked for; longer ones are refused."""

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # Ids are anybody's: nothing but the files of this package may run, load or be asked.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(explorer: Explorer) -> list[web.RouteDef]:
    """`/`, the page's files under `/explorer/`, and what it asks under `/explorer/api/`."""
    page = {name: _file(name, body) for name, body in web_files().items()}

    async def overview(request: web.Request) -> Seen:
        return await explorer.overview(_since(request))

    async def find(request: web.Request) -> Seen:
        kind = request.query.get("kind", "users")
        if kind not in get_args(Kind):
            raise _BadRequestError(f"kind must be one of: {', '.join(get_args(Kind))}")
        return await explorer.find(kind, _text(request, "prefix"))  # type: ignore[arg-type]

    async def user(request: web.Request) -> Seen:
        return await explorer.user(_text(request, "id"))

    async def item(request: web.Request) -> Seen:
        return await explorer.item(_text(request, "id"))

    async def learning(_: web.Request) -> Seen:
        return await explorer.learning()

    async def served(request: web.Request) -> web.StreamResponse:
        found = page.get(request.match_info.get("name", "index.html"))
        return found.response() if found is not None else _json({"error": "there is no such file"}, 404)

    return [
        web.get("/", served),
        web.get("/explorer/{name}", served),
        *(
            web.get(f"/explorer/api/{name}", _answering(ask))
            for name, ask in {
                "overview": overview,
                "find": find,
                "user": user,
                "item": item,
                "learning": learning,
            }.items()
        ),
    ]


def web_files() -> dict[str, bytes]:
    """The page's files by name."""
    return {file.name: file.read_bytes() for file in files("stream.explorer").joinpath("web").iterdir()}


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page, in memory: a path that names no such file reaches nothing else."""

    body: bytes
    content_type: str

    def response(self) -> web.Response:
        return web.Response(
            body=self.body,
            content_type=self.content_type,
            charset="utf-8",
            headers={**_HEADERS, "Cache-Control": "no-cache"},
        )


def _file(name: str, body: bytes) -> _File:
    return _File(body, _TYPES[name[name.rindex(".") :]])


class _BadRequestError(Exception):
    """What is asked for makes no sense; the message says why."""


def _answering(ask: Callable[[web.Request], Awaitable[Seen]]) -> Handler:
    """JSON of what is seen, and how long the stream was held for it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            seen = await ask(request)
        except _BadRequestError as error:
            return _json({"error": str(error)}, 400)
        except BusyError:
            return _json({"error": "the worker is busy; ask again"}, 503)
        if seen.found is None:
            return _json({"error": "nothing is known of this id here"}, 404, seen.held_s)
        return _json(seen.found, held_s=seen.held_s)

    return answer


def _text(request: web.Request, name: str) -> str:
    text = request.query.get(name, "")
    if len(text) > LONGEST:
        raise _BadRequestError(f"{name} may have {LONGEST} characters")
    return text


def _since(request: web.Request) -> int:
    text = request.query.get("since", "0")
    if not (text.isascii() and text.isdecimal()) or len(text) > 16:
        raise _BadRequestError("since must be UTC milliseconds")
    return int(text)


def _json(body: object, status: int = 200, held_s: float = 0.0) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        content_type="application/json",
        status=status,
        headers={
            **_HEADERS,
            "Cache-Control": "no-store",
            "Server-Timing": f"held;dur={held_s * 1000.0:.3f}",
        },
    )
