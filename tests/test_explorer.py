"""What the explorer says of users and items is what is known, and looking at it changes nothing."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from aiohttp import ClientSession
from builders import NOW_MS, event, numbered, records
from fakes import Diary, MemoryPublisher, processor
from hatchling.builders.wheel import WheelBuilder

from connectors.event import Event
from connectors.recommendation import Recommendation
from monitoring.recent_slates import MadeSlate, RecentSlates
from stream.assembly import build_processor
from stream.engine import Engine, EngineConfig
from stream.explorer import explorer as explorer_module
from stream.explorer.explorer import Explorer
from stream.explorer.item_page import item_page
from stream.explorer.recent_history import RecentHistory
from stream.explorer.routes import LONGEST, routes, web_files
from stream.explorer.user_page import MOST_PENDING, user_page
from stream.http_server import HttpServer, Views
from stream.observer import WorkerObserver, worker_metrics
from stream.processor import Processor
from stream.settings import load

TRYING = {"exploration": 0.3, "new_share": 0.2, "slate_size": 6}


def shop(first: int = 0, rounds: int = 60) -> list[Event]:
    """Eight users who are shown some of twenty items, and choose a few."""
    made = []
    for n in range(first, first + rounds):
        at_ms = NOW_MS + 1_000 * n
        for place, item in enumerate((n % 20, 3 * n % 20, 7 * n % 20)):
            made.append(event(f"u{n % 8}", f"i{item}", "impression", occurred_at_ms=at_ms, position=place))
        made.append(event(f"u{n % 8}", f"i{3 * n % 20}", "click", occurred_at_ms=at_ms + 100))
        if n % 4 == 0:
            made.append(event(f"u{n % 8}", f"i{3 * n % 20}", "purchase", occurred_at_ms=at_ms + 200))
    return numbered(made, first=10 * first)


def busy(tmp_path: Path, **recommend: Any) -> Processor:
    """A real one that has learned from the shop."""
    learner = {"dimension": 8, "negatives": 8, "neighbours": 8, "ranker_memory": 16}
    settings = load(
        overrides={"state_dir": tmp_path, "learner": learner, "recommend": {**TRYING, **recommend}}
    )
    working = build_processor(settings)
    working.process(records(shop()), NOW_MS)
    return working


def whole(working: Processor) -> dict[str, Any]:
    return {
        f"{piece}.{name}": array
        for piece, arrays in working.state_dicts().items()
        for name, array in arrays.items()
    }


def look_at_everything(working: Processor) -> None:
    for kind, index in ((user_page, working.states.index), (item_page, working.pipeline.items)):
        for name in index.latest("", 100):
            assert kind(working, name) is not None


def test_looking_changes_nothing(tmp_path: Path) -> None:
    working = busy(tmp_path)
    before = whole(working)
    look_at_everything(working)
    after = whole(working)
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_what_comes_next_is_the_same_whether_anybody_looked(tmp_path: Path) -> None:
    looked_at, alone = busy(tmp_path / "one"), busy(tmp_path / "two")
    for first in (60, 61, 62, 90):
        look_at_everything(looked_at)
        more = records(shop(first, 5), first=1_000 * first)
        assert looked_at.process(more, NOW_MS).recommendations == alone.process(more, NOW_MS).recommendations


def test_the_slate_of_this_moment_is_what_would_be_published_what_is_tried_included(tmp_path: Path) -> None:
    working = busy(tmp_path)
    tried = 0
    for first in range(60, 80):
        last = shop(first, 1)
        working.process(records(last, first=1_000 * first), NOW_MS)
        page = user_page(working, last[-1].user_id)
        [published] = working.pipeline.answer([last[-1]], working.states, NOW_MS).recommendations
        assert page is not None
        assert page["now"]["items"] == json.loads(json.dumps([_said(item) for item in published.items]))
        tried += sum(item.placed != "ranked" for item in published.items)
    assert tried > 5, "there was something to draw"


def _said(item: Any) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(item)
    return said


def test_parts_add_up_to_the_score(tmp_path: Path) -> None:
    page = user_page(busy(tmp_path), "u3")
    assert page is not None
    assert len(page["now"]["items"]) == TRYING["slate_size"]
    for item in page["now"]["items"]:
        assert sum(item["parts"].values()) == pytest.approx(item["score"], abs=1e-4)
        assert item["parts"]["ranker"] != 0.0


def test_without_the_last_event_the_slate_is_that_of_before_it(tmp_path: Path) -> None:
    """Of a model that has no taste but what was done last, so that it is known what the difference must be."""
    working = busy(tmp_path, exploration=0.0, new_share=0.0)
    page = user_page(working, "u3")
    assert page is not None
    row, states = working.states.index.row("u3"), working.states
    before = int(states.remembered(np.array([row]))[0]) - 1
    expected = working.pipeline.preview(row, states, as_of=before, moment_ms=page["now"]["moment_ms"])
    assert page["without_last"] == [item.item_id for item in expected]
    now = [item["item_id"] for item in page["now"]["items"]]
    last = page["history"][-1]["item_id"]
    assert last not in now, "what is in hand is not recommended"
    assert page["without_last"] != now


def test_a_user_who_was_only_shown_something_has_no_last_event() -> None:
    working = processor()
    working.process(records(numbered([event(kind="impression")])), NOW_MS)
    page = user_page(working, "ann")
    assert page is not None
    assert page["without_last"] is None
    assert page["pending_total"] == 1


def test_of_many_waiting_impressions_the_latest_are_told() -> None:
    working = processor()
    shown = [event(item=f"i{n}", kind="impression", occurred_at_ms=NOW_MS + n) for n in range(50)]
    working.process(records(numbered(shown)), NOW_MS)
    page = user_page(working, "ann")
    assert page is not None
    assert (len(page["pending"]), page["pending_total"]) == (MOST_PENDING, 50)
    assert page["pending"][-1]["item_id"] == "i49"


def test_who_and_what_is_unknown_is_said_to_be_so(tmp_path: Path) -> None:
    working = busy(tmp_path)
    assert user_page(working, "nobody") is None
    assert item_page(working, "nothing") is None


def test_an_item_is_told_with_its_counts_its_age_and_its_company(tmp_path: Path) -> None:
    working = busy(tmp_path)
    page = item_page(working, "i3")
    assert page is not None
    assert json.loads(json.dumps(page, allow_nan=False)) == page
    chosen = [each for each in shop() if each.item_id == "i3" and each.event_type in ("click", "purchase")]
    longest = max(
        (each for each in page["choices"] if "half_life_s" in each), key=lambda each: each["half_life_s"]
    )
    assert longest["choices"] == pytest.approx(len(chosen), abs=1e-3)
    assert page["first_at_ms"] == chosen[0].occurred_at_ms
    assert page["last_at_ms"] == chosen[-1].occurred_at_ms
    for company in (page["followed_by"], page["together_with"]):
        strengths = [each["strength"] for each in company["items"]]
        assert strengths
        assert strengths == sorted(strengths, reverse=True)
        assert all(len(each["shares"]) == len(company["half_lives_s"]) for each in company["items"])
    row, items = working.pipeline.items.row("i3"), working.pipeline.items
    counts = working.pipeline.learner._counts  # type: ignore[attr-defined]
    rows, shares = counts.transitions.shares(row, page["moment_ms"] / 1000.0)
    best = page["followed_by"]["items"][0]
    assert best["strength"] == pytest.approx(shares.sum(axis=1).max(), abs=1e-4)
    assert items.row(best["item_id"]) == rows[shares.sum(axis=1).argmax()]


def test_an_item_that_was_only_shown_was_never_chosen() -> None:
    working = processor()
    working.process(records(numbered([event(kind="impression")])), NOW_MS)
    page = item_page(working, "tea")
    assert page is not None
    assert not page["chosen"]
    assert page["first_at_ms"] is None
    assert page["followed_by"]["items"] == []


# --- the last minutes


def quality(hr10: float) -> dict[str, Any]:
    return {
        "freshness_ms": {"p50": 20.0, "p99": 90.0},
        "hr10": hr10,
        "tasks": {"click": {"weight": 2.0}},
        "drift": [],
    }


def test_history_is_of_rates_and_bounded() -> None:
    history = RecentHistory(samples=3)
    for n, events in enumerate((0, 100, 400, 400, 300)):
        history.add(2_000 * n, events, quality(0.1 * n))
    kept = history.since(0)
    assert [sample["events_per_s"] for sample in kept] == [150.0, 0.0, 0.0], "a recovery takes nothing back"
    assert [sample["freshness_p50_ms"] for sample in kept] == [20.0, None, None], (
        "of old results it is nobody's"
    )
    assert [sample["at_ms"] for sample in history.since(6_000)] == [8_000]
    assert kept[-1]["weights"] == {"click": 2.0}


# --- over HTTP


@asynccontextmanager
async def served(
    working: Processor, *, sampled: bool = True
) -> AsyncIterator[tuple[ClientSession, Explorer]]:
    slates = RecentSlates()
    slates.add([MadeSlate("ann", 5, ["tea"], ["repeat"])])
    engine = Engine(working, MemoryPublisher(), None, Diary(), EngineConfig(topic="events"))
    explorer = Explorer(engine, lambda: quality(0.5), slates, lambda: {"name": "here-7", "owned": [0, 1]})
    if sampled:
        await explorer.sample(NOW_MS)

    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    views = Views(
        metrics=lambda: b"",
        content_type="text/plain",
        alive=lambda: (),
        ready=lambda: (),
        status=nothing,
        user=nothing,
        weights=nothing,
    )
    server = HttpServer(views, routes(explorer))
    address = await server.start("127.0.0.1", 0)
    try:
        async with ClientSession(f"http://{address}") as session:
            yield session, explorer
    finally:
        await server.stop()


def ann_and_tea() -> Processor:
    working = processor()
    clicks = [event("ann", "tea"), event("bob", "cup"), event("annabel", "pot")]
    for n, each in enumerate(numbered(clicks)):
        working.process(records([each], first=n), NOW_MS)
    return working


async def get(session: ClientSession, path: str, **query: str) -> tuple[int, Any]:
    async with session.get(path, params=query) as answer:
        return answer.status, await answer.json()


async def test_a_user_an_item_and_the_overview_are_json_and_say_how_long_they_held() -> None:
    async with served(ann_and_tea()) as (session, _):
        status, user = await get(session, "/explorer/api/user", id="ann")
        assert (status, user["history"][0]["item_id"]) == (200, "tea")
        status, item = await get(session, "/explorer/api/item", id="tea")
        assert (status, item["recommended"]["latest"][0]["user_id"]) == (200, "ann")
        status, overview = await get(session, "/explorer/api/overview")
        assert (status, overview["worker"]["owned"], overview["users"]) == (200, [0, 1], 3)
        assert len(overview["history"]) == 1
        _, overview = await get(session, "/explorer/api/overview", since=str(NOW_MS))
        assert overview["history"] == []
        _, learning = await get(session, "/explorer/api/learning")
        assert learning["drift"] == []
        async with session.get("/explorer/api/user", params={"id": "ann"}) as answer:
            said = re.fullmatch(r"held;dur=([\d.]+)", answer.headers["Server-Timing"])
            assert said is not None
            assert float(said[1]) > 0.0


async def test_the_latest_come_first_and_who_is_called_so_before_all() -> None:
    async with served(ann_and_tea()) as (session, _):
        _, found = await get(session, "/explorer/api/find", kind="users", prefix="")
        assert (found["found"], found["of"]) == (["annabel", "bob", "ann"], 3)
        _, found = await get(session, "/explorer/api/find", kind="users", prefix="ann")
        assert found["found"] == ["ann", "annabel"]
        _, found = await get(session, "/explorer/api/find", kind="items", prefix="te")
        assert found["found"] == ["tea"]


async def test_a_search_is_bounded() -> None:
    working = processor()
    working.process(records(numbered([event(f"u{n}") for n in range(100)])), NOW_MS)
    async with served(working) as (session, _):
        _, found = await get(session, "/explorer/api/find", kind="users", prefix="u")
        assert (len(found["found"]), found["of"]) == (explorer_module.MOST_FOUND, 100)


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("user", {"id": "nobody"}, 404),
        ("user", {}, 404),
        ("user", {"id": "x" * (LONGEST + 1)}, 400),
        ("item", {"id": "‮"}, 404),
        ("find", {"prefix": "x" * (LONGEST + 1)}, 400),
        ("find", {"kind": "secrets"}, 400),
        ("overview", {"since": "-1"}, 400),
        ("overview", {"since": "9" * 400}, 400),
        ("overview", {"since": "²"}, 400),
        ("nothing", {}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused(path: str, query: dict[str, str], status: int) -> None:
    async with (
        served(ann_and_tea()) as (session, _),
        session.get(f"/explorer/api/{path}", params=query) as answer,
    ):
        assert answer.status == status


async def test_a_busy_worker_says_so_instead_of_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer_module, "PATIENCE_S", 0.05)
    async with served(ann_and_tea()) as (session, explorer):
        release = threading.Event()
        step = asyncio.create_task(explorer.engine.read(lambda _: release.wait(10.0)))
        status, said = await get(session, "/explorer/api/user", id="ann")
        assert (status, said["error"]) == (503, "the worker is busy; ask again")
        status, _ = await get(session, "/explorer/api/overview")
        assert status == 200, "nothing is looked at for it"
        release.set()
        await step
        status, _ = await get(session, "/explorer/api/user", id="ann")
        assert status == 200


async def test_before_the_first_sample_there_is_no_overview() -> None:
    async with served(ann_and_tea(), sampled=False) as (session, _):
        assert (await get(session, "/explorer/api/overview"))[0] == 503


async def test_many_who_ask_are_looked_at_one_at_a_time() -> None:
    async with served(ann_and_tea()) as (session, explorer):
        release = threading.Event()
        step = asyncio.create_task(explorer.engine.read(lambda _: release.wait(10.0)))
        asked = [asyncio.create_task(get(session, "/explorer/api/user", id="ann")) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert explorer.engine._thread._work_queue.qsize() <= 1
        release.set()
        await step
        assert {status for status, _ in await asyncio.gather(*asked)} == {200}


# --- the page's files


async def test_the_page_is_served_with_a_policy_that_lets_nothing_else_in() -> None:
    async with served(ann_and_tea()) as (session, _):
        for path in ("/", *(f"/explorer/{name}" for name in web_files())):
            async with session.get(path) as answer:
                assert answer.status == 200, path
                policy = answer.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get("/") as answer:
            assert answer.content_type == "text/html"
        async with session.post("/") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2f..%2fworker.py", "..%2froutes.py", "web%2findex.html", "%00"]
)
async def test_no_other_file_can_be_reached(name: str) -> None:
    async with served(ann_and_tea()) as (session, _), session.get(f"/explorer/{name}") as answer:
        assert answer.status == 404


def test_the_page_needs_nothing_from_elsewhere_and_puts_no_text_into_markup() -> None:
    for name, body in web_files().items():
        text = body.decode()
        addresses = set(re.findall(r"https?://[\w./-]+", text)) - {"http://www.w3.org/2000/svg"}
        assert addresses == set(), name
        for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert way not in text, name
    index = web_files()["index.html"].decode()
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on\w+=", index) == []


def test_every_module_that_is_imported_is_there() -> None:
    for name, body in web_files().items():
        for imported in re.findall(r'from "\./([\w.]+)"', body.decode()):
            assert imported in web_files(), name


def test_the_wheel_holds_the_page(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    [wheel] = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as packed:
        for name, body in web_files().items():
            assert packed.read(f"stream/explorer/web/{name}") == body


def test_the_observer_keeps_the_slates_that_were_made(tmp_path: Path) -> None:
    working = busy(tmp_path)
    watching = WorkerObserver(worker_metrics(working.pipeline.learner.tasks), working)
    processed = working.process(records(shop(60, 5), first=1_000), NOW_MS)
    watching.step(processed, working)
    made: Recommendation = processed.recommendations[-1]
    found = watching.recent_slates.of_item(made.items[0].item_id, 9)
    assert found["slates"] == len(processed.recommendations)
    assert {"user_id": made.user_id, "rank": 0, "source": made.items[0].source, "at_ms": NOW_MS} in found[
        "latest"
    ]
