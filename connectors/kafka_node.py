"""One Kafka process that is broker and controller at once: its files, its command line, its log."""

from __future__ import annotations

import base64
import shutil
import string
import subprocess
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from connectors.java_process import spawn
from connectors.kafka_jars import KafkaJars

_FORMAT_TIMEOUT_S = 60.0
_TAIL_LINES = 15
_TAIL_BYTES = 65_536
# Small heap, one collector thread, no optimising compiler: it starts in two seconds and takes 350 MB.
_JVM = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")


class KafkaNodeError(Exception):
    """The node cannot be prepared or started; the message ends with what Kafka said."""


class KafkaNode:
    """A node in a folder of its own.

    Args:
        jars: What to run.
        home: The folder: configuration, `data/` and `logs/`.
        port: Port for clients, on 127.0.0.1.
        controller_port: Port on which the node speaks to itself; it may be another at each start.
        mark: An argument that tells this process from all others.
        environment: Environment variables of the process.
    """

    def __init__(
        self,
        *,
        jars: KafkaJars,
        home: Path,
        port: int,
        controller_port: int,
        mark: str,
        environment: Mapping[str, str],
    ) -> None:
        self._jars = jars
        self._home = home
        self._port = port
        self._controller_port = controller_port
        self._mark = mark
        self._environment = environment
        self._old_log_bytes = 0
        self.data = home / "data"
        self.log = home / "logs" / "kafka.log"
        self._output = home / "logs" / "start.log"

    @property
    def cluster_id(self) -> str:
        """What the data folder was formatted as; it says whether a broker that answers is this one."""
        for line in (self.data / "meta.properties").read_text(encoding="latin-1").splitlines():
            if line.startswith("cluster.id="):
                return line.removeprefix("cluster.id=").strip()
        raise KafkaNodeError(f"{self.data} is not a Kafka data folder any more: remove it to start anew.")

    def start(self) -> int:
        """Write the configuration, format the data folder if it is new, and start the process.

        Returns:
            The process id. It takes seconds until the broker answers.

        Raises:
            KafkaNodeError: The folder cannot be formatted or Java cannot be run.
        """
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            (self._home / "log4j2.properties").write_text(
                _runtime_file("log4j2.properties"), encoding="utf-8"
            )
            self._write_properties("server.properties", self.data)
            if not (self.data / "meta.properties").exists():
                self._format()
            self._old_log_bytes = self.log.stat().st_size if self.log.exists() else 0
            return spawn(
                [*self._java(), "kafka.Kafka", str(self._home / "server.properties")],
                output=self._output,
                environment=self._environment,
            )
        except OSError as error:
            raise KafkaNodeError(f"Apache Kafka cannot be started in {self._home}: {error}.") from error

    def lost_its_port(self) -> bool:
        """Whether this start failed because another process took a port between our look and Kafka's."""
        return "Address already in use" in self._said()

    def last_words(self) -> str:
        """The end of what this start logged, a few lines."""
        lines = [line for line in self._said().splitlines() if line.strip()]
        return "\n".join(lines[-_TAIL_LINES:])

    def _format(self) -> None:
        """Make the data folder, under another name until it is whole."""
        unfinished = self._home / "data.unfinished"
        if unfinished.exists():  # of a start that was interrupted
            shutil.rmtree(unfinished)
        properties = self._write_properties("format.properties", unfinished)
        # Kafka's own spelling of a random id: 22 characters, the first of them no dash.
        cluster_id = "f" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id]
        try:
            done = subprocess.run(
                [*command, "-c", str(properties)],
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_FORMAT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KafkaNodeError(
                f"Kafka's data folder was not made within {_FORMAT_TIMEOUT_S:.0f} s."
            ) from error
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL_LINES:])
            raise KafkaNodeError(f"Kafka's data folder {self.data} cannot be made:\n{said}")
        unfinished.rename(self.data)
        properties.unlink()

    def _java(self) -> list[str]:
        return [
            str(self._jars.java),
            *_JVM,
            f"-XX:ErrorFile={self._output.with_name('java-crash.log')}",
            f"-Dlog4j2.configurationFile={self._home / 'log4j2.properties'}",
            f"-Dfreshet.log={self.log}",
            self._mark,
            "-cp",
            self._jars.classpath,
        ]

    def _write_properties(self, name: str, data: Path) -> Path:
        path = self._home / name
        template = string.Template(_runtime_file("server.properties"))
        values = {"port": self._port, "controller_port": self._controller_port, "data": _escaped(str(data))}
        # The comment on top speaks of a `$name` that nobody fills in.
        path.write_text(template.safe_substitute(values), encoding="ascii")
        return path

    def _said(self) -> str:
        """What this start has written so far; Java's own complaints first."""
        said = self._output.read_text(encoding="utf-8", errors="replace") if self._output.exists() else ""
        if self.log.exists():
            size = self.log.stat().st_size
            new_from = self._old_log_bytes if size >= self._old_log_bytes else 0  # it has rolled over
            with self.log.open("rb") as log:
                log.seek(max(new_from, size - _TAIL_BYTES))
                said += log.read().decode("utf-8", errors="replace")
        return said


def _runtime_file(name: str) -> str:
    return (resources.files("connectors") / "kafka_runtime" / name).read_text(encoding="utf-8")


def _escaped(text: str) -> str:
    """The text as a value in a properties file, which Kafka reads as Latin-1 with escapes for the rest."""
    units = memoryview(text.encode("utf-16-be")).cast("B")
    codes = [high << 8 | low for high, low in zip(units[::2], units[1::2], strict=True)]
    return "".join(
        chr(code) if 32 <= code < 127 and code != ord("\\") else f"\\u{code:04x}" for code in codes
    )
