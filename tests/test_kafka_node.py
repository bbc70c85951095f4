"""The files of a Kafka node; Java is played by a script that formats and ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.kafka_jars import KafkaJars
from connectors.kafka_node import KafkaNode, KafkaNodeError

_FORMATS = """#!/bin/sh
case "$*" in *StorageTool*) for properties; do :; done
    data=$(sed -n 's/^log.dirs=//p' "$properties")
    mkdir "$data" && printf 'node.id=1\\ncluster.id=%s\\n' "$(cat "$(dirname "$0")/next")" > "$data/meta.properties"
esac
"""


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., KafkaNode]:
    java = tmp_path / "java"
    java.write_text(_FORMATS)
    java.chmod(0o755)
    (tmp_path / "next").write_text("first")

    def make(home: Path = tmp_path / "home", java: Path = java) -> KafkaNode:
        return KafkaNode(
            jars=KafkaJars(java, tmp_path, "maven"),
            home=home,
            port=9092,
            controller_port=9093,
            mark="-Dmark=1",
            environment={"PATH": "/usr/bin:/bin"},
        )

    return make


def _start(node: KafkaNode) -> None:
    os.waitpid(node.start(), 0)


def test_the_data_folder_is_formatted_once(node: Callable[..., KafkaNode], tmp_path: Path) -> None:
    _start(node())
    (tmp_path / "next").write_text("second")
    _start(node())
    assert node().cluster_id == "first"


def test_what_an_interrupted_format_left_is_no_data(node: Callable[..., KafkaNode], tmp_path: Path) -> None:
    (tmp_path / "home" / "data.unfinished").mkdir(parents=True)
    _start(node())
    assert node().cluster_id == "first"
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [
        "data",
        "log4j2.properties",
        "logs",
        "server.properties",
    ]


def test_a_folder_of_any_name_is_spelled_as_kafka_reads_it(
    node: Callable[..., KafkaNode], tmp_path: Path
) -> None:
    home = tmp_path / "zoë\\𝄞 b"
    (home / "data").mkdir(parents=True)
    (home / "data" / "meta.properties").write_text("cluster.id=x\n")
    _start(node(home))
    (line,) = [
        line
        for line in (home / "server.properties").read_text("ascii").splitlines()
        if line.startswith("log.dirs")
    ]
    assert line.endswith(r"/zo\u00eb\u005c\ud834\udd1e b/data")


def test_it_listens_to_this_machine_only(node: Callable[..., KafkaNode], tmp_path: Path) -> None:
    _start(node())
    assert "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093" in (
        (tmp_path / "home" / "server.properties").read_text().splitlines()
    )


def test_only_this_start_is_quoted(node: Callable[..., KafkaNode]) -> None:
    failed = node()
    failed.log.parent.mkdir(parents=True)
    failed.log.write_text("yesterday: Address already in use\n")
    _start(failed)
    with failed.log.open("a") as log:
        log.write("today: all is well\n")
    assert failed.last_words() == "today: all is well"
    assert not failed.lost_its_port()


def test_a_java_that_is_not_there_is_an_error(node: Callable[..., KafkaNode], tmp_path: Path) -> None:
    with pytest.raises(KafkaNodeError, match="cannot be started"):
        node(java=tmp_path / "nowhere").start()


def test_a_data_folder_that_cannot_be_formatted_quotes_kafka(
    node: Callable[..., KafkaNode], tmp_path: Path
) -> None:
    java = tmp_path / "broken"
    java.write_text("#!/bin/sh\necho no space left >&2; exit 1")
    java.chmod(0o755)
    with pytest.raises(KafkaNodeError, match=r"cannot be made:\nno space left"):
        node(java=java).start()
    assert not (tmp_path / "home" / "data").exists()
