"""A background process that outlives us: started in a session of its own, found again, and stopped."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_KILL_WAIT_S = 5.0
_ARGUMENTS_WAIT_S = 5.0


def spawn(argv: Sequence[str], *, output: Path, environment: Mapping[str, str]) -> int:
    """Start a process that neither Ctrl-C in this terminal nor our own end will stop.

    `subprocess.Popen` would warn of a child still running as soon as its object is collected; this one is
    meant to run on.

    Args:
        argv: The program, by its absolute path, and its arguments.
        output: File for its standard output and error, written anew.
        environment: Its environment variables.

    Returns:
        Its process id.

    Raises:
        OSError: The program cannot be run.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    _wait_for_arguments(pid)
    return pid


def _wait_for_arguments(pid: int) -> None:
    """Linux lets us go on a moment before the new program's arguments, by which it is found, can be read."""
    deadline = time.monotonic() + _ARGUMENTS_WAIT_S
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended already
        while not psutil.Process(pid).cmdline() and time.monotonic() < deadline:
            time.sleep(0.001)


def find(pid: int, mark: str) -> Any | None:
    """The living process with this id and this argument, as a `psutil.Process`.

    Process ids are given out again. A random argument, unlike a name or a start time (which moves with the
    system's clock), belongs to one start of one process only.

    Args:
        pid: Process id, perhaps remembered from before a restart of the machine.
        mark: An argument that only the process meant was started with.

    Returns:
        The process; None where it has ended, is a zombie, or is some other process.
    """
    try:
        process = psutil.Process(pid)
        return process if mark in process.cmdline() else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def reap(pid: int) -> None:
    """Collect a child of ours that may have ended by itself, so that no zombie of it stays."""
    with contextlib.suppress(ChildProcessError):  # already collected
        os.waitpid(pid, os.WNOHANG)


def terminate(process: Any, *, grace_s: float) -> bool:
    """Ask the process to stop, and make it stop when it does not.

    Args:
        process: A `psutil.Process`.
        grace_s: Seconds between SIGTERM and SIGKILL.

    Returns:
        Whether it stopped by itself.
    """
    try:
        process.terminate()
        process.wait(grace_s)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        try:
            process.kill()
            process.wait(_KILL_WAIT_S)
        except psutil.NoSuchProcess:
            return True
        return False
    return True
