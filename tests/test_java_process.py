"""Background processes that are found again and stopped."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from connectors.java_process import find, spawn, terminate


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], tuple[int, str]]]:
    started: list[int] = []

    def run(body: str) -> tuple[int, str]:
        mark = f"mark-{uuid.uuid4().hex}"
        pid = spawn(
            ["/bin/sh", "-c", body, mark], output=tmp_path / "output", environment={"PATH": "/bin:/usr/bin"}
        )
        started.append(pid)
        return pid, mark

    yield run
    for pid in started:
        if psutil.pid_exists(pid):
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_process_runs_in_a_session_of_its_own(run: Callable[[str], tuple[int, str]]) -> None:
    pid, mark = run("sleep 60; :")
    assert find(pid, mark) is not None
    assert os.getsid(pid) == pid != os.getsid(0)


def test_its_output_is_kept(run: Callable[[str], tuple[int, str]], tmp_path: Path) -> None:
    pid, _ = run("echo out; echo err >&2")
    os.waitpid(pid, 0)
    assert (tmp_path / "output").read_text() == "out\nerr\n"


def test_another_process_under_the_same_id_is_not_ours() -> None:
    assert find(os.getpid(), "mark-of-a-process-long-gone") is None


def test_a_process_that_has_ended_is_not_found(run: Callable[[str], tuple[int, str]]) -> None:
    pid, mark = run("sleep 60; :")
    os.killpg(pid, signal.SIGKILL)
    psutil.Process(pid).wait(5)
    assert find(pid, mark) is None


def test_a_zombie_is_not_found(run: Callable[[str], tuple[int, str]]) -> None:
    pid, mark = run(":")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert find(pid, mark) is None


def test_a_process_is_asked_before_it_is_killed(
    run: Callable[[str], tuple[int, str]], tmp_path: Path
) -> None:
    polite, mark = run("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done")
    _wait_for(tmp_path / "output", "ready")
    assert terminate(find(polite, mark), grace_s=5)
    assert (tmp_path / "output").read_text() == "ready\nbye\n"

    deaf, mark = run("trap '' TERM; echo ready; while :; do sleep 0.01; done")
    _wait_for(tmp_path / "output", "ready")
    assert not terminate(find(deaf, mark), grace_s=0.2)
    assert find(deaf, mark) is None


def _wait_for(path: Path, text: str) -> None:
    for _ in range(500):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(f"{text} never came")
