"""py-spy beside a process: stacks of all threads that work, a hundred times a second."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

_PER_S = 100
_TITLE = re.compile(r'(id="title"[^>]*>)[^<]*')


class Profiler:
    """Samples a process until it is stopped.

    Samples are taken without stopping the process, so a few are torn, which py-spy leaves out.

    Args:
        pid: The process: this one or a child.
        file: Where to; a flame graph where it ends in `.svg`, else one line a stack with its number of samples.

    Raises:
        FileNotFoundError: py-spy is not installed.
    """

    def __init__(self, pid: int, file: Path) -> None:
        kind = "flamegraph" if file.suffix == ".svg" else "raw"
        places = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)))
        program = shutil.which("py-spy", path=places)
        if program is None:
            raise FileNotFoundError("py-spy is not installed; `make setup` installs it")
        command = [program, "record", "--pid", str(pid)]
        options = [
            "--rate",
            str(_PER_S),
            "--nonblocking",
            "--function",
            "--format",
            kind,
            "--output",
            str(file),
        ]
        self._file = file
        self._process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
        )

    def stop(self) -> None:
        """Write the file.

        Raises:
            RuntimeError: py-spy could not; where the system allows nobody to look into processes, say.
        """
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGINT)
        if self._process.wait():
            raise RuntimeError(f"py-spy ended with exit code {self._process.returncode}")
        if self._file.suffix == ".svg":  # whose title is py-spy's command line
            self._file.write_text(_TITLE.sub(r"\1Where the time goes", self._file.read_text()))
