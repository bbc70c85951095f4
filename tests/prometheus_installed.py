"""Tests that need Debian's prometheus and promtool: skipped where these are not installed, but not on CI."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.prometheus import required

MISSING = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]

needs_prometheus = pytest.mark.skipif(
    bool(MISSING) and not required(),
    reason=f"{' and '.join(MISSING)} not installed: apt-get install prometheus; required with CI=true",
)
