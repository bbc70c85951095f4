"""An Apache Kafka to run: the one in `KAFKA_HOME`, else the jars that Maven fetches once.

A fetched folder is never half there: jars arrive in a temporary folder that is renamed when all of them have
come, with a list of their names and sizes. A folder that differs from its list is fetched again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from connectors.file_lock import LockTimeoutError, locked

KAFKA_VERSION = "4.3.0"
_OLDEST_KAFKA = (4, 0)
_OLDEST_JAVA = 17
_MANIFEST = "jars.json"
_FETCH_TIMEOUT_S = 900.0


class KafkaJarsError(Exception):
    """There is something to run Kafka with, but it cannot be used; the message says what to do."""


class NotInstalledError(KafkaJarsError):
    """Java or Maven is not here: another way to a broker may do."""


@dataclass(frozen=True, slots=True)
class KafkaJars:
    """What it takes to start Kafka's Java classes."""

    java: Path
    libs: Path
    how: Literal["kafka_home", "maven"]

    @property
    def classpath(self) -> str:
        """Every jar of the folder, in Java's own spelling."""
        return f"{self.libs}/*"


def find_kafka(
    cache_dir: Path, environment: Mapping[str, str], on_phase: Callable[[str], None] = lambda _: None
) -> KafkaJars:
    """A Kafka that is ready to start, fetched where need be.

    Args:
        cache_dir: Where fetched jars are kept (44 MB).
        environment: `KAFKA_HOME`, `JAVA_HOME` and `PATH` are looked at; Maven is given all of it.
        on_phase: Called with a sentence before anything slow.

    Raises:
        NotInstalledError: Neither `KAFKA_HOME` nor Java with Maven.
        KafkaJarsError: A `KAFKA_HOME` without Kafka 4 in it, or a download that failed.
    """
    home = environment.get("KAFKA_HOME")
    if home:
        libs = _libs_of(Path(home))
        try:
            return KafkaJars(find_java(environment), libs, "kafka_home")
        except NotInstalledError as error:
            raise KafkaJarsError(f"KAFKA_HOME is set, but {error}") from error
    java = find_java(environment)
    folder = cache_dir / f"kafka-{KAFKA_VERSION}"
    if not is_complete(folder):
        _fetch_once(folder, environment, on_phase)
    return KafkaJars(java, folder / "libs", "maven")


def find_java(environment: Mapping[str, str]) -> Path:
    """The `java` of `JAVA_HOME`, else of `PATH`.

    Raises:
        NotInstalledError: There is none, it does not run, or it is older than 17.
    """
    home = environment.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin") if home else environment.get("PATH", ""))
    place = f"JAVA_HOME ({home})" if home else "PATH"
    if found is None:
        raise NotInstalledError(f"there is no java in {place}: install Java {_OLDEST_JAVA} or newer.")
    try:
        asked = subprocess.run(
            [found, "-version"],
            capture_output=True,
            text=True,
            timeout=30,
            env=dict(environment),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(
            f"{found} does not run ({error}): install Java {_OLDEST_JAVA} or newer."
        ) from error
    version = re.search(r'version "(?:1\.)?(\d+)', asked.stdout + asked.stderr)
    if asked.returncode != 0 or version is None:
        # macOS ships a `java` that only says where to get one.
        raise NotInstalledError(f"{found} does not say its version: install Java {_OLDEST_JAVA} or newer.")
    if int(version[1]) < _OLDEST_JAVA:
        raise NotInstalledError(
            f"{found} is Java {version[1]}, and Kafka {KAFKA_VERSION} needs {_OLDEST_JAVA} or newer: "
            f"install one and point JAVA_HOME to it."
        )
    return Path(found).absolute()


def is_complete(folder: Path) -> bool:
    """Whether the folder holds what today's `pom.xml` names, each jar in its full size."""
    try:
        sizes = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=dict[str, int])
        same_pom = (folder / "pom.xml").read_text(encoding="utf-8") == _pom()
        return (
            same_pom
            and bool(sizes)
            and all((folder / "libs" / n).stat().st_size == s for n, s in sizes.items())
        )
    except (OSError, msgspec.DecodeError):
        return False


def _pom() -> str:
    return (resources.files("connectors") / "kafka_runtime" / "pom.xml").read_text(encoding="utf-8")


def _libs_of(home: Path) -> Path:
    """The jars of a Kafka that somebody unpacked.

    Raises:
        KafkaJarsError: It holds no Kafka, or one older than 4.0.
    """
    libs = home.expanduser().absolute() / "libs"
    versions = [
        (int(match[1]), int(match[2]))
        for jar in libs.glob("kafka_2.*.jar")
        if (match := re.search(r"-(\d+)\.(\d+)[^-]*\.jar$", jar.name))
    ]
    if not versions:
        raise KafkaJarsError(
            f"KAFKA_HOME is {home}, but {libs} holds no kafka_2.13-....jar: "
            f"point KAFKA_HOME to an unpacked Apache Kafka, or unset it."
        )
    if max(versions) < _OLDEST_KAFKA:
        raise KafkaJarsError(
            f"KAFKA_HOME holds Kafka {'.'.join(map(str, max(versions)))}, and 4.0 or newer is needed: "
            f"point it to a newer one, or unset it."
        )
    return libs


def _fetch_once(folder: Path, environment: Mapping[str, str], on_phase: Callable[[str], None]) -> None:
    """Let one process fetch while the others wait for it."""
    maven = shutil.which("mvn", path=environment.get("PATH", ""))
    if maven is None:
        raise NotInstalledError("there is no mvn in PATH to fetch Apache Kafka with: install Apache Maven.")
    try:
        with locked(
            folder.parent / f"{folder.name}.lock",
            timeout_s=_FETCH_TIMEOUT_S,
            on_wait=lambda: on_phase("Waiting for another process that fetches Apache Kafka"),
        ):
            if not is_complete(folder):
                _fetch(maven, folder, environment, on_phase)
    except LockTimeoutError as error:
        raise KafkaJarsError(f"{error} Stop it, then try again.") from error
    except OSError as error:
        raise KafkaJarsError(
            f"Cannot write to the cache folder {folder.parent}: {error.strerror or error}. "
            f"Set FRESHET_CACHE_DIR to a folder that you can write to."
        ) from error


def _fetch(maven: str, folder: Path, environment: Mapping[str, str], on_phase: Callable[[str], None]) -> None:
    on_phase(f"Fetching Apache Kafka {KAFKA_VERSION} with Maven (44 MB, once)")
    prefix = f".{folder.name}-"
    for abandoned in folder.parent.glob(f"{prefix}*"):  # we hold the lock: nobody is at work there
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as work:
        arriving = Path(work) / "kafka"
        arriving.mkdir()
        (arriving / "pom.xml").write_text(_pom(), encoding="utf-8")
        _run_maven(maven, arriving, environment)
        sizes = {jar.name: jar.stat().st_size for jar in sorted((arriving / "libs").glob("*.jar"))}
        if f"kafka_2.13-{KAFKA_VERSION}.jar" not in sizes:
            raise KafkaJarsError("Maven said it fetched Apache Kafka, but its jars did not come. Try again.")
        (arriving / _MANIFEST).write_bytes(msgspec.json.encode(sizes))
        if folder.exists():
            folder.rename(Path(work) / "damaged")
        arriving.rename(folder)


def _run_maven(maven: str, folder: Path, environment: Mapping[str, str]) -> None:
    # Quiet, unattended, and with checksums that must agree.
    command = [maven, "-q", "-B", "-C", "-Dstyle.color=never", "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder / 'libs'}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaJarsError(
            f"Maven did not fetch Apache Kafka within {_FETCH_TIMEOUT_S:.0f} s. "
            f"Look at the network and try again."
        ) from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).splitlines()
        reasons = [line.removeprefix("[ERROR] ").strip() for line in output if line.startswith("[ERROR] ")]
        reason = next(
            (line for line in reasons if line), output[-1] if output else f"exit code {done.returncode}"
        )
        raise KafkaJarsError(
            f"Maven could not fetch Apache Kafka: {reason} "
            f"(Behind a proxy or without a network, set KAFKA_HOME to an unpacked Apache Kafka.)"
        )
