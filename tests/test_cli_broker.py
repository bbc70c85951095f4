"""`freshet broker` and `freshet topics`, called as a person or a script would."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connectors.kafka_client import KafkaClient
from connectors.topics import TopicReport, compare_topics, delete_topics
from stream.cli.main import cli
from stream.settings import TOPICS, TopicSettings, load
from stream.topic_specs import topic_specs

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    return run


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, broker: KafkaClient, topics: TopicSettings) -> TopicSettings:
    monkeypatch.setenv("FRESHET_BROKER", broker.bootstrap)
    for name in TOPICS:
        monkeypatch.setenv(f"FRESHET_TOPICS__{name.upper()}", getattr(topics, name))
    return topics


@pytest.mark.parametrize("command", ["start", "status"])
def test_a_configured_broker_is_asked_and_nothing_is_started(
    run: Run, broker: KafkaClient, configured: TopicSettings, command: str
) -> None:
    answer = json.loads(run("broker", command, "--json").stdout)
    assert answer == {
        "running": True,
        "bootstrap": broker.bootstrap,
        "pid": None,
        "how": "configured",
        "data": None,
        "log": None,
        "ephemeral": False,
        "notes": [],
    }


def test_a_configured_broker_that_is_away_fails_the_start_and_not_the_status(run: Run) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{deaf.getsockname()[1]}"
        started = run("--bootstrap", address, "broker", "start", "--json")
        asked = run("--bootstrap", address, "broker", "status", "--json")
    assert started.exit_code == 1
    assert started.stdout == ""
    assert f"No Kafka broker answers at {address}: connection refused." in started.stderr
    assert asked.exit_code == 0
    assert json.loads(asked.stdout)["running"] is False


def test_without_any_broker_the_status_says_how_to_get_one(run: Run) -> None:
    result = run("broker", "status", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["running"] is False
    assert "freshet broker start" in result.stderr


def test_stopping_what_does_not_run_is_no_error(run: Run) -> None:
    result = run("broker", "stop", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["running"] is False
    assert "No local broker was running." in result.stderr


def test_a_wrong_port_is_wrong_usage(run: Run) -> None:
    assert run("broker", "start", "--port", "70000").exit_code == 2


def test_topics_are_created_once_and_listed(run: Run, configured: TopicSettings) -> None:
    created = json.loads(run("topics", "create", "--json").stdout)["topics"]
    listed = json.loads(run("topics", "list", "--json").stdout)["topics"]
    assert [topic["name"] for topic in created] == [getattr(configured, name) for name in TOPICS]
    assert {topic["outcome"] for topic in created + listed} == {"exists"}
    assert {topic["records"] for topic in listed} == {0}


def test_topics_that_differ_are_told_and_left(
    run: Run, configured: TopicSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_TOPICS__PARTITIONS", "8")
    result = run("topics", "create")
    assert result.exit_code == 0
    assert "  partitions: 4, settings say 8" in result.stderr
    assert "Topics that differ were left as they are." in result.stderr
    assert result.stdout == ""


def test_topics_need_a_broker(run: Run) -> None:
    result = run("topics", "create")
    assert result.exit_code == 1
    assert "freshet broker start" in result.stderr


def test_a_worker_does_not_start_without_one_of_its_topics(
    broker: KafkaClient, configured: TopicSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FRESHET_STATE_DIR", str(tmp_path))
    topic = configured.recommendations
    delete_topics(broker, [topic])
    while any(told.name == topic and told.outcome != "missing" for told in compared(broker, configured)):
        time.sleep(0.02)  # the broker has agreed to it, and will do it
    # in a process of its own: it would set up logging for all tests
    worker = [sys.executable, "-m", "stream.cli.main", "worker"]
    done = subprocess.run(worker, capture_output=True, text=True, check=False, timeout=60.0)
    assert done.returncode == 1
    assert f"There is no topic {topic}. Create the topics" in done.stderr


def compared(broker: KafkaClient, topics: TopicSettings) -> list[TopicReport]:
    return compare_topics(broker, topic_specs(load(overrides={"topics": topics.model_dump()})))
