"""The judge is judged: a clean state is called clean, every kind of damage is found, what cannot be told is said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS, Record, event, records
from click.testing import CliRunner, Result
from fakes import CountingLearner
from hypothesis import given
from hypothesis import strategies as st
from laws import law

from connectors.event import Event, encode_event
from stream.assembly import (
    build_attribution,
    build_batcher,
    build_decoder,
    build_states,
    build_statistics,
    build_tasks,
    build_trials,
    checkpoint_store,
)
from stream.checkpoints.chains import Checkpoint
from stream.checkpoints.manifest import Manifest
from stream.cli.main import cli
from stream.duplicates import RecentIds
from stream.pipeline import Pipeline
from stream.processor import Processor
from stream.settings import Settings, load
from stream.verification.account import Account, Entry, Kept, UserAccount, kept_in
from stream.verification.comparison import Comparison, compare
from stream.verification.recount import Recount
from stream.verification.verify import VerifyError, verify_log

R = 4
DECLARED = load().events.declared
TASKS: list[dict[str, Any]] = [
    {"name": "click", "window_s": 10, "event_types": ["click"]},
    {"name": "purchase", "window_s": 40, "late_s": 0, "event_types": ["purchase"]},
]


def settings_with(state_dir: Path | None = None, **state: Any) -> Settings:
    return load(
        overrides={
            "tasks": TASKS,
            "events": {"lateness_s": 60, "duplicates_window": 50},
            "state": {"history_length": R, **state},
            **({"state_dir": state_dir} if state_dir else {}),
        }
    )


def worker(settings: Settings) -> Processor:
    """What a worker has, without a model."""
    batcher = build_batcher(settings)
    learner = CountingLearner(build_tasks(settings))
    return Processor(
        build_decoder(settings),
        Pipeline(
            learner,
            batcher,
            build_attribution(settings, batcher),
            max_items=settings.state.max_items,
            slate_size=3,
        ),
        build_states(settings),
        build_statistics(settings),
        build_trials(settings, learner),
        RecentIds(settings.events.duplicates_window),
    )


def worked(settings: Settings, some: Sequence[Record], cut: Iterable[int] = ()) -> Processor:
    working = worker(settings)
    edges = [0, *sorted(at for at in cut if 0 < at < len(some)), len(some)]
    for begin, end in pairwise(edges):
        working.process(some[begin:end], NOW_MS)
    return working


def manifest_of(working: Processor, **differing: Any) -> Manifest:
    given: dict[str, Any] = {"format": 2, "number": 1, "created_at_ms": NOW_MS, "topic": "events"}
    given |= {"applied": working.states.applied, "totals": working.totals_dict(), "summary": {}, "files": {}}
    return Manifest(**{**given, **differing})


def kept_of(working: Processor, settings: Settings) -> Kept:
    return kept_in(Checkpoint(manifest_of(working), working.state_dicts()), settings)


def recounted(settings: Settings, some: Sequence[Record], step: int = 7) -> Recount:
    recount = Recount(settings)
    for begin in range(0, len(some), step):
        recount.add(some[begin : begin + step], NOW_MS)
    return recount


def compared(settings: Settings, some: Sequence[Record], working: Processor, **said: Any) -> Comparison:
    recount = recounted(settings, some)
    return compare(
        recount.account(), kept_of(working, settings), DECLARED, scattered=recount.scattered, **said
    )


# --- a naive recount: lists, and nothing of freshet but the record's bytes


class Shown:
    """An impression, or an event that stands for one."""

    def __init__(self, user: str, item: str, at_ms: int, order_ms: int, waits: set[str]) -> None:
        self.pair, self.at_ms, self.order_ms = (user, item), at_ms, order_ms
        self.waits, self.closed_no = waits, set[str]()


class Naive:
    """One record after the other; both tasks of this file, one partition."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.events: Counter[str] = Counter()
        self.items: Counter[str] = Counter()
        self.histories: dict[str, list[Entry]] = defaultdict(list)
        self.newest: dict[str, int] = {}
        self.labels: Counter[tuple[str, str]] = Counter()
        self.totals: Counter[str] = Counter()
        self.shown: list[Shown] = []
        self.watermark = 0

    def add(self, value: bytes) -> None:
        try:
            row = json.loads(value)
            user, item, kind, at_ms = (row[k] for k in ("user_id", "item_id", "event_type", "occurred_at_ms"))
        except (ValueError, KeyError):
            self.totals["dead_letters"] += 1
            return
        name = (user, row["event_id"])
        if name in self.seen[-50:]:
            self.totals["duplicates"] += 1
            return
        self.seen.append(name)
        self.totals["events_learned"] += 1
        self.events[user] += 1
        self.items[item] += 1
        if at_ms < self.newest.get(user, 0) - 60_000:
            self.totals["late_events"] += 1
        elif kind != "impression":
            self.histories[user].append(Entry(item, DECLARED.index(kind), at_ms))
            self.histories[user].sort(key=lambda entry: entry.at_ms)
        self.newest[user] = max(self.newest.get(user, 0), at_ms)
        self._label(user, item, kind, at_ms)

    def _label(self, user: str, item: str, kind: str, at_ms: int) -> None:
        self.watermark = max(self.watermark, at_ms)
        mine = [one for one in self.shown if one.pair == (user, item)]
        if kind == "impression":
            self._open(user, item, at_ms, {"click", "purchase"})
        elif mine and at_ms < mine[-1].at_ms - 60_000:
            pass  # it happened before, and says nothing of what was shown
        elif not mine or (at_ms - mine[-1].at_ms > 40_000):
            self._open(user, item, at_ms, {"purchase"} - {kind})
        else:
            window_ms = {"click": 10_000, "purchase": 40_000}.get(kind, -1)
            if kind in mine[-1].waits and at_ms - mine[-1].at_ms <= window_ms:
                mine[-1].waits.remove(kind)
                self.labels[kind, "yes"] += 1
            elif kind == "click":
                if kind in mine[-1].waits:  # it closes the window itself, be it too late for more
                    mine[-1].waits.remove(kind)
                    mine[-1].closed_no.add(kind)
                    self.labels[kind, "no"] += 1
                if kind in mine[-1].closed_no and at_ms - mine[-1].at_ms <= 20_000:
                    mine[-1].closed_no.remove(kind)
                    self.labels[kind, "late"] += 1
        for one in self.shown:
            for task, window_ms in (("click", 10_000), ("purchase", 40_000)):
                if task in one.waits and one.order_ms < self.watermark - window_ms:
                    one.waits.remove(task)
                    one.closed_no.add(task)
                    self.labels[task, "no"] += 1
        self.shown = [one for one in self.shown if one.order_ms >= self.watermark - 40_000]

    def _open(self, user: str, item: str, at_ms: int, waits: set[str]) -> None:
        self.shown.append(Shown(user, item, at_ms, max(at_ms, self.watermark), waits))

    def account(self) -> Account:
        return Account(
            users={
                user: UserAccount(count, self.histories[user][-R:]) for user, count in self.events.items()
            },
            items=self.items,
            labels={
                task: tuple(self.labels[task, kind] for kind in ("yes", "no", "late"))
                for task in ("click", "purchase")
            },
            totals=self.totals,
        )


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    """Out of order, some of it too late, some sent twice, some of it garbage."""
    now_ms, sent = NOW_MS - 10_000_000, list[bytes]()
    for n in range(draw(st.integers(0, 30))):
        now_ms += draw(st.sampled_from([0, 1_000, 6_000, 15_000, 45_000]))
        kind = draw(st.sampled_from(["impression", "impression", "click", "purchase", "like"]))
        back_ms = draw(st.sampled_from([0, 0, 0, 3_000, 30_000, 90_000]))
        value = encode_event(
            event(
                draw(st.sampled_from(["ann", "bob"])),
                draw(st.sampled_from("abc")),
                kind,
                event_id=f"e{n}",
                occurred_at_ms=now_ms - back_ms,
            )
        )
        sent += draw(st.sampled_from([[value], [value], [value], [value, value], [b"{", value]]))
    if sent and draw(st.booleans()):
        sent.append(sent[0])
    return records(sent)


cuts = st.sets(st.integers(1, 40))


@given(streams(), cuts)
@law(150)
def test_a_recount_is_what_lists_count(some: list[Record], cut: set[int]) -> None:
    naive = Naive()
    for record in some:
        naive.add(record.value or b"")
    settings = settings_with()
    for found in (
        recounted(settings, some).account(),
        kept_of(worked(settings, some, cut), settings).account,
    ):
        wanted = naive.account()
        assert found.users == wanted.users
        assert dict(found.items) == dict(wanted.items)
        assert found.labels == wanted.labels
        names = ("events_learned", "dead_letters", "duplicates", "late_events")
        assert [found.totals.get(name, 0) for name in names] == [wanted.totals[name] for name in names]


@given(streams(), cuts, st.integers(0, 40), st.integers(0, 40))
@law(80)
def test_a_state_that_crashed_and_went_on_is_clean(
    some: list[Record], cut: set[int], saved_at: int, again_from: int
) -> None:
    settings = settings_with()
    saved_at = min(saved_at, len(some))
    before, after = worked(settings, some[:saved_at], cut), worker(settings)
    after.load(before.state_dicts(), before.totals_dict())
    after.process(some[min(again_from, saved_at) :], NOW_MS)
    assert compared(settings, some, after) == Comparison([], [])


# --- damage


def journey() -> list[Event]:
    """One user's events: shown and clicked, shown and not; the end closes all windows."""
    steps = [
        ("a", "impression", 0),
        ("a", "click", 2),
        ("b", "impression", 3),
        ("c", "like", 5),
        ("d", "like", 8),
        ("a", "purchase", 20),
        ("z", "like", 500),
    ]
    return [
        event(item=item, kind=kind, event_id=f"e{n}", occurred_at_ms=NOW_MS - 1_000_000 + 1_000 * at_s)
        for n, (item, kind, at_s) in enumerate(steps)
    ]


Damage = Callable[[Settings], Processor]


def one_event_lost(settings: Settings) -> Processor:
    working = worker(settings)
    some = records(journey())
    working.process([record for record in some if record.offset != 3], NOW_MS)
    return working


def one_event_twice(settings: Settings) -> Processor:
    some = records(journey())
    again = replace(
        some[3],
        value=encode_event(
            event(item="c", kind="like", event_id="again", occurred_at_ms=journey()[3].occurred_at_ms)
        ),
    )
    working = worker(settings)
    working.process(some[:4], NOW_MS)
    working.states.applied[0] = 2
    working.process([again, *some[4:]], NOW_MS)
    return working


def one_label_twice(settings: Settings) -> Processor:
    working = worked(settings, records(journey()))
    working.pipeline.ledger.labels[0, 0] += 1
    return working


def one_label_lost(settings: Settings) -> Processor:
    working = worked(settings, records(journey()))
    working.pipeline.ledger.labels[1, 1] -= 1
    return working


def swapped_entries(settings: Settings) -> Processor:
    working = worked(settings, records(journey()))
    for column in working.states._rings._columns.values():
        column[0, [1, 2]] = column[0, [2, 1]]
    return working


def an_item_counted_twice(settings: Settings) -> Processor:
    working = worked(settings, records(journey()))
    working.pipeline.ledger.items[working.pipeline.items.row("d")] += 1
    return working


def a_user_lost(settings: Settings) -> Processor:
    some = records([*journey(), event("bob", "a", "like", event_id="b", occurred_at_ms=NOW_MS - 400_000)])
    working = worked(settings, some)
    index = working.states.index
    row = index.row("ann")
    index._ids[row] = None
    index._free.append(row)
    return working


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            one_event_lost,
            [
                ("user events", "ann", "7", "6"),
                ("item events", "c", "1", "0"),
                ("history", "ann", f"like c at {NOW_MS - 995_000}", f"click a at {NOW_MS - 998_000}"),
                ("labels", "purchase no", "3", "2"),
                ("total", "events_learned", "7", "6"),
            ],
        ),
        (
            one_event_twice,
            [
                ("user events", "ann", "7", "8"),
                ("item events", "c", "1", "2"),
                ("total", "events_learned", "7", "8"),
            ],
        ),
        (one_label_twice, [("labels", "click yes", "1", "2")]),
        (one_label_lost, [("labels", "purchase no", "3", "2")]),
        (
            swapped_entries,
            [("history", "ann", f"like d at {NOW_MS - 992_000}", f"like c at {NOW_MS - 995_000}")],
        ),
        (an_item_counted_twice, [("item events", "d", "1", "2")]),
    ],
)
def test_damage_is_found_and_named(damage: Damage, expected: list[tuple[str, ...]]) -> None:
    settings = settings_with()
    found = compared(settings, records(journey()), damage(settings))
    told = [(one.what, one.of, one.expected, one.found) for one in found.differences]
    assert told == expected
    assert all(one.look for one in found.differences)


def test_a_user_that_is_gone_is_found() -> None:
    settings = settings_with()
    some = records([*journey(), event("bob", "a", "like", event_id="b", occurred_at_ms=NOW_MS - 400_000)])
    found = compared(settings, some, a_user_lost(settings))
    assert [(one.what, one.of, one.found) for one in found.differences] == [("user events", "ann", "0")]


# --- what cannot be compared


def test_where_the_beginning_is_gone_more_is_no_difference_and_fewer_is() -> None:
    settings = settings_with()
    some = records(journey())
    gone = ["Retention has deleted the rest."]
    assert compared(settings, some[3:], worked(settings, some), beginning_gone=gone).differences == []
    found = compared(settings, some[3:], one_event_lost(settings), beginning_gone=gone)
    assert [(one.what, one.of) for one in found.differences] == [("item events", "c"), ("history", "ann")]
    assert found.not_compared[0] == gone[0]


def test_labels_are_not_compared_once_tasks_have_changed_and_that_is_told(tmp_path: Path) -> None:
    """A task that began later cannot be counted again from the beginning; events and histories can."""
    fewer = load(overrides={"tasks": TASKS[:1], "events": {"lateness_s": 60}, "state": {"history_length": R}})
    some = records(
        [
            event("ann", f"i{n % 3}", kind, event_id=f"e{n}", occurred_at_ms=NOW_MS + 30_000 * n)
            for n, kind in enumerate(("impression", "click", "purchase") * 6)
        ]
    )
    before, settings = worked(fewer, some[:9]), settings_with(tmp_path)
    working = worker(settings)
    working.load(before.state_dicts(), before.totals_dict())
    working.process(some[9:], NOW_MS + 10**8)
    found = compared(settings, some, working)
    assert found.differences == []
    assert found.not_compared == [
        "Tasks have begun or were given up since the first event (settings): labels are not compared."
    ]
    assert recounted(settings, some).account().labels != kept_of(working, settings).account.labels


def test_forgotten_users_and_items_are_told_and_the_rest_is_compared() -> None:
    settings = settings_with(max_users=3, max_items=5)
    some = records(
        [
            event(f"u{n}", f"i{n}", "like", event_id=f"e{n}", occurred_at_ms=NOW_MS - 1_000_000 + 1_000 * n)
            for n in range(8)
        ]
    )
    working = worked(settings, some, range(8))
    found = compared(settings, some, working)
    assert found.differences == []
    assert len(found.not_compared) == 2
    working.states._rows["events"][working.states.index.row("u7")] += 1
    assert [one.of for one in compared(settings, some, working).differences] == ["u7"]


def test_what_impressions_lost_for_want_of_room_is_told() -> None:
    settings = settings_with(max_pending=2)
    some = records(journey())
    found = compared(settings, some, worked(settings, some, range(9)))
    assert found.differences == []
    assert "state.max_pending" in found.not_compared[0]


def test_users_in_several_partitions_have_no_order() -> None:
    settings = settings_with()
    some = [*records(journey()[:4]), *records(journey()[4:], partition=1)]
    working = worked(settings, [*some[4:], *some[:4]])
    found = compared(settings, some, working)
    assert found.differences == []
    assert "1 users have events in several partitions" in found.not_compared[0]


# --- the command


def write(working: Processor, settings: Settings, **differing: Any) -> None:
    """As the engine does."""
    given = {"topic": "events", "applied": working.states.applied, "totals": working.totals_dict()}
    checkpoint_store(settings).write(
        {name: [arrays] for name, arrays in working.state_dicts().items()},
        **{**given, "summary": {}, "now_ms": NOW_MS, **differing},
    )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings, for the command too."""
    settings = settings_with(tmp_path / "state")
    monkeypatch.setenv("FRESHET_TASKS", json.dumps(TASKS))
    monkeypatch.setenv("FRESHET_EVENTS__LATENESS_S", "60")
    monkeypatch.setenv("FRESHET_EVENTS__DUPLICATES_WINDOW", "50")
    monkeypatch.setenv("FRESHET_STATE__HISTORY_LENGTH", str(R))
    return settings


def log_of(events: Sequence[Event], path: Path) -> Path:
    path.write_bytes(b"\n".join(map(encode_event, events)))
    return path


def freshet(*words: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *words])


def test_a_log_is_the_judge_however_its_users_were_spread(place: Settings, tmp_path: Path) -> None:
    mine = journey()
    others = [
        event("bob", one.item_id, one.event_type, event_id=f"b{n}", occurred_at_ms=one.occurred_at_ms + 500)
        for n, one in enumerate(mine)
    ]
    log = [one for pair in zip(mine, others, strict=True) for one in pair]
    write(worked(place, [*records(others, partition=1), *records(mine)]), place)
    result = freshet("--log", str(log_of(log, tmp_path / "log.jsonl")), "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["clean"], found["complete"], found["events"]) == (0, True, True, 14)
    assert "Nothing differs." in result.stderr


def test_differences_are_bounded_told_and_fail(place: Settings, tmp_path: Path) -> None:
    write(worked(place, records(journey()[:2])), place)
    log = str(log_of(journey(), tmp_path / "log.jsonl"))
    result = freshet("--log", log, "--limit", "1")
    assert result.exit_code == 1
    kinds = [line[:12].strip() for line in result.stdout.splitlines()]
    assert kinds == ["user events", "item events", "history", "labels", "total"]
    assert "user events  ann: expected 7, found 2 (events were lost: freshet state user ann)" in result.stdout
    found = json.loads(freshet("--log", log, "--limit", "1", "--json").stdout)
    assert found["differences_by_kind"]["item events"] == 5
    assert [one["what"] for one in found["differences"]] == kinds


def test_a_state_that_counts_an_earlier_topic_cannot_be_proven(place: Settings, tmp_path: Path) -> None:
    working = worked(place, records(journey()))
    working.begin_anew()
    write(working, place)
    result = freshet("--log", str(log_of(journey()[2:], tmp_path / "log.jsonl")))
    assert result.exit_code == 3
    assert "NOT COMPARED: The topic was made anew once" in result.stderr
    assert "Nothing of what could be compared differs." in result.stderr


def test_without_a_checkpoint_or_with_others_settings_it_says_so(
    place: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = str(log_of(journey(), tmp_path / "log.jsonl"))
    assert "There is no checkpoint in" in freshet("--log", log).stderr
    write(worked(place, records(journey())), place)
    assert "There is no log at" in freshet("--log", "nowhere.csv").stderr
    monkeypatch.setenv("FRESHET_STATE__HISTORY_LENGTH", "9")
    result = freshet("--log", log)
    assert result.exit_code == 1
    assert "saved with state.history_length = 4, configured is 9" in result.stderr


def test_no_model_is_needed() -> None:
    code = (
        "import sys, stream.cli.verify, stream.verification.verify\n"
        "assert not {'torch', 'faust', 'aiokafka'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counts_of_labels_are_kept_apart() -> None:
    working = worked(settings_with(), records(journey()))
    assert working.pipeline.ledger.labels.tolist() == [[1, 1, 0], [1, 3, 0]]
    assert working.pipeline.ledger.items[: len(working.pipeline.items)].sum() == 7
    assert np.array_equal(working.state_dicts()["ledger"]["first"], [[0, 0]])


def test_records_that_the_learner_could_not_take_are_left_out_and_a_log_cannot_say_which(
    tmp_path: Path,
) -> None:
    settings = settings_with(tmp_path)
    some = records([event(item=f"i{n}", event_id=f"e{n}") for n in range(6)])
    working = worker(settings)
    working.process(some, NOW_MS, {(0, 2): "ValueError"})
    kept = kept_of(working, settings)
    recount = Recount(settings, kept.refused)
    recount.add(some, NOW_MS)
    found = compare(recount.account(), kept, DECLARED, scattered=recount.scattered)
    assert (found.differences, found.not_compared) == ([], [])
    assert recount.account().totals["dead_letters"] == 1
    assert compared(settings, some, working).differences, "who does not know of it sees a difference"

    write(working, settings)
    with pytest.raises(VerifyError, match="could not take 1 records"):
        verify_log(settings, [tmp_path / "log.jsonl"])
