"""Where figures come from: versions and machine. Not a word about the person or the folder."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("freshet", "torch", "numpy", "scipy", "river")
_CPUINFO = Path("/proc/cpuinfo")


def surroundings() -> dict[str, object]:
    """Versions of what computes, and the machine, as far as a figure may depend on it."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_mib() -> float:
    """The most resident memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)


def _cpu() -> str:
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
