from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from builders import NOW_MS, event, numbered, records
from click.testing import CliRunner
from fakes import TASKS, CountingLearner, in_one_portion, processor

from connectors.file_lock import locked
from connectors.kafka_client import KafkaClient
from learners.task import Task
from stream.assembly import build_processor
from stream.checkpoints.store import CheckpointStore
from stream.cli.main import cli
from stream.local_http import asked
from stream.settings import Settings, load
from stream.status import WorkerBusyError, task_weights, user_state
from stream.worker import WorkerError, restore, run_worker
from stream.worker_card import WorkerCard

NOBODY = KafkaClient(bootstrap="127.0.0.1:1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(overrides={"state_dir": tmp_path})


def written(folder: Path, **told: object) -> CheckpointStore:
    """A store with one checkpoint of a few events."""
    store, learned = CheckpointStore(folder), processor()
    learned.process(records(numbered([event(item=item) for item in ("tea", "cup", "pot")])), NOW_MS)
    store.write(
        in_one_portion(learned),
        topic="events",
        applied=learned.states.applied,
        totals=learned.totals_dict(),
        summary={},
        now_ms=1,
    )
    return store


def test_a_second_worker_in_the_same_state_folder_is_refused(settings: Settings) -> None:
    with (
        locked(settings.state_dir / "worker.lock", timeout_s=0.0),
        pytest.raises(WorkerError, match=r"Another worker uses the state folder .* \(FRESHET_STATE_DIR\)"),
    ):
        run_worker(settings, NOBODY)


def test_a_state_folder_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkerError, match=r"cannot be written: Not a directory\. Set FRESHET_STATE_DIR"):
        run_worker(load(overrides={"state_dir": tmp_path / "file" / "state"}), NOBODY)


def test_a_folder_without_checkpoints_starts_from_nothing(tmp_path: Path) -> None:
    fresh = processor()
    assert restore(fresh, CheckpointStore(tmp_path), "events") is None
    assert fresh.totals.events_learned == 0


def test_a_checkpoint_is_taken_up_with_totals_and_offsets(tmp_path: Path) -> None:
    restored = processor()
    restore(restored, written(tmp_path), "events")
    assert restored.totals.events_learned == 3
    assert restored.states.applied == {0: 2}


def test_a_checkpoint_of_another_topic_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"belong to topic 'events', not 'others'.*FRESHET_STATE_DIR"):
        restore(processor(), written(tmp_path), "others")


def test_a_checkpoint_of_other_tasks_is_taken_up_and_the_log_names_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = processor(CountingLearner([TASKS[1], Task(name="like")]))
    restore(other, written(tmp_path), "events")
    assert other.totals.events_learned == 3
    assert "The tasks are others than the checkpoint's: new: like; dropped: click." in caplog.text


@pytest.mark.parametrize(
    ("learner", "says"),
    [
        ({"dimension": 16}, "learner.dimension"),
        ({"heads_width": 8}, "learner.heads_width"),
        ({"heads": "cgc"}, "learner.heads"),
        ({"experts": 2}, "learner.experts"),
        ({"weighting": "dwa"}, "learner.weighting"),
        ({"ranker_learning_rates": [0.001]}, "learner.ranker_learning_rates"),
        ({"encoder": "gru"}, "learner.encoder"),
    ],
)
def test_a_learner_of_other_sizes_is_refused_with_a_way_out(
    tmp_path: Path, learner: dict[str, object], says: str
) -> None:
    small = {"dimension": 8, "negatives": 8, "neighbours": 8, "ranker_memory": 16}
    saved = build_processor(load(overrides={"state_dir": tmp_path, "learner": small}))
    saved.process(records(numbered([event(item=item) for item in ("tea", "cup", "pot")])), NOW_MS)
    store = CheckpointStore(tmp_path)
    store.write(
        in_one_portion(saved), topic="events", applied={}, totals=saved.totals_dict(), summary={}, now_ms=1
    )
    other = build_processor(load(overrides={"state_dir": tmp_path, "learner": small | learner}))
    with pytest.raises(WorkerError) as refused:
        restore(other, store, "events")
    assert says in str(refused.value)
    assert "Restore what it was made with, or move the folder away" in str(refused.value)
    assert "FRESHET_STATE_DIR" in str(refused.value)


def test_another_history_length_is_gone_on_with(tmp_path: Path) -> None:
    """What waits for a gradient step in the learner has histories of the former length, too."""
    small = {"dimension": 8, "negatives": 8, "neighbours": 8, "ranker_memory": 16}
    clicks = numbered([event(f"u{n % 5}", f"i{n % 7}") for n in range(200)])
    for before, after in ((6, 3), (3, 6)):
        made = [
            build_processor(
                load(overrides={"state_dir": tmp_path, "learner": small, "state": {"history_length": length}})
            )
            for length in (before, after)
        ]
        made[0].process(records(clicks[:50]), NOW_MS)
        made[1].load(made[0].state_dicts(), made[0].totals_dict())
        found = made[1].process(records(clicks[50:], first=50), NOW_MS)
        assert found.step is not None
        assert found.step.lesson.skipped == ()
        assert made[1].totals.events_learned == 200
        assert len(made[1].states.user("u0").item_rows) == after  # type: ignore[union-attr]


def test_damaged_checkpoints_are_not_taken_for_none(tmp_path: Path) -> None:
    store = written(tmp_path)
    (tmp_path / f"{store.numbers()[0]:012d}.full" / "manifest.json").write_text("{")
    with pytest.raises(WorkerError, match="None of the 1 checkpoints"):
        restore(processor(), store, "events")


def test_a_topic_that_was_made_anew_is_read_from_its_beginning_and_nothing_learned_is_lost(
    tmp_path: Path,
) -> None:
    store, learned = CheckpointStore(tmp_path), processor()
    learned.process(records(numbered([event(item=item) for item in ("tea", "cup")])), NOW_MS)
    for topic_id in ("first", "second"):
        store.write(
            in_one_portion(learned),
            topic="events",
            topic_id=topic_id,
            applied=learned.states.applied,
            totals=learned.totals_dict(),
            summary={},
            now_ms=1,
        )
    same, anew = processor(), processor()
    restore(same, store, "events", "second")
    restore(anew, store, "events", "third")
    assert same.states.applied == {0: 1}
    assert anew.states.applied == {}
    assert anew.totals.events_learned == 2


def test_a_worker_that_stops_between_two_questions_is_no_longer_running(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when it was looked for, and is not when it is asked."""
    gone = WorkerCard(pid=1, http="127.0.0.1:1", started_at_ms=time.time_ns() // 1_000_000)
    monkeypatch.setattr("stream.status.read_card", lambda _: gone)
    assert task_weights(settings) is None
    assert user_state(settings, "ann") is None


def test_a_process_that_came_later_is_not_the_worker_that_left_its_card(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash its number may be somebody's, and its address another worker's."""
    with socket.create_server(("127.0.0.1", 0)) as another:
        address = f"127.0.0.1:{another.getsockname()[1]}"
        monkeypatch.setattr(
            "stream.status.read_card", lambda _: WorkerCard(pid=os.getpid(), http=address, started_at_ms=0)
        )
        assert task_weights(settings) is None
        another.settimeout(0.1)
        with pytest.raises(TimeoutError):
            another.accept()


async def test_a_worker_of_this_machine_is_asked_whatever_proxy_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def weights(_: web.Request) -> web.Response:
        return web.json_response({"click": 1.0})

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    application = web.Application()
    application.add_routes([web.get("/weights", weights)])
    async with TestServer(application) as server:
        found = await asyncio.to_thread(asked, f"127.0.0.1:{server.port}", "/weights", 5.0)
    assert found == {"click": 1.0}


def test_a_worker_that_does_not_answer_is_said_to_be_busy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As during a recovery, when what needs the state waits for it, or where the process stands still."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        now_ms = time.time_ns() // 1_000_000
        card = WorkerCard(pid=os.getpid(), http=f"127.0.0.1:{silent.getsockname()[1]}", started_at_ms=now_ms)
        monkeypatch.setattr("stream.status.read_card", lambda _: card)
        monkeypatch.setattr("stream.status._PATIENCE_S", 0.1)
        told = CliRunner().invoke(cli, ["explain", "weights"])
        assert told.exit_code == 1
        assert f"The worker (pid {card.pid}) did not answer within 0 s" in told.stderr
        with pytest.raises(WorkerBusyError):
            user_state(settings, "ann")
