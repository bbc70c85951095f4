"""Every query of every panel and rule, asked of a real Prometheus that has scraped a real worker on a real broker."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

from prometheus_installed import needs_prometheus

from benchmarks.faults.place import Place
from benchmarks.observed import observed
from benchmarks.prometheus import ask
from connectors.kafka_client import KafkaClient
from monitoring.dashboards.queries import Panel, annotation_queries, filled, panels
from stream.settings import TopicSettings

BOARDS = sorted(Path("docker/grafana/dashboards").glob("*.json"))
PANELS = [panel for board in BOARDS for panel in panels(board)]
_DURATION_S, _RATE = 40.0, 400.0


def has_data(url: str, panel: Panel, query: str, began: float) -> bool:
    """Whether there is a number somewhere in what it answers."""
    asked = filled(query, rate_interval="10s")
    now = str(time.time())
    if panel.kind == "table":
        series = ask(url, "query", query=asked, time=now)["result"]
        return any(math.isfinite(float(each["value"][1])) for each in series)
    series = ask(url, "query_range", query=asked, start=str(began), end=now, step="1s")["result"]
    return any(math.isfinite(float(value)) for each in series for _, value in each["values"])


@needs_prometheus
async def test_every_panel_has_data(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> None:
    assert len(PANELS) > 50
    began = time.time()
    place = Place(broker, topics, tmp_path / "state")
    place.environment["FRESHET_WORKER__CHECKPOINT_DELTAS"] = "5"  # so that there is something to merge
    folder = tmp_path / "prometheus"
    folder.mkdir()

    def empty(url: str) -> list[str]:
        return [
            f"{panel.board}: {panel.title}: {query}"
            for panel in PANELS
            for query, _ in panel.queries
            if not has_data(url, panel, query, began)
        ]

    async with observed(place, folder, duration_s=_DURATION_S, rate=_RATE) as url:
        assert await asyncio.to_thread(empty, url) == []
        for board in BOARDS:
            for query in annotation_queries(board):
                await asyncio.to_thread(ask, url, "query", query=filled(query))
        groups = (await asyncio.to_thread(ask, url, "rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
        serious = [
            rule["name"]
            for rule in rules
            if rule["type"] == "alerting"
            and rule["state"] == "firing"
            and rule["labels"]["severity"] == "critical"
        ]
        assert serious == [], "a healthy worker wakes nobody"
        [[_, value]] = [
            each["value"]
            for each in (await asyncio.to_thread(ask, url, "query", query="freshet_ready"))["result"]
        ]
        assert float(value) == 1.0


def test_a_panel_without_a_query_would_be_noticed() -> None:
    assert all(panel.queries for panel in PANELS)
