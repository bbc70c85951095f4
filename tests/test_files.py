"""Logs on disk: what a sink writes, a source reads back; what is malformed is refused by file and line."""

from __future__ import annotations

import asyncio
import gzip
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.event import Event
from connectors.sinks.files import FileSink
from connectors.sinks.memory import MemorySink
from connectors.sources.files import FileSource, LogError
from connectors.sources.memory import MemorySource
from connectors.sources.pacing import due_chunks
from connectors.sources.titles import item_titles

SUFFIXES = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")
LOGS = Path(__file__).parents[1] / ".." / "shared" / "data"

# Any text but lone surrogates, which UTF-8 cannot carry; an empty cell of a csv is nothing, so ids have a letter.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
events = st.builds(
    Event,
    event_id=texts,
    event_type=texts,
    occurred_at_ms=st.integers(0, 4_102_444_800_000),
    user_id=texts,
    item_id=texts,
    session_id=st.none() | texts,
    recommendation_id=st.none() | texts,
    position=st.none() | st.integers(0, 1_000),
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    context=st.dictionaries(texts, scalars, max_size=3),
)


def an_event(n: int, **fields: object) -> Event:
    row = {"event_type": "view", "occurred_at_ms": 1_000 * n, "user_id": "u", "item_id": "i", **fields}
    return Event(event_id=f"e{n}", **row)  # type: ignore[arg-type]


def write(path: Path, log: list[Event]) -> None:
    async def _write() -> None:
        sink = FileSink(path)
        half = len(log) // 2
        await sink.write(log[:half])
        await sink.write(log[half:])
        await sink.close()
        await sink.close()

    asyncio.run(_write())


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(log=st.lists(events, max_size=5))
def test_a_source_reads_what_its_sink_wrote(suffix: str, log: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"log.{suffix}"
        write(path, log)
        source = FileSource(path)
        assert list(source) == log
        assert list(source) == log, "each iteration reads from the beginning"
        if suffix == "parquet":
            assert source.count() == len(log)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_count_is_that_of_the_rows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"log.{suffix}"
    write(path, [an_event(n) for n in range(10_000)])
    assert FileSource(path).count() == 10_000


def test_a_log_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    sink = FileSink(path)
    asyncio.run(sink.write([an_event(1)]))
    assert not path.exists()
    asyncio.run(sink.close())
    assert path.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_a_log_of_which_something_is_missing_gets_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [an_event(1), an_event(2)])
    sink = FileSink(path)
    asyncio.run(sink.write([an_event(3)]))

    def full(events: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink._writer, "write", full)
    with pytest.raises(LogError, match="No space left"):
        asyncio.run(sink.write([an_event(4)]))
    asyncio.run(sink.close())
    assert len(list(FileSource(path))) == 2, "the former log is still there"
    assert list(tmp_path.iterdir()) == [path]


def a_folder(path: Path, events_csv: str, context_csv: str | None = None) -> Path:
    path.mkdir()
    with gzip.open(path / "events.csv.gz", "wt") as file:
        file.write(events_csv)
    if context_csv is not None:
        with gzip.open(path / "context.csv.gz", "wt") as file:
            file.write(context_csv)
    return path


def test_a_folder_gives_ids_from_rows_and_context_beside_them(tmp_path: Path) -> None:
    folder = a_folder(
        tmp_path / "shop",
        "timestamp,user_id,item_id,event_type,value\n10,u1,i1,view,1\n10,u1,i1,view,1\n11.5,u2,i2,tag,so good\n",
        "session_id,region,country\ns1,SP,BR\ns1,,\n,TX,US\n",
    )
    one = Event(
        event_id="shop#1",
        event_type="view",
        occurred_at_ms=10_000,
        user_id="u1",
        item_id="i1",
        session_id="s1",
        value=1.0,
        context={"region": "SP", "country": "BR"},
    )
    first, two, three = FileSource(folder)
    assert first == one
    assert (two.event_id, two.context) == ("shop#2", {}), "a repeat is an event of its own"
    assert three.occurred_at_ms == 11_500
    assert three.value is None
    assert three.context == {"region": "TX", "country": "US", "text": "so good"}
    assert three.session_id is None
    assert FileSource(folder).count() == 3


@pytest.mark.parametrize("value", ["nan", "inf", "1_000", "12 apples"])
def test_what_is_no_finite_number_is_text(value: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"timestamp,user_id,item_id,event_type,value\n10,u,i,tag,{value}\n")
    (event,) = FileSource(path)
    assert (event.value, event.context) == (None, {"text": value})


def test_whole_numbers_stand_for_ids_where_a_format_has_types(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(
        '{"timestamp": 10, "user_id": 7, "item_id": 8, "event_type": "view", "device": "phone"}\n\n'
    )
    (event,) = FileSource(path)
    assert (event.user_id, event.item_id, event.event_id) == ("7", "8", "log#1")
    assert event.context == {"device": "phone"}


def test_parquet_may_hold_finer_times_and_numbers_that_are_none(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    times = pyarrow.array(
        [1_704_067_200_123_456_789, 1_704_067_201_000_000_001], pyarrow.timestamp("ns", "UTC")
    )
    row = {"user_id": ["u", "v"], "item_id": ["i", "j"], "event_type": ["view"] * 2}
    path = tmp_path / "shop.parquet"
    parquet.write_table(
        pyarrow.table({**row, "timestamp": times, "value": pyarrow.array([float("nan"), 2.5])}), path
    )
    first, second = FileSource(path)
    assert (first.occurred_at_ms, second.occurred_at_ms) == (1_704_067_200_123, 1_704_067_201_000)
    assert (first.value, first.context, second.value) == (None, {}, 2.5)


def test_a_parquet_time_beyond_all_years_is_explained(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    times = pyarrow.array([1 << 62], pyarrow.timestamp("ms", "UTC"))
    row = {"user_id": ["u"], "item_id": ["i"], "event_type": ["view"], "timestamp": times}
    parquet.write_table(pyarrow.table(row), tmp_path / "far.parquet")
    with pytest.raises(LogError, match=r"far\.parquet is not a parquet file that can be read"):
        list(FileSource(tmp_path / "far.parquet"))


def test_parquet_times_need_a_zone(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    row = {"user_id": ["u"], "item_id": ["i"], "event_type": ["view"]}
    aware, naive = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1)
    for name, time in (("aware", aware), ("naive", naive)):
        parquet.write_table(pyarrow.table({**row, "timestamp": [time]}), tmp_path / f"{name}.parquet")
    (event,) = FileSource(tmp_path / "aware.parquet")
    assert event.occurred_at_ms == 1_704_067_200_000
    with pytest.raises(LogError, match="row 1: timestamp 2024-01-01T00:00:00 has no time zone"):
        list(FileSource(tmp_path / "naive.parquet"))


HEADER = "timestamp,user_id,item_id,event_type,value,position\n"


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("1,u,i,view,1\n", r"line 2: 5 columns, the header has 6"),
        ("1,u,i,view,1,\n2,,i,view,1,\n", r"line 3: user_id is empty"),
        ("soon,u,i,view,1,\n", r"line 2: timestamp is 'soon': it must be a number of unix seconds"),
        (",u,i,view,1,\n", r"line 2: timestamp is ''"),
        ("nan,u,i,view,1,\n", r"line 2: timestamp is 'nan'"),
        ("-5,u,i,view,1,\n", r"line 2: timestamp '-5' is not between 1970"),
        (
            "1457963676000,u,i,view,1,\n",
            r"line 2: .* are these milliseconds\? Call the column occurred_at_ms",
        ),
        ("1,u,i,view,1,first\n", r"line 2: position is 'first'"),
        ("1,u,i,view,1,3000000000\n", r"line 2: position is '3000000000'"),
        ('1,u,"i,view,1,\n', r"after line 1: unexpected end of data"),
        ('1,"u\nu",i,view,1,\n2,,i,view,1,\n', r"line 4: user_id is empty"),
    ],
)
def test_a_malformed_csv_row_is_refused_by_file_and_line(rows: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(LogError, match=rf"log\.csv, {complaint}"):
        list(FileSource(path))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("not json", "line 2: not a JSON object"),
        ("[1]", "line 2: not a JSON object"),
        ('{"timestamp": 1, "user_id": "u"}', "line 2: no item_id, event_type"),
        ('{"timestamp": 1, "user_id": 1.5, "item_id": "i", "event_type": "view"}', "line 2: user_id is 1.5"),
        (
            '{"timestamp": 1, "user_id": "u", "item_id": "i", "event_type": "view", "a": {"b": 1}}',
            "line 2: a is .*: the context must be flat",
        ),
        (
            '{"timestamp": 1, "user_id": "u", "item_id": "i", "event_type": "view", "context": {"b": []}}',
            "line 2: context is not flat",
        ),
    ],
)
def test_a_malformed_json_line_is_refused_by_file_and_line(line: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"timestamp": 1, "user_id": "u", "item_id": "i", "event_type": "view"}\n' + line + "\n")
    with pytest.raises(LogError, match=complaint):
        list(FileSource(path))


def test_a_place_below_the_first_is_no_place(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,user_id,item_id,event_type,position\n1,ann,tea,view,-1\n2,ann,tea,view,0\n")
    assert [event.position for event in FileSource(path)] == [None, 0]


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    """As exports of joins have it: one of the two would win in silence."""
    path = tmp_path / "log.csv"
    path.write_text("timestamp,user_id,item_id,event_type,timestamp\n1,ann,tea,view,2\n", encoding="utf-8")
    with pytest.raises(LogError, match="more than one column is called timestamp"):
        list(FileSource(path))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user,item_id,time\n")
    with pytest.raises(
        LogError, match=r"no column user_id, event_type, timestamp \(or occurred_at_ms\); .*: item_id"
    ):
        list(FileSource(path))


def test_context_must_have_a_row_for_each_event(tmp_path: Path) -> None:
    rows = "timestamp,user_id,item_id,event_type\n1,u,i,view\n2,u,i,view\n"
    folder = a_folder(tmp_path / "shop", rows, "session_id\ns1\n")
    with pytest.raises(LogError, match=r"context.csv.gz has fewer rows"):
        list(FileSource(folder))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("log.csv.gz", b"not gzip", "damaged or not gzip"),
        ("log.csv.gz", gzip.compress(HEADER.encode() * 1000, mtime=0)[:60], "damaged or not gzip"),
        ("log.csv", b"timestamp,user_id,item_id,event_type\n1,\xff,i,view\n", "not UTF-8"),
        ("log.parquet", b"not parquet", "not a parquet file"),
    ],
)
def test_a_damaged_file_is_refused(name: str, content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LogError, match=complaint):
        list(FileSource(path))


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no log at"):
        FileSource(tmp_path / "missing.csv")
    with pytest.raises(LogError, match=r"has no events\.csv\.gz"):
        FileSource(tmp_path)
    (tmp_path / "log.txt").touch()
    with pytest.raises(LogError, match=r"must be a folder or end in one of \.csv"):
        FileSource(tmp_path / "log.txt")
    with pytest.raises(LogError, match="must end in one of"):
        FileSink(tmp_path / "log.txt")
    with pytest.raises(LogError, match="cannot be written"):
        FileSink(tmp_path / "nowhere" / "log.csv")


def test_titles_are_read_and_may_be_empty_or_absent(tmp_path: Path) -> None:
    assert item_titles(tmp_path) == {}
    with gzip.open(tmp_path / "items.csv.gz", "wt") as file:
        file.write('item_id,title,category\n1,"Ham, Toast",Food|Home\n2,,\n')
    titles = item_titles(tmp_path)
    assert (titles["1"].title, titles["1"].category) == ("Ham, Toast", "Food|Home")
    assert (titles["2"].title, titles["2"].category) == ("", "")


async def test_memory_keeps_what_it_was_given() -> None:
    log = [an_event(n) for n in range(3)]
    sink = MemorySink()
    await sink.write(log[:1])
    await sink.write(log[1:])
    await sink.close()
    assert list(MemorySource(sink.events)) == log
    with pytest.raises(ValueError, match="closed"):
        await sink.write(log)


@given(
    gaps=st.lists(st.integers(-2_000, 5_000), max_size=60),
    speed=st.sampled_from([1.0, 60.0, float("inf")]),
    size=st.integers(1, 7),
)
def test_a_retold_log_is_whole_in_order_and_never_early(gaps: list[int], speed: float, size: int) -> None:
    at_ms, log = 10_000_000, []
    for n, gap in enumerate(gaps):
        at_ms += gap
        log.append(an_event(n, occurred_at_ms=at_ms))
    chunks = list(due_chunks(log, speed, size=size))
    assert [event for _, chunk in chunks for event in chunk] == log
    assert all(0 < len(chunk) <= size for _, chunk in chunks)
    assert [due for due, _ in chunks] == sorted(due for due, _ in chunks)
    for due_s, chunk in chunks:
        for event in chunk:
            at_s = (event.occurred_at_ms - log[0].occurred_at_ms) / 1_000 / speed
            assert at_s <= due_s + 0.02 + 1e-9, "no event more than a tick early"


@pytest.mark.parametrize(
    ("events", "context", "told"),
    [
        ("s1\ns2", "session_id,device\ns1,phone\ns2,desk", None),
        ("\n", "session_id,device\ns1,phone\ns2,desk", None),
        ("s1\ns2", "session_id,device\ns2,desk\ns1,phone", "line 2: session_id is 's2'"),
        ("s1\ns2", "session_id,position\ns1,1\ns2,2", "column position"),
    ],
)
def test_context_is_the_events_or_refused(
    tmp_path: Path, events: str, context: str, told: str | None
) -> None:
    rows = "\n".join(f"{n},u,i,view,{session}" for n, session in enumerate(events.split("\n")[:2], 1))
    for name, text in (
        ("events.csv.gz", f"timestamp,user_id,item_id,event_type,session_id\n{rows}"),
        ("context.csv.gz", context),
    ):
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(text + "\n")
    if told is None:
        found = [(event.session_id, event.context["device"]) for event in FileSource(tmp_path)]
        assert found == [("s1", "phone"), ("s2", "desk")]
    else:
        with pytest.raises(LogError, match=told):
            list(FileSource(tmp_path))


@pytest.mark.logs
@pytest.mark.parametrize("name", ["deskdrop", "ml-latest-small"])
def test_real_logs_are_read_whole(name: str) -> None:
    folder = LOGS / name
    if not folder.is_dir():
        pytest.skip(f"the event log {name} is not beside the checkout")
    stats = json.loads((folder / "stats.json").read_text())
    source = FileSource(folder)
    assert source.name == name
    assert source.count() == stats["rows"]
    types: dict[str, int] = {}
    last_ms = 0
    for event in source:
        types[event.event_type] = types.get(event.event_type, 0) + 1
        assert event.occurred_at_ms >= last_ms
        last_ms = event.occurred_at_ms
        assert (event.event_type == "tag") == ("text" in event.context)
        assert (event.session_id is not None) == (name == "deskdrop")
    assert types == stats["types"]
    assert len(item_titles(folder)) == stats["items_in_catalogue"]
