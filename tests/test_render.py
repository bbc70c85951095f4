"""Dashboards are drawn from whatever a Prometheus answers, and numbers are shown as a person says them."""

from __future__ import annotations

import json
import math
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from monitoring.dashboards.__main__ import FOLDER
from monitoring.dashboards.render import draw_all, shown

_PNG = b"\x89PNG"


class Prometheus(ThreadingHTTPServer):
    """Answers each query with the series that the test gives it, and writes the queries down."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.series: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Prometheus

    def do_GET(self) -> None:
        parameters = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        self.server.asked += parameters["query"]
        body = json.dumps({"data": {"result": self.server.series}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    server = Prometheus()
    serving = Thread(target=server.serve_forever)
    serving.start()
    yield server
    server.shutdown()
    serving.join()
    server.server_close()


def series(values: list[str], **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[1_700_000_000 + n, value] for n, value in enumerate(values)]}


@pytest.mark.parametrize(
    "found",
    [
        [],
        [series(["NaN", "NaN"])],
        [series(["0", "0", "0"], task="click", other="click")],
        [
            series(["1", "NaN", "3e9"], task="click", other="buy"),
            series(["2", "5", "-1"], task="buy", other="click"),
        ],
    ],
    ids=["nothing", "unknown", "zeros", "numbers"],
)
def test_every_dashboard_is_drawn_whatever_is_answered(
    prometheus: Prometheus, tmp_path: Path, found: list[dict[str, Any]]
) -> None:
    prometheus.series = found
    pictures = list(draw_all(prometheus.url, tmp_path, seconds=60.0))
    assert [path.stem for path in pictures] == sorted(path.stem for path in FOLDER.glob("*.json"))
    assert all(path.read_bytes().startswith(_PNG) for path in pictures)
    assert len(prometheus.asked) > 80
    assert not any("$" in query for query in prometheus.asked)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.1234, "percentunit", "12.3 %"),
        (0.005, "s", "5 ms"),
        (0.0, "s", "0 s"),
        (90.0, "s", "1.5 min"),
        (7_200.0, "s", "2 h"),
        (2.5e9, "bytes", "2.5 GB"),
        (1_500.0, "ops", "1.5 k/s"),
        (3.0, "short", "3"),
        (math.nan, "short", "-"),
    ],
)
def test_numbers_are_short_and_have_their_units(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
