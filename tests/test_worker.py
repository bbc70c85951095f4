from __future__ import annotations

from pathlib import Path

import pytest
from builders import NOW_MS, event, numbered, records
from fakes import in_one_portion, processor

from connectors.file_lock import locked
from connectors.kafka_client import KafkaClient
from stream.checkpoints.store import CheckpointStore
from stream.settings import Settings, load
from stream.worker import WorkerError, restore, run_worker

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


def test_a_checkpoint_of_other_settings_is_refused_and_names_them(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"made with other settings: .*history_length = 5, configured is 7"):
        restore(processor(history_length=7), written(tmp_path), "events")


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
