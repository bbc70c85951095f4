"""A worker in a process of its own, for as long as a `with` block lasts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stream.local_http import asked
from stream.worker_card import WorkerCard, read_card

_STARTS_WITHIN_S = 240.0  # the first start on a machine compiles
_STOPS_WITHIN_S = 30.0
_PATIENCE_S = 5.0
_LOG_LINES = 15


class WorkerFailedError(Exception):
    """The worker did not start or has stopped; the message holds the end of its log."""


ANY_PORT = "127.0.0.1:0"
"""Where a worker serves that nobody else has to find: at a port that is free."""


class WorkerProcess:
    """`freshet worker` as a child process that cannot outlive its parent's `with` block.

    Args:
        state_dir: Its state folder; its log goes there too.
        environment: `FRESHET_...` variables beside those of this process.
        http: Where it serves metrics and status.
        config: Its settings file; as with `freshet worker` where none is given.
    """

    def __init__(
        self,
        state_dir: Path,
        environment: Mapping[str, str],
        *,
        http: str = ANY_PORT,
        config: Path | None = None,
    ) -> None:
        self._state_dir = state_dir
        self._options = [] if config is None else ["--config", str(config)]
        self._address = http
        self.log = state_dir / "worker.log"
        self._environment = {
            **os.environ,
            **environment,
            "FRESHET_STATE_DIR": str(state_dir),
            "TORCHINDUCTOR_CACHE_DIR": str(state_dir / "torch"),  # else torch leaves a folder in /tmp behind
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._card: WorkerCard | None = None

    async def __aenter__(self) -> Self:
        self._state_dir.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream.cli.main", *self._options, "worker", "--http", self._address],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, _STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()

    @property
    def pid(self) -> int:
        """The process.

        Raises:
            WorkerFailedError: It was not started.
        """
        if self._process is None:
            raise WorkerFailedError("The worker was not started.")
        return self._process.pid

    @property
    def http(self) -> str | None:
        """Where it serves metrics and status, once it does."""
        return self._card.http if self._card is not None else None

    async def wait_until_ready(self) -> None:
        """Return when partitions are assigned.

        Raises:
            WorkerFailedError: It stopped, or did not get ready in time.
        """
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline:
            self.check()
            card = read_card(self._state_dir)
            if card is not None and self._process is not None and card.pid == self._process.pid:
                self._card = card  # not the one that a killed worker left
            if self._card is not None and await self.ask("/readyz") is not None:
                return
            await asyncio.sleep(0.1)
        raise WorkerFailedError(
            f"The worker was not ready after {_STARTS_WITHIN_S:.0f} s.\n{self._last_lines()}"
        )

    def check(self) -> None:
        """Raise `WorkerFailedError` when it has stopped by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise WorkerFailedError(
                f"The worker stopped (exit {self._process.returncode}).\n{self._last_lines()}"
            )

    async def ask(self, path: str) -> dict[str, Any] | None:
        """What it answers over HTTP; None where it does not answer, or not with 200."""
        if self._card is None:
            return None
        try:
            return await asyncio.to_thread(asked, self._card.http, path, _PATIENCE_S)
        except (OSError, ValueError):
            return None

    def _last_lines(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])
