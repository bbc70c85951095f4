"""What was compiled is found again, and never outlives a source that it was made from."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learners import compiled

_CALLER = """\
from learners.compiled import compiled
from learners.callee import inner


@compiled
def outer(x):
    return inner(x) + 1
"""

_CALLEE = """\
from learners.compiled import compiled


@compiled
def inner(x):
    return x * {factor}
"""


def run(folder: Path, factor: int) -> tuple[int, bool]:
    """What `outer(5)` is in a process of its own, and whether it was found on disk."""
    (folder / "learners" / "callee.py").write_text(_CALLEE.format(factor=factor))
    program = "from learners.caller import outer; print(outer(5), len(outer.stats.cache_hits))"
    found = subprocess.run(
        # Python's own cache knows a source by its size and the second of its last change: too coarse here.
        [sys.executable, "-B", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    value, hits = found.stdout.split()
    return int(value), hits != "0"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "learners").mkdir()
    (tmp_path / "learners" / "__init__.py").write_text("")
    (tmp_path / "learners" / "caller.py").write_text(_CALLER)
    shutil.copy(compiled.__file__, tmp_path / "learners" / "compiled.py")
    return tmp_path


def test_a_loop_is_compiled_anew_when_what_it_calls_has_changed_and_only_then(package: Path) -> None:
    assert run(package, factor=2) == (11, False)
    assert run(package, factor=2) == (11, True)
    assert run(package, factor=3) == (16, False)


def test_the_stamp_follows_the_sources_that_compile_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    loop, other = tmp_path / "inside" / "loop.py", tmp_path / "other.py"
    loop.write_text("from learners.compiled import compiled\n")
    other.write_text("x = 1\n")
    first = compiled.sources_stamp(tmp_path)
    other.write_text("x = 2\n")
    assert compiled.sources_stamp(tmp_path) == first
    loop.write_text("from learners.compiled import compiled  # and more\n")
    assert compiled.sources_stamp(tmp_path) != first
