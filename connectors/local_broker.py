"""A local Apache Kafka, kept in a folder: started once however often it is asked for, found again, stopped.

Java runs it (jars from `KAFKA_HOME` or fetched by Maven); where there is no Java, Docker does.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

from connectors import docker_kafka, ports
from connectors.file_lock import LockTimeoutError, locked
from connectors.java_process import find, reap, terminate
from connectors.kafka_admin import BrokerUnreachableError, wait_until_ready
from connectors.kafka_client import KafkaClient
from connectors.kafka_jars import KAFKA_VERSION, KafkaJars, KafkaJarsError, NotInstalledError, find_kafka
from connectors.kafka_node import KafkaNode, KafkaNodeError

How = Literal["configured", "kafka_home", "maven", "docker"]

DEFAULT_PORT = 9092
_STARTS = 3
_STOP_GRACE_S = 20.0
_LOCK_TIMEOUT_S = 900.0
_RECORD = "broker.json"


class BrokerError(Exception):
    """The local broker could not be started or stopped; the message says what to do."""


class NoBrokerAvailable(BrokerError):  # noqa: N818 - it reads as what it says
    """Nothing to run a broker with: no Kafka, no Java with Maven, no Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStatus:
    """A broker as it is now.

    Attributes:
        running: Whether it answers.
        bootstrap: Its address, `host:port`.
        pid: Its process, where we started one.
        how: What runs it; None where nothing does.
        data: Where its records are kept.
        log: Its log file.
        ephemeral: Whether stopping it deletes its data.
        notes: Sentences for whoever asked, such as that the usual port was taken.
    """

    running: bool
    bootstrap: str | None = None
    pid: int | None = None
    how: How | None = None
    data: Path | None = None
    log: Path | None = None
    ephemeral: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a call of `start` asks for."""

    ephemeral: bool
    port: int | None
    timeout_s: float
    environment: Mapping[str, str]
    on_phase: Callable[[str], None]


class _Record(msgspec.Struct, kw_only=True):
    """What the next command has to know of the broker that this one started."""

    how: How
    port: int
    ready: bool = False
    pid: int = 0
    mark: str = ""
    home: str = ""
    ephemeral: bool = False
    compose_file: str = ""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"


class LocalBroker:
    """The broker of one folder.

    Any number of these may stand for the same folder, in any number of processes.

    Args:
        folder: What is remembered of the broker, and its data and log unless it is ephemeral.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def start(
        self,
        *,
        ephemeral: bool = False,
        port: int | None = None,
        timeout_s: float = 60.0,
        cache_dir: Path | None = None,
        compose_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        on_phase: Callable[[str], None] = lambda _: None,
    ) -> BrokerStatus:
        """Return when a broker answers: the one that runs already, or a new one.

        Args:
            ephemeral: Keep its data in a temporary folder that `stop` deletes.
            port: Its port on 127.0.0.1; 0 for any free one; None for 9092 or, where that is taken, another.
            timeout_s: How long Kafka may take to answer, in seconds; fetching it does not count.
            cache_dir: Where Maven's jars are kept; the user's cache folder when None.
            compose_file: The project's docker-compose.yml, for machines without Java.
            environment: Variables that the processes started here inherit (`KAFKA_HOME`, `JAVA_HOME`, `PATH`);
                this process's own when None.
            on_phase: Called with a sentence before anything slow.

        Raises:
            NoBrokerAvailable: There is nothing to run a broker with.
            BrokerError: `port` is taken, or Kafka did not start; the message ends with its last words.
        """
        wish = _Wish(ephemeral, port, timeout_s, environment or dict(os.environ), on_phase)
        with self._alone(on_phase):
            running = self.status()
            if running.running:
                return _as_asked(running, wish)
            self._clear()
            cache_dir = cache_dir or Path(platformdirs.user_cache_dir("freshet"))
            try:
                return self._start_java(find_kafka(cache_dir, wish.environment, on_phase), wish)
            except NotInstalledError as no_java:
                why_not = docker_kafka.why_not(compose_file, wish.environment)
                if why_not is not None or compose_file is None:
                    raise NoBrokerAvailable(
                        f"There is no way to run a Kafka broker here. Looked for: KAFKA_HOME, which is not set; "
                        f"Java and Maven: {no_java} Docker: {why_not} Install one of these, or name a broker "
                        f"that runs elsewhere (--bootstrap, FRESHET_BROKER)."
                    ) from no_java
                return self._start_docker(compose_file, wish)
            except (KafkaJarsError, ports.PortTakenError) as error:
                raise BrokerError(str(error)) from error

    def stop(self) -> BrokerStatus:
        """Stop the broker if there is one, and delete the data of an ephemeral one.

        Raises:
            BrokerError: It cannot be stopped.
        """
        with self._alone():
            record = self._read()
            if record is None:
                return BrokerStatus(running=False)
            by_itself = self._clear()
            record.ready = False
            killed = None if by_itself else f"It had to be killed after {_STOP_GRACE_S:.0f} s."
            return _with_notes(self._status_of(record), killed)

    def status(self) -> BrokerStatus:
        """The broker as it is now; one that is still starting does not run yet."""
        record = self._read()
        return BrokerStatus(running=False) if record is None else self._status_of(record)

    def _status_of(self, record: _Record) -> BrokerStatus:
        on_its_port = record.how == "docker" and not ports.is_free(record.port)
        alive = on_its_port or find(record.pid, record.mark) is not None
        running = alive and record.ready
        home = Path(record.home) if record.home else None
        return BrokerStatus(
            running=running,
            bootstrap=record.bootstrap if running else None,
            pid=record.pid if running and record.pid else None,
            how=record.how,
            data=home / "data" if home and home.exists() else None,
            log=home / "logs" / "kafka.log" if home and home.exists() else None,
            ephemeral=record.ephemeral,
        )

    def _start_java(self, jars: KafkaJars, wish: _Wish) -> BrokerStatus:
        for _ in range(_STARTS):
            port, note = ports.choose(wish.port, usual=DEFAULT_PORT)
            wish.on_phase(f"Starting Apache Kafka on 127.0.0.1:{port}")
            record = _Record(
                how=jars.how,
                port=port,
                mark=f"-Dfreshet.broker={uuid.uuid4().hex}",
                home=tempfile.mkdtemp(prefix="freshet-kafka-") if wish.ephemeral else str(self._folder),
                ephemeral=wish.ephemeral,
            )
            node = KafkaNode(
                jars=jars,
                home=Path(record.home),
                port=port,
                controller_port=ports.any_free(apart_from=port),
                mark=record.mark,
                environment=wish.environment,
            )
            try:
                if self._launch(node, record, wish.timeout_s):
                    return _with_notes(self._status_of(record), note)
                self._clear(record)
            except BaseException:  # Ctrl-C too: leave nothing half started
                self._clear(record)
                raise
        raise BrokerError("Other processes kept taking the ports that Kafka was about to use. Try again.")

    def _launch(self, node: KafkaNode, record: _Record, timeout_s: float) -> bool:
        """Start the node and wait for it; False where another process was quicker at its port.

        Raises:
            BrokerError: It did not start for another reason.
        """
        self._write(record)
        try:
            record.pid = node.start()
            self._write(record)
            cluster_id = wait_until_ready(
                KafkaClient(bootstrap=record.bootstrap),
                timeout_s=timeout_s,
                is_alive=lambda: find(record.pid, record.mark) is not None,
            )
            if cluster_id != node.cluster_id:  # a broker answers there, but not ours
                return False
        except (KafkaNodeError, BrokerUnreachableError) as error:
            if record.pid:
                reap(record.pid)
            if node.lost_its_port():
                return False
            last_words = node.last_words()
            raise BrokerError(
                f"Apache Kafka did not start: {error}"
                + (f"\nThe end of its log:\n{last_words}" if last_words else "")
            ) from error
        record.ready = True
        self._write(record)
        return True

    def _start_docker(self, compose_file: Path, wish: _Wish) -> BrokerStatus:
        port, note = ports.choose(wish.port, usual=DEFAULT_PORT)
        wish.on_phase(f"Starting Apache Kafka {KAFKA_VERSION} in Docker on 127.0.0.1:{port}")
        record = _Record(how="docker", port=port, compose_file=str(compose_file.absolute()))
        self._write(record)
        try:
            docker_kafka.up(compose_file, port, wish.environment)
            wait_until_ready(KafkaClient(bootstrap=record.bootstrap), timeout_s=wish.timeout_s)
        except (docker_kafka.DockerKafkaError, BrokerUnreachableError) as error:
            self._clear(record)
            raise BrokerError(f"Apache Kafka did not start in Docker: {error}") from error
        record.ready = True
        self._write(record)
        kept = "Docker keeps the data in a volume: --ephemeral needs Java." if wish.ephemeral else None
        return _with_notes(self._status_of(record), note, kept)

    def _clear(self, record: _Record | None = None) -> bool:
        """Leave nothing of what the record tells of but kept data; False where it had to be killed.

        Raises:
            BrokerError: Docker does not stop it.
        """
        record = record or self._read()
        if record is None:
            return True
        by_itself = True
        if record.how == "docker":
            try:
                docker_kafka.stop(Path(record.compose_file), record.port, dict(os.environ))
            except docker_kafka.DockerKafkaError as error:
                raise BrokerError(f"The broker in Docker cannot be stopped: {error}") from error
        elif process := find(record.pid, record.mark):
            by_itself = terminate(process, grace_s=_STOP_GRACE_S)
        if record.ephemeral:
            shutil.rmtree(record.home, ignore_errors=True)
        (self._folder / _RECORD).unlink(missing_ok=True)
        return by_itself

    @contextmanager
    def _alone(self, on_phase: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """One start or stop at a time, over all processes."""
        with ExitStack() as stack:
            try:
                stack.enter_context(
                    locked(
                        self._folder / "lock",
                        timeout_s=_LOCK_TIMEOUT_S,
                        on_wait=lambda: on_phase(
                            "Waiting for another command that starts or stops this broker"
                        ),
                    )
                )
            except LockTimeoutError as error:
                raise BrokerError(str(error)) from error
            except OSError as error:
                raise BrokerError(
                    f"The broker's folder {self._folder} cannot be used: {error.strerror or error}. "
                    f"Set FRESHET_STATE_DIR to a folder that you can write to."
                ) from error
            yield

    def _read(self) -> _Record | None:
        try:
            return msgspec.json.decode((self._folder / _RECORD).read_bytes(), type=_Record)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.MsgspecError:  # of an older version: Kafka's own lock still guards the data
            return None

    def _write(self, record: _Record) -> None:
        unfinished = self._folder / f"{_RECORD}.new"
        unfinished.write_bytes(msgspec.json.encode(record))
        unfinished.replace(self._folder / _RECORD)


def _as_asked(running: BrokerStatus, wish: _Wish) -> BrokerStatus:
    """The running broker as the answer to another `start`.

    Raises:
        BrokerError: It runs on another port than the one that was asked for.
    """
    if wish.port and running.bootstrap != f"127.0.0.1:{wish.port}":
        raise BrokerError(
            f"The local broker already runs at {running.bootstrap}. To move it to port {wish.port}, stop it "
            f"first (`freshet broker stop`)."
        )
    if wish.ephemeral == running.ephemeral:
        return running
    fate = "deleted when it stops" if running.ephemeral else "kept"
    return _with_notes(running, f"A broker of the other kind already runs: its data is {fate}.")


def _with_notes(status: BrokerStatus, *notes: str | None) -> BrokerStatus:
    return dataclasses.replace(status, notes=tuple(note for note in notes if note))
