"""A real browser: Debian's chromium, driven by Playwright. Without it tests are skipped, but not on CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true",
    reason="chromium is not installed: apt-get install chromium; required with CI=true",
)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """The browser, without a window. As root it has no sandbox: it opens nothing but our own page."""
    assert CHROMIUM is not None, "CI needs Debian's chromium"
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield started
        await started.close()


@asynccontextmanager
async def page_of(started: Browser, **options: Any) -> AsyncIterator[Page]:
    """A page; whatever it complains about on its console fails the test in the end."""
    page = await started.new_page(**options)
    complaints: list[str] = []
    page.on(
        "console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    yield page
    await page.close()
    assert complaints == []
