"""One process at a time: a lock on a file, which the system gives back when its holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.05


class LockTimeoutError(Exception):
    """Another process held the lock for longer than we were ready to wait."""


@contextmanager
def locked(path: Path, *, timeout_s: float, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock for the length of a `with` block.

    Threads of one process exclude each other too. The file stays: removing it would let two holders in.

    Args:
        path: The lock file; its folder is made where it is missing.
        timeout_s: How long to wait for another holder, in seconds.
        on_wait: Called once when there is another holder.

    Raises:
        LockTimeoutError: The other holder did not let go in time.
        OSError: The file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        waiting = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise LockTimeoutError(
                        f"Another process has held {path} for more than {timeout_s:.0f} s."
                    ) from None
                if not waiting:
                    waiting = True
                    on_wait()
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
