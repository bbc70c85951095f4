"""What a person does with the explorer: a real browser, a real worker on a real broker, and simulated shoppers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from browser import browser, needs_chromium, page_of
from builders import event
from playwright.async_api import Browser, Page, expect
from playwright.async_api import TimeoutError as NotYetError

from benchmarks.faults.events import GARBAGE
from benchmarks.faults.place import Place, publish
from benchmarks.shoppers import shoppers
from connectors.event import encode_event
from connectors.kafka_client import KafkaClient
from stream.settings import TopicSettings
from stream.worker_process import WorkerProcess

SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"
HOSTILE = '<img src=x onerror="alert(1)">‮evil'
_SHOPPING_S = 150.0
_PATIENCE_MS = 60_000


@dataclass
class Visit:
    """A page, and where the worker is."""

    page: Page
    url: str

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.url}/#/{path}")

    async def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    async def assert_accessible(self) -> None:
        found = await Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()


@asynccontextmanager
async def shopping(place: Place) -> AsyncIterator[WorkerProcess]:
    """A worker with shoppers who come and go until the end."""
    async with place.worker() as worker:
        await worker.wait_until_ready()
        stop = asyncio.Event()
        _, running = shoppers(place, rate=200.0, duration_s=_SHOPPING_S, stop=stop)
        task = asyncio.create_task(running)
        await publish(place.client, place.topics.events, [(None, value) for value in GARBAGE])
        await place.until(worker, lambda status: status["events_learned"] > 2_000)
        yield worker
        stop.set()
        await task


@needs_chromium
async def test_a_person_explores_a_worker(broker: KafkaClient, topics: TopicSettings, tmp_path: Path) -> None:
    place = Place(broker, topics, tmp_path / "state")
    async with shopping(place) as worker, browser() as chromium:
        url = f"http://{worker.http}"
        async with page_of(chromium, color_scheme="light") as page:
            page.set_default_timeout(_PATIENCE_MS)
            visit = Visit(page, url)
            await numbers_move(visit)
            await a_user_is_found_and_explained(visit)
            await weights_are_explained(visit)
            await a_hostile_id_is_only_a_text(visit, place)
        await pictures_of_everything(chromium, url)


async def numbers_move(visit: Visit) -> None:
    """The overview says which worker this is, and its figures change by themselves."""
    page = visit.page
    await visit.go("overview")
    await expect(page.locator("#worker")).to_contain_text("partitions 0–3 of 4")
    learned = page.locator("dt", has_text="Events learned").locator("xpath=../dd")
    await expect(learned).to_have_text(re.compile(r"\d"))
    before = await learned.inner_text()
    await expect(learned).not_to_have_text(before)
    await expect(
        page.get_by_role("img", name=re.compile(r"Events a second, the last .*: now events \d"))
    ).to_be_visible()
    await expect(page.locator(".chart .line").first).to_be_attached()
    await expect(page.locator("dt", has_text="Dead letters").locator("xpath=../dd")).to_have_text(
        str(len(GARBAGE))
    )
    assert await page.locator("#state").inner_text() == ""
    await page.reload()
    await expect(page.locator(".chart .line").first).to_be_attached(), "the worker remembers the last minutes"


async def somebody_is_shown_why(visit: Visit) -> None:
    """Who has just come has a slate without reasons; of those who are found somebody has been here for longer."""
    page = visit.page
    reason = page.locator(".slate").get_by_text(re.compile("because of"))
    for user in await page.locator(".found li a").all_inner_texts():
        if await reason.count():
            break
        await visit.go(f"users?id={user}")
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"User {user}")
        await expect(page.get_by_role("heading", name="The slate of this moment")).to_be_visible()
    await expect(reason.first).to_be_visible()


async def a_user_is_found_and_explained(visit: Visit) -> None:
    """By keyboard: the search, a slate with its reasons, and on to an item and from there to another user."""
    page = visit.page
    await visit.go("users")
    search = page.get_by_label("The user's id, or how it begins")
    await search.fill("no such user")
    await expect(page.get_by_text("No user begins with that.")).to_be_visible()
    await search.fill("w0-u0")
    await expect(page.locator(".found li").nth(3)).to_be_visible()
    await expect(page.locator(".found li").first).to_contain_text("w0-u0")
    await search.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("User w0-u0")
    await expect(page.get_by_role("heading", name="The slate of this moment")).to_be_visible()
    places = page.locator(".slate > li")
    assert await places.count() > 5
    await somebody_is_shown_why(visit)
    await bars_are_sums(page)
    await page.get_by_label("what differs from the slate's mean").check()
    await expect(page.locator(".parts rect").first).to_be_attached()
    await page.get_by_text("Numbers").click()
    await expect(page.get_by_role("region", name="Parts of the scores")).to_be_visible()
    await expect(page.get_by_role("heading", name="History")).to_be_visible()

    await places.first.get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Item w0-i")
    await expect(page.get_by_role("heading", name="What follows it")).to_be_visible()
    await expect(
        page.get_by_text(re.compile(r"In [\d,]+ of this worker's latest [\d,]+ slates"))
    ).to_be_visible()
    await expect(page.get_by_role("row", name=re.compile("20 years"))).to_be_visible()
    await page.get_by_role("table").last.get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("User w0-u")
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Item w0-i")


async def bars_are_sums(page: Page) -> None:
    """What is said of each bar: the score beside it is the sum of the parts that it shows."""
    scores = await page.locator(".slate > li > .num").all_inner_texts()
    bars = await page.locator(".slate .parts").all()
    assert len(scores) == len(bars)
    for score, bar in zip(scores, bars, strict=True):
        said = await bar.get_attribute("aria-label")
        assert said is not None
        total, parts = said.replace("−", "-").split(" is the sum of ")
        assert total == score.replace("−", "-")
        summed = sum(float(part.rpartition(" ")[2]) for part in parts.split(", "))
        assert abs(summed - float(total)) < 0.005 * (parts.count(",") + 2)


async def weights_are_explained(visit: Visit) -> None:
    page = visit.page
    await visit.go("learning")
    await expect(page.get_by_role("row", name=re.compile("^click .* because"))).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile("Task weights, .*click"))).to_be_visible()
    await expect(page.get_by_role("heading", name="Drift")).to_be_visible()


async def a_hostile_id_is_only_a_text(visit: Visit, place: Place) -> None:
    """Anybody may name a user or an item; a name never becomes a part of the page."""
    page = visit.page
    now_ms = await page.evaluate("Date.now()")
    hostile = event(HOSTILE, HOSTILE, "click", event_id="hostile", occurred_at_ms=int(now_ms))
    await publish(place.client, place.topics.events, [(HOSTILE.encode(), encode_event(hostile))])
    await visit.go("users")
    search = page.get_by_label("The user's id, or how it begins")
    found = page.locator(".found li").filter(has_text="<img src=x")  # the list of before stays for a moment
    for _ in range(30):
        await search.fill("<")
        with suppress(NotYetError):
            await found.wait_for(timeout=1_000)
            break
        await search.fill("")
    await expect(found).to_be_visible()
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("User <img src=x onerror=")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(r"\u{202e}evil")
    assert await page.locator("main img").count() == 0
    await page.get_by_role("table").get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Item <img src=x")


async def pictures_of_everything(chromium: Browser, url: str) -> None:
    """Light, dark and on a phone: nothing is wider than the screen, and axe finds nothing."""
    looks = (
        ("light", "light", 1200),
        ("dark", "dark", 1200),
        ("phone", "light", 390),
        ("phone-dark", "dark", 360),
    )
    for look, scheme, width in looks:
        options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
        async with page_of(chromium, **options) as page:
            page.set_default_timeout(_PATIENCE_MS)
            visit = Visit(page, url)
            await visit.go("overview")
            await expect(page.locator(".chart .line").first).to_be_attached()
            await finish(visit, f"overview-{look}", width)
            await visit.go("users")
            await page.locator(".found a", has_text="w0-").first.click()
            await expect(page.get_by_role("heading", name="History")).to_be_visible()
            await finish(visit, f"user-{look}", width)
            await page.locator(".slate > li").first.get_by_role("link").first.click()
            await expect(page.get_by_role("heading", name="What follows it")).to_be_visible()
            await finish(visit, f"item-{look}", width)
            await visit.go("learning")
            await expect(page.get_by_role("row", name=re.compile("^click")).first).to_be_visible()
            await finish(visit, f"learning-{look}", width)


async def finish(visit: Visit, name: str, width: int) -> None:
    await visit.picture(name)
    assert await visit.page.evaluate("document.documentElement.scrollWidth") <= width, name
    await visit.assert_accessible()
