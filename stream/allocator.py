"""What memory does between steps: glibc keeps large temporaries, and the collector leaves alone what stays."""

from __future__ import annotations

import ctypes
import gc
import platform

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024  # glibc refuses more
_TRIM_THRESHOLD = 512 * 1024 * 1024
_SEARCH_EVERY = 20_000  # objects more than have gone; slates and their places are more than 700 in each step


def keep_temporaries() -> bool:
    """Let freed blocks stay with the process; returns whether the C library knows how.

    A step frees and asks again for the same few megabytes. By default glibc maps and unmaps them each time,
    and every first touch of a page is a fault: several times the cost of the arithmetic on it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        and libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
    )


def leave_alone() -> None:
    """Tell the collector that everything there is by now stays: libraries, compiled loops, loaded state.

    Every slate makes some hundred lists. They go away by themselves, but each few thousand of them begin a search for
    cycles, and a search of everything that was imported takes a tenth of a second, while the stream waits.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SEARCH_EVERY)
