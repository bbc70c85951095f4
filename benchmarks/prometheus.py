"""A real Prometheus for as long as a `with` block lasts, with the very configuration and rules that are shipped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from connectors.ports import any_free

SHIPPED = Path(__file__).parent.parent / "docker" / "prometheus"
_STARTS_WITHIN_S = 60.0
_STOPS_WITHIN_S = 20.0


class PrometheusError(Exception):
    """It is not installed, did not start, or refused a query; the message says which."""


def installed(program: str) -> str:
    """Where a program of Prometheus's is.

    Raises:
        PrometheusError: Nowhere.
    """
    found = shutil.which(program)
    if found is None:
        raise PrometheusError(f"{program} is not installed; Debian's package is called prometheus.")
    return found


class Prometheus:
    """Scrapes workers.

    Args:
        folder: An empty one, for its data.
        targets: `host:port` of the workers.
        every_s: Between two scrapes, and two evaluations of the rules.
        rules: Where the rules lie, if they are not the shipped ones.
    """

    def __init__(
        self, folder: Path, targets: Sequence[str], *, every_s: int = 1, rules: Path = SHIPPED
    ) -> None:
        self._folder, self._targets, self._every_s = folder, list(targets), every_s
        self._rules = rules
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        """Where it answers."""

    def __enter__(self) -> Self:
        program = installed("prometheus")
        port = any_free()
        self.url = f"http://127.0.0.1:{port}"
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self._configuration()}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _configuration(self) -> Path:
        """The shipped one, but for what is scraped and how often."""
        configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        every = f"{self._every_s}s"
        configuration["global"] = {"scrape_interval": every, "evaluation_interval": every}
        configuration["rule_files"] = [str(self._rules / pattern) for pattern in configuration["rule_files"]]
        [freshet] = [job for job in configuration["scrape_configs"] if job["job_name"] == "freshet"]
        freshet["static_configs"] = [{"targets": self._targets}]
        configuration["scrape_configs"] = [freshet]
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(configuration))
        return path

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5.0):
                    return
            except OSError:
                time.sleep(0.1)
        log = (self._folder / "prometheus.log").read_text(errors="replace")
        if self._process.poll() is None:
            self.__exit__(None, None, None)
        raise PrometheusError(f"Prometheus did not start:\n{log[-2000:]}")


def ask(url: str, path: str, **parameters: str) -> Any:
    """What the Prometheus at `url` answers to a request of its API, such as `query`.

    Raises:
        PrometheusError: It refuses, and says why.
    """
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(address, timeout=30.0) as answer:
            return json.loads(answer.read())["data"]
    except urllib.error.HTTPError as error:
        raise PrometheusError(
            f"{path} {parameters}: {json.loads(error.read()).get('error', error.reason)}"
        ) from error


def required() -> bool:
    """Whether a missing Prometheus is an error: where everything is checked, on CI."""
    return os.environ.get("CI") == "true"
