"""How other commands find a running worker: a small file in its state folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import psutil

_NAME = "worker.json"
_CLOCK_MAY_JUMP_MS = 60_000


class WorkerCard(msgspec.Struct, frozen=True, kw_only=True):
    """Who works in a state folder: process id, HTTP address, start."""

    pid: int
    http: str
    started_at_ms: int

    @property
    def is_running(self) -> bool:
        """Whether that process is still there, and not another one that got its number after a crash."""
        try:
            created_at_ms: float = psutil.Process(self.pid).create_time() * 1_000.0
        except psutil.NoSuchProcess:
            return False
        return created_at_ms <= float(self.started_at_ms + _CLOCK_MAY_JUMP_MS)


def worker_name() -> str:
    """What this process is called where there are several: its machine and its process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


def write_card(state_dir: Path, card: WorkerCard) -> None:
    """Leave the card."""
    (state_dir / _NAME).write_bytes(msgspec.json.encode(card))


def read_card(state_dir: Path) -> WorkerCard | None:
    """The card that was left, None where there is none that can be read."""
    try:
        return msgspec.json.decode((state_dir / _NAME).read_bytes(), type=WorkerCard)
    except (OSError, msgspec.MsgspecError):
        return None


def remove_card(state_dir: Path) -> None:
    """Take the card away."""
    (state_dir / _NAME).unlink(missing_ok=True)
