"""The life of a local broker: with real Kafka where its data matters, with a scripted Java where it fails."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from connectors import docker_kafka, local_broker, ports
from connectors.kafka_client import KafkaClient
from connectors.local_broker import BrokerError, BrokerStatus, LocalBroker, NoBrokerAvailable
from connectors.topics import TopicSpec, create_topics

# Plays `java`: tells its version, formats a data folder, and then does what a test wants of Kafka.
_JAVA = """#!/bin/sh
case "$*" in
*-version*) echo 'openjdk version "17.0.15"' >&2; exit;;
*StorageTool*) for properties; do :; done
    data=$(sed -n 's/^log.dirs=//p' "$properties"); mkdir "$data"; echo cluster.id=x > "$data/meta.properties"; exit;;
esac
echo started >> "$(dirname "$0")/starts"
"""


@pytest.fixture
def broker_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a state" / "broker"
    yield folder
    LocalBroker(folder).stop()


@pytest.fixture
def children() -> Callable[[], set[psutil.Process]]:
    """Processes started since the test began; the broker that other tests share is older."""
    before = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - before


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """An environment whose Java is a script, and whose Kafka does the rest of it."""

    def environment(body: str) -> dict[str, str]:
        (tmp_path / "bin").mkdir()
        (tmp_path / "libs").mkdir()
        (tmp_path / "libs" / "kafka_2.13-4.3.0.jar").write_text("")
        java = tmp_path / "bin" / "java"
        java.write_text(_JAVA + body)
        java.chmod(0o755)
        return {"JAVA_HOME": str(tmp_path), "KAFKA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    return environment


@pytest.mark.broker
def test_a_broker_is_started_once_outlives_its_starter_and_keeps_its_data(
    broker_folder: Path, jars_cache: Path | None
) -> None:
    # Two starts at once: one broker.
    found: list[BrokerStatus] = []

    def start() -> None:
        found.append(LocalBroker(broker_folder).start(port=0, cache_dir=jars_cache))

    both = [threading.Thread(target=start) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    first, second = found
    assert first == second == LocalBroker(broker_folder).status()
    assert first.running
    assert first.how in ("maven", "kafka_home")
    assert first.data == broker_folder / "data"

    # A third start finds it too, and does not move it.
    broker = LocalBroker(broker_folder)
    assert broker.start() == first
    with pytest.raises(BrokerError, match=f"already runs at {first.bootstrap}"):
        broker.start(port=1)
    (note,) = broker.start(ephemeral=True).notes
    assert note == "A broker of the other kind already runs: its data is kept."

    # Ctrl-C goes to the terminal's session, which is not the broker's; and it listens to this machine only.
    assert first.pid is not None
    assert os.getsid(first.pid) == first.pid
    listening = [at.laddr for at in psutil.Process(first.pid).net_connections() if at.status == "LISTEN"]
    assert len(listening) == 2
    assert {at.ip.removeprefix("::ffff:") for at in listening} == {"127.0.0.1"}

    create_topics(_client(first), [TopicSpec("kept", 1)])
    producer = KafkaProducer(bootstrap_servers=first.bootstrap)
    producer.send("kept", b"before")
    producer.close()

    stopped = broker.stop()
    assert not stopped.running
    assert not psutil.pid_exists(first.pid)
    assert not broker.stop().running

    # A stale record whose process id now belongs to somebody else (this test) hides nothing and kills nobody.
    stale = {"how": "maven", "port": 9092, "ready": True, "pid": os.getpid(), "mark": "-Dfreshet.broker=0"}
    (broker_folder / "broker.json").write_bytes(msgspec.json.encode(stale))
    assert not broker.status().running

    # Back on the old port, with the old controller's port taken by another process.
    assert first.bootstrap is not None
    old_port = int(first.bootstrap.split(":")[1])
    (controller_port,) = {at.port for at in listening} - {old_port}
    with socket.create_server(("127.0.0.1", controller_port)):
        again = broker.start(port=old_port, cache_dir=jars_cache)
        assert again.bootstrap == first.bootstrap
        consumer = KafkaConsumer(
            bootstrap_servers=again.bootstrap, group_id=None, auto_offset_reset="earliest"
        )
        consumer.assign([TopicPartition("kept", 0)])
        batches = consumer.poll(timeout_ms=10_000)
        consumer.close()
        assert [record.value for records in batches.values() for record in records] == [b"before"]
        create_topics(_client(again), [TopicSpec("new", 1)])  # the controller is heard on its new port


@pytest.mark.broker
def test_an_ephemeral_broker_leaves_nothing_even_when_it_was_killed(
    broker_folder: Path, jars_cache: Path | None
) -> None:
    broker = LocalBroker(broker_folder)
    status = broker.start(ephemeral=True, port=0, cache_dir=jars_cache)
    assert status.ephemeral
    assert status.data is not None
    assert status.pid is not None
    home = status.data.parent
    assert home.is_dir()
    assert not home.is_relative_to(broker_folder)

    os.kill(status.pid, signal.SIGKILL)
    psutil.Process(status.pid).wait(5)
    assert not broker.status().running

    broker.stop()
    assert not home.exists()
    assert [path.name for path in broker_folder.iterdir()] == ["lock"]


def test_a_kafka_that_fails_is_quoted(broker_folder: Path, scripted: Callable[[str], dict[str, str]]) -> None:
    environment = scripted("echo 'java.lang.OutOfMemoryError: not today' >&2; exit 1")
    with pytest.raises(
        BrokerError, match=r"stopped while it was starting.\nThe end of its log:\n.*not today"
    ):
        LocalBroker(broker_folder).start(port=0, environment=environment)
    assert not (broker_folder / "broker.json").exists()


def test_a_kafka_that_never_answers_is_stopped(
    broker_folder: Path,
    children: Callable[[], set[psutil.Process]],
    scripted: Callable[[str], dict[str, str]],
) -> None:
    environment = scripted("while :; do sleep 0.05; done")
    broker = LocalBroker(broker_folder)
    with pytest.raises(BrokerError, match=r"did not answer within 0.3 s \(connection refused\)"):
        broker.start(port=0, environment=environment, timeout_s=0.3, ephemeral=True)
    assert not children()
    assert [path.name for path in broker_folder.iterdir()] == ["lock"]


def test_ctrl_c_while_it_starts_leaves_nothing_running(
    broker_folder: Path,
    children: Callable[[], set[psutil.Process]],
    scripted: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        assert children()
        raise KeyboardInterrupt

    monkeypatch.setattr(local_broker, "wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        LocalBroker(broker_folder).start(port=0, environment=scripted("while :; do sleep 0.05; done"))
    assert not children()
    assert not (broker_folder / "broker.json").exists()


def test_a_start_that_was_killed_half_way_is_cleared_by_the_next(
    broker_folder: Path,
    children: Callable[[], set[psutil.Process]],
    scripted: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_broker.LocalBroker, "_clear", lambda *_: True)  # what a SIGKILL would skip
    with pytest.raises(BrokerError):
        LocalBroker(broker_folder).start(
            port=0, environment=scripted("while :; do sleep 0.05; done"), timeout_s=0.1
        )
    monkeypatch.undo()
    (left,) = children()
    assert not LocalBroker(broker_folder).status().running
    LocalBroker(broker_folder).stop()
    assert not left.is_running()


def test_a_port_lost_to_a_quicker_process_is_no_reason_to_give_up(
    broker_folder: Path, tmp_path: Path, scripted: Callable[[str], dict[str, str]]
) -> None:
    environment = scripted("echo 'java.net.BindException: Address already in use'; exit 1")
    with pytest.raises(BrokerError, match="kept taking the ports"):
        LocalBroker(broker_folder).start(port=0, environment=environment, ephemeral=True)
    assert (tmp_path / "bin" / "starts").read_text().count("started") == 3
    assert [path.name for path in broker_folder.iterdir()] == ["lock"]


def test_a_stranger_who_answers_on_our_port_is_not_taken_for_ours(
    broker_folder: Path,
    children: Callable[[], set[psutil.Process]],
    scripted: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_broker, "wait_until_ready", lambda *_, **__: "another-cluster")
    phases: list[str] = []
    with pytest.raises(BrokerError, match="kept taking the ports"):
        LocalBroker(broker_folder).start(
            port=0, environment=scripted("while :; do sleep 0.05; done"), on_phase=phases.append
        )
    assert len(phases) == 3
    assert not children()


def test_a_taken_port_that_was_asked_for_starts_nothing(
    broker_folder: Path, tmp_path: Path, scripted: Callable[[str], dict[str, str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"Port {port} is taken by .*\(pid {os.getpid()}\)"):
            LocalBroker(broker_folder).start(port=port, environment=scripted(""))
    assert not (tmp_path / "bin" / "starts").exists()


def test_without_anything_to_run_it_says_what_it_looked_for(broker_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NoBrokerAvailable) as caught:
        LocalBroker(broker_folder).start(environment={"PATH": str(tmp_path)}, cache_dir=tmp_path)
    assert str(caught.value) == (
        "There is no way to run a Kafka broker here. Looked for: KAFKA_HOME, which is not set; Java and Maven: "
        "there is no java in PATH: install Java 17 or newer. Docker: there is no docker in PATH. Install one of "
        "these, or name a broker that runs elsewhere (--bootstrap, FRESHET_BROKER)."
    )


def test_a_damaged_record_is_no_broker(broker_folder: Path) -> None:
    broker_folder.mkdir(parents=True)
    (broker_folder / "broker.json").write_text("{")
    assert LocalBroker(broker_folder).status() == BrokerStatus(running=False)


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"folder .*file cannot be used: .*FRESHET_STATE_DIR"):
        LocalBroker(tmp_path / "file").start()


@pytest.fixture
def docker(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """An environment without Java, whose Docker is a script that writes down what it is asked."""

    def environment(body: str) -> dict[str, str]:
        folder = tmp_path / "docker-bin"
        folder.mkdir()
        (folder / "docker").write_text(f'#!/bin/sh\n{body}\necho "$KAFKA_PORT $*" >> {tmp_path}/asked\n')
        (folder / "docker").chmod(0o755)
        return {"PATH": str(folder)}

    return environment


def test_without_java_docker_runs_it(
    broker_folder: Path,
    tmp_path: Path,
    docker: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = docker("")
    compose_file = tmp_path / "docker-compose.yml"
    compose_file.write_text("services: {}")
    monkeypatch.setattr(local_broker, "wait_until_ready", lambda *_, **__: "a-cluster")
    monkeypatch.setenv("PATH", environment["PATH"])
    broker = LocalBroker(broker_folder)
    port = ports.any_free()
    status = broker.start(compose_file=compose_file, environment=environment, cache_dir=tmp_path, port=port)
    assert status.how == "docker"
    with socket.create_server(("127.0.0.1", port)):
        assert broker.status().bootstrap == f"127.0.0.1:{port}"
    assert not broker.status().running
    broker.stop()
    assert (tmp_path / "asked").read_text().splitlines() == [
        " info",
        " compose version",
        f"{port} compose -f {compose_file} up -d --wait kafka",
        f"{port} compose -f {compose_file} stop kafka",
    ]


def test_a_docker_that_cannot_do_it_says_why(tmp_path: Path, docker: Callable[[str], dict[str, str]]) -> None:
    compose_file = tmp_path / "docker-compose.yml"
    environment = docker('[ "$1" = info ] || exit 1')
    assert docker_kafka.why_not(compose_file, environment) == (
        "the project's docker-compose.yml is not here (it stands in the source checkout)."
    )
    compose_file.write_text("services: {}")
    assert "no compose plugin" in str(docker_kafka.why_not(compose_file, environment))
    (tmp_path / "docker-bin" / "docker").write_text("#!/bin/sh\nexit 1")
    assert "its engine does not answer" in str(docker_kafka.why_not(compose_file, environment))


def _client(status: BrokerStatus) -> KafkaClient:
    assert status.bootstrap is not None
    return KafkaClient(bootstrap=status.bootstrap)
