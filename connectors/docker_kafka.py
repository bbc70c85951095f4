"""The `kafka` service of the project's docker-compose.yml, for machines without Java."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_SERVICE = "kafka"
_ASK_TIMEOUT_S = 15.0
_UP_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 60.0


class DockerKafkaError(Exception):
    """Docker is there but did not do it; the message ends with what Docker said."""


def why_not(compose_file: Path | None, environment: Mapping[str, str]) -> str | None:
    """Why Docker cannot run the broker, None where it can.

    Args:
        compose_file: The project's docker-compose.yml, None where the project was installed without it.
        environment: `PATH` is looked at; Docker is given all of it.
    """
    docker = shutil.which("docker", path=environment.get("PATH", ""))
    if docker is None:
        return "there is no docker in PATH."
    if compose_file is None or not compose_file.is_file():
        return "the project's docker-compose.yml is not here (it stands in the source checkout)."
    for command, absent in (
        (["info"], "its engine does not answer (`docker info`)."),
        (["compose", "version"], "it has no compose plugin (`docker compose version`)."),
    ):
        try:
            _run([docker, *command], environment, _ASK_TIMEOUT_S)
        except DockerKafkaError:
            return absent
    return None


def up(compose_file: Path, port: int, environment: Mapping[str, str]) -> None:
    """Start the service and return when its health check passes.

    Args:
        compose_file: The project's docker-compose.yml.
        port: Port of 127.0.0.1 that clients will use.
        environment: Environment of the docker client.

    Raises:
        DockerKafkaError: It did not start.
    """
    _compose(compose_file, ["up", "-d", "--wait", _SERVICE], port, environment, _UP_TIMEOUT_S)


def stop(compose_file: Path, port: int, environment: Mapping[str, str]) -> None:
    """Stop the service; its volume stays.

    Raises:
        DockerKafkaError: It did not stop.
    """
    _compose(compose_file, ["stop", _SERVICE], port, environment, _STOP_TIMEOUT_S)


def _compose(
    compose_file: Path, command: list[str], port: int, environment: Mapping[str, str], timeout_s: float
) -> None:
    docker = shutil.which("docker", path=environment.get("PATH", ""))
    if docker is None:
        raise DockerKafkaError("The broker runs in Docker, but there is no docker in PATH any more.")
    _run(
        [docker, "compose", "-f", str(compose_file), *command],
        {**environment, "KAFKA_PORT": str(port)},
        timeout_s,
    )


def _run(command: list[str], environment: Mapping[str, str], timeout_s: float) -> None:
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DockerKafkaError(f"Docker did not answer: {error}.") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise DockerKafkaError(f"`{' '.join(command[1:])}` failed:\n" + "\n".join(said[-10:]))
