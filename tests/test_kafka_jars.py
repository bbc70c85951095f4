"""Where a Kafka to run comes from; Java and Maven are played by scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.kafka_jars import (
    KAFKA_VERSION,
    KafkaJarsError,
    NotInstalledError,
    find_java,
    find_kafka,
    is_complete,
)

Script = Callable[[str, str], None]

# Copies what `dependency:copy-dependencies` would, and counts its runs beside itself.
_MAVEN = f"""
echo run >> "$(dirname "$0")/runs"
for option; do case "$option" in -DoutputDirectory=*) libs="${{option#*=}}";; esac; done
mkdir -p "$libs"
echo kafka > "$libs/kafka_2.13-{KAFKA_VERSION}.jar"
echo slf4j > "$libs/slf4j-api.jar"
"""


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(bin_dir: Path) -> dict[str, str]:
    return {"PATH": f"{bin_dir}:/usr/bin:/bin", "JAVA_HOME": str(bin_dir.parent)}


@pytest.fixture
def script(bin_dir: Path) -> Script:
    def write(name: str, body: str) -> None:
        (bin_dir / name).write_text(f"#!/bin/sh\n{body}\n")
        (bin_dir / name).chmod(0o755)

    return write


@pytest.fixture
def _java(script: Script) -> None:
    script("java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")


@pytest.fixture
def maven_runs(bin_dir: Path, script: Script, _java: None) -> Callable[[], int]:
    script("mvn", _MAVEN)
    return lambda: len((bin_dir / "runs").read_text().splitlines())


def test_jars_are_fetched_once(
    tmp_path: Path, environment: dict[str, str], maven_runs: Callable[[], int]
) -> None:
    phases: list[str] = []
    cache = tmp_path / "cache"
    found = find_kafka(cache, environment, phases.append)
    assert found == find_kafka(cache, environment, phases.append)
    assert found.how == "maven"
    assert sorted(jar.name for jar in found.libs.iterdir()) == [
        f"kafka_2.13-{KAFKA_VERSION}.jar",
        "slf4j-api.jar",
    ]
    assert maven_runs() == 1
    assert phases == [f"Fetching Apache Kafka {KAFKA_VERSION} with Maven (44 MB, once)"]


def test_jars_that_are_here_need_no_maven(
    tmp_path: Path, bin_dir: Path, environment: dict[str, str], maven_runs: Callable[[], int]
) -> None:
    find_kafka(tmp_path, environment)
    (bin_dir / "mvn").unlink()
    assert find_kafka(tmp_path, environment | {"PATH": str(bin_dir)}).how == "maven"


@pytest.mark.parametrize("damage", ["jar missing", "jar cut short", "no list", "older list"])
def test_a_damaged_folder_is_fetched_again(
    tmp_path: Path, environment: dict[str, str], maven_runs: Callable[[], int], damage: str
) -> None:
    libs = find_kafka(tmp_path, environment).libs
    match damage:
        case "jar missing":
            (libs / "slf4j-api.jar").unlink()
        case "jar cut short":
            (libs / "slf4j-api.jar").write_text("s")
        case "no list":
            (libs.parent / "jars.json").unlink()
        case "older list":
            (libs.parent / "pom.xml").write_text("<project/>")
    assert not is_complete(libs.parent)
    assert is_complete(find_kafka(tmp_path, environment).libs.parent)
    assert maven_runs() == 2
    assert sorted(path.name for path in tmp_path.glob("*kafka*")) == [
        f"kafka-{KAFKA_VERSION}",
        f"kafka-{KAFKA_VERSION}.lock",
    ]


@pytest.mark.usefixtures("_java")
def test_a_download_that_was_killed_never_looks_complete(
    tmp_path: Path, bin_dir: Path, environment: dict[str, str], script: Script
) -> None:
    script("mvn", _MAVEN + 'echo "[ERROR] connection reset" >&2; exit 1')
    with pytest.raises(KafkaJarsError, match="connection reset"):
        find_kafka(tmp_path, environment)
    assert not is_complete(tmp_path / f"kafka-{KAFKA_VERSION}")

    left_by_kill = tmp_path / f".kafka-{KAFKA_VERSION}-abc" / "kafka" / "libs"
    left_by_kill.mkdir(parents=True)
    script("mvn", _MAVEN)
    find_kafka(tmp_path, environment)
    assert not left_by_kill.exists()


def test_two_at_once_fetch_once(
    tmp_path: Path, environment: dict[str, str], maven_runs: Callable[[], int], script: Script
) -> None:
    script("mvn", _MAVEN + "sleep 0.3")
    both = [threading.Thread(target=find_kafka, args=(tmp_path, environment)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert maven_runs() == 1


def test_a_cache_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, environment: dict[str, str], maven_runs: Callable[[], int]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KafkaJarsError, match=r"Cannot write to the cache folder .*FRESHET_CACHE_DIR"):
        find_kafka(tmp_path / "file", environment)


@pytest.mark.usefixtures("_java")
def test_without_maven_nothing_can_be_fetched(
    tmp_path: Path, bin_dir: Path, environment: dict[str, str]
) -> None:
    with pytest.raises(NotInstalledError, match="no mvn in PATH"):
        find_kafka(tmp_path, environment | {"PATH": str(bin_dir)})


def test_without_java_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="no java in PATH: install Java 17 or newer"):
        find_kafka(tmp_path, {"PATH": str(tmp_path)})


def test_a_wrong_java_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"no java in JAVA_HOME \(/nowhere\)"):
        find_java({"PATH": "/usr/bin", "JAVA_HOME": "/nowhere"})


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("echo 'java version \"1.8.0_402\"' >&2", "is Java 8, and Kafka"),
        ("echo 'openjdk version \"11.0.22\"' >&2", "is Java 11, and Kafka"),
        ("echo 'Unable to locate a Java Runtime.' >&2; exit 1", "does not say its version"),
    ],
)
def test_an_unfit_java_is_named(environment: dict[str, str], script: Script, says: str, reason: str) -> None:
    script("java", says)
    with pytest.raises(NotInstalledError, match=reason):
        find_java(environment)


@pytest.mark.usefixtures("_java")
def test_kafka_home_comes_first(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "kafka" / "libs").mkdir(parents=True)
    (tmp_path / "kafka" / "libs" / "kafka_2.13-4.1.0.jar").write_text("")
    found = find_kafka(tmp_path / "cache", environment | {"KAFKA_HOME": str(tmp_path / "kafka")})
    assert (found.how, found.libs) == ("kafka_home", tmp_path / "kafka" / "libs")


@pytest.mark.parametrize(
    ("jar", "reason"),
    [("readme.txt", "holds no kafka_2.13"), ("kafka_2.13-3.9.1.jar", "holds Kafka 3.9, and 4.0 or newer")],
)
@pytest.mark.usefixtures("_java")
def test_a_wrong_kafka_home_is_no_reason_to_fetch_another(
    tmp_path: Path, environment: dict[str, str], jar: str, reason: str
) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / jar).write_text("")
    with pytest.raises(KafkaJarsError, match=reason) as caught:
        find_kafka(tmp_path / "cache", environment | {"KAFKA_HOME": str(tmp_path)})
    assert not isinstance(caught.value, NotInstalledError)
