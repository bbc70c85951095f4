from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connectors.kafka_client import KafkaClient
from connectors.topics import compare_topics
from stream.cli.main import cli
from stream.demo.view import drawn, in_words
from stream.settings import TOPICS, load
from stream.topic_specs import topic_specs

KEYS = {
    "broker",
    "events_produced",
    "events_learned",
    "dead_letters",
    "recommendations",
    "freshness_ms",
    "events_per_s",
    "click_rate",
    "hr10",
    "task_weights",
    "drift_events",
}


def demo(*words: str) -> Result:
    result = CliRunner().invoke(cli, ["demo", *words, "--json"], obj={})
    assert result.exit_code == 0, result.output
    return result


def test_in_process_shoppers_are_served_and_the_summary_is_json_alone() -> None:
    summary = json.loads(demo("--in-process", "--duration", "4", "--rate", "400").stdout)
    assert set(summary) >= KEYS
    assert summary["broker"] == "in-process"
    assert summary["events_learned"] == summary["events_produced"] > 500
    assert summary["recommendations"] > 50
    assert summary["dead_letters"] == 0
    assert set(summary["click_rate"]) == {"recommended", "popularity", "random", "oracle"}
    assert summary["freshness_ms"]["p50"] > 0.0


def a_log(path: Path, ids: Iterable[int]) -> Path:
    rows = ["event_id,timestamp,user_id,item_id,event_type"]
    rows += [f"e{n},{1_600_000_000 + n},u{n % 7},i{n % 11},view" for n in ids]
    path.write_text("\n".join(rows) + "\n")
    return path


def test_a_log_is_played_to_its_end(tmp_path: Path) -> None:
    path = a_log(tmp_path / "shop.csv", range(300))
    summary = json.loads(
        demo("--in-process", "--data", str(path), "--duration", "30", "--rate", "5000").stdout
    )
    assert summary["events_learned"] == 300
    assert summary["click_rate"] is None
    assert (summary["users"], summary["items"]) == (7, 11)


def test_on_a_configured_broker_it_leaves_nothing_behind(
    broker: KafkaClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_BROKER", broker.bootstrap)
    summary = json.loads(demo("--duration", "5", "--rate", "300").stdout)
    assert summary["broker"] == broker.bootstrap
    assert summary["events_learned"] == summary["events_produced"] > 500
    prefix = summary["places"]["events"].removesuffix(".events")
    names = {name: f"{prefix}.{name.replace('_', '-')}" for name in TOPICS}
    reports = compare_topics(broker, topic_specs(load(overrides={"topics": names})))
    assert {report.outcome for report in reports} == {"missing"}
    assert not Path(summary["places"]["state"]).exists()


def test_events_that_come_twice_are_not_waited_for(
    broker: KafkaClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FRESHET_BROKER", broker.bootstrap)
    monkeypatch.setattr("stream.demo.on_broker._SETTLES_WITHIN_S", 1e6)
    path = a_log(tmp_path / "shop.csv", [*range(200), *range(50)])
    summary = json.loads(demo("--data", str(path), "--duration", "60", "--rate", "1000").stdout)
    assert (summary["events_produced"], summary["events_learned"]) == (250, 200)


@pytest.mark.parametrize("option", ["--duration", "--rate"])
def test_a_number_that_is_none_is_refused(option: str) -> None:
    result = CliRunner().invoke(cli, ["demo", "--in-process", option, "nan"], obj={})
    assert (result.exit_code, "'nan' is not a finite number" in result.output) == (2, True)


def test_a_summary_can_be_drawn_and_told_at_every_moment() -> None:
    from rich.console import Console

    from stream.demo.summary import summarise

    empty = summarise(
        broker="in-process",
        source="nothing",
        seconds=0.0,
        events_produced=0,
        status={},
        report=None,
        sample=None,
        places={},
    )
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(drawn(empty, 10.0))
    assert "freshet" in console.export_text()
    assert "0 of 0 events learned" in in_words(empty)[0]


class _RefusedError(Exception):
    """The worker is not to start."""


def test_its_worker_keeps_out_of_the_way_of_those_that_share_the_broker(
    broker: KafkaClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A group of its own, checkpoints of its own, and the settings of the file that was named."""
    told: dict[str, Any] = {}

    def refuse(command: list[str], *, env: dict[str, str], **_: Any) -> None:
        told.update(command=command, env=env)
        raise _RefusedError

    config = tmp_path / "shop.toml"
    config.write_text(
        f'broker = "{broker.bootstrap}"\n[worker]\ngroup = "shop"\ncheckpoints = "{tmp_path}/kept"\n'
    )
    monkeypatch.setattr("stream.worker_process.subprocess.Popen", refuse)
    result = CliRunner().invoke(cli, ["--config", str(config), "demo", "--duration", "5"], obj={})
    assert isinstance(result.exception, _RefusedError)
    name = told["env"]["FRESHET_TOPICS__EVENTS"].removesuffix(".events")
    assert told["env"]["FRESHET_WORKER__GROUP"] == name
    assert told["env"]["FRESHET_WORKER__CHECKPOINTS"].startswith(told["env"]["FRESHET_STATE_DIR"])
    assert told["command"][3:6] == ["--config", str(config), "worker"]
