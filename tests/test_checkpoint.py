"""Checkpoints on disk, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS
from numpy.typing import NDArray

import stream.checkpoint as checkpoint_module
from stream.checkpoint import CheckpointError, CheckpointStore, Manifest

PIECES = {
    "users": {"items": np.arange(6, dtype=np.int32).reshape(2, 3), "ids": np.array([2**64 - 1], np.uint64)},
    "learner": {"weight": np.array([[0.5, np.nan, -np.inf]], np.float32), "step": np.array([3])},
}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", keep=2)


def write(store: CheckpointStore, offset: int = 7, pieces: Mapping[str, Any] = PIECES) -> Manifest:
    """A checkpoint at an offset; everything else is the same in each."""
    return store.write(
        pieces,
        topic="events",
        applied={0: offset, 11: 4},
        totals={"events_learned": offset},
        summary={"users": 2},
        now_ms=NOW_MS,
    )


def folder_of(store: CheckpointStore, number: int) -> Path:
    return store.folder / f"{number:012d}"


def same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def offset_of(store: CheckpointStore) -> int:
    latest = store.latest()
    assert latest is not None
    return latest.manifest.applied[0]


def test_what_was_written_is_read(store: CheckpointStore) -> None:
    manifest = write(store)
    found = store.latest()
    assert found is not None
    assert found.manifest == manifest == store.latest_manifest()
    assert (manifest.topic, manifest.applied, manifest.totals) == (
        "events",
        {0: 7, 11: 4},
        {"events_learned": 7},
    )
    assert (manifest.summary, manifest.created_at_ms, manifest.number) == ({"users": 2}, NOW_MS, 1)
    assert found.pieces.keys() == PIECES.keys()
    assert all(same(found.pieces[name], PIECES[name]) for name in PIECES)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4)),
        np.array(1.5),
        np.array([], np.bool_),
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=["empty", "scalar", "no flags", "transposed", "every third", "by columns"],
)
def test_arrays_of_any_layout_come_back(store: CheckpointStore, array: NDArray[Any]) -> None:
    write(store, pieces={"piece": {"array": array}})
    found = store.latest()
    assert found is not None
    assert same(found.pieces["piece"], {"array": array})


def test_there_is_nothing_before_the_first(store: CheckpointStore) -> None:
    assert store.latest() is None
    assert store.latest_manifest() is None
    assert store.numbers() == []
    store.folder.mkdir()
    assert store.latest() is None


def test_only_the_pieces_that_are_asked_for_are_read(store: CheckpointStore) -> None:
    write(store)
    found = store.latest(("users",))
    assert found is not None
    assert set(found.pieces) == {"users"}


def test_the_newest_are_kept(store: CheckpointStore) -> None:
    for offset in range(5):
        write(store, offset)
    assert store.numbers() == [4, 5]
    assert offset_of(store) == 4


def test_a_strangers_files_are_left_alone(store: CheckpointStore) -> None:
    write(store)
    for name in ("notes.txt", "²", "12a"):
        (store.folder / name).mkdir()
    assert store.numbers() == [1]
    write(store, 8)
    assert (store.folder / "notes.txt").is_dir()


# --- damage


def truncate(folder: Path) -> None:
    path = folder / "learner.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def flip(folder: Path) -> None:
    path = folder / "users.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"")


def later_format(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": manifest["format"] + 1}))


def lie_about_the_content(folder: Path) -> None:
    """Size and checksum fit, but it is no safetensors file."""
    write_as_file = folder / "users.safetensors"
    write_as_file.write_bytes(b"\xff" * 40)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["files"]["users.safetensors"] = {"bytes": 40, "crc32": checkpoint_module._crc32(write_as_file)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


DAMAGE = {
    "truncated": truncate,
    "a flipped bit": flip,
    "a missing piece": lambda folder: (folder / "users.safetensors").unlink(),
    "a missing manifest": lambda folder: (folder / "manifest.json").unlink(),
    "an empty manifest": empty_manifest,
    "a manifest that is not UTF-8": lambda folder: (folder / "manifest.json").write_bytes(
        b'{"topic": "\xff"}'
    ),
    "another format": later_format,
    "no safetensors": lie_about_the_content,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_and_the_one_before_is_used(
    store: CheckpointStore, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write(store, 7)
    write(store, 8)
    damage(folder_of(store, 2))
    assert offset_of(store) == 7
    assert "checkpoint 2 cannot be used" in caplog.text
    assert write(store, 9).number == 3, "a damaged one's number is not used again"
    assert offset_of(store) == 9


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_when_all_are_damaged_it_says_so(store: CheckpointStore, damage: Any) -> None:
    write(store, 7)
    write(store, 8)
    for number in (1, 2):
        damage(folder_of(store, number))
    with pytest.raises(
        CheckpointError, match=r"None of the 2 checkpoints in .* can be read .* Move the folder"
    ):
        store.latest()


def test_no_flipped_bit_goes_unnoticed(store: CheckpointStore) -> None:
    """Whatever bit of a piece turns, either it is found or the arrays are the same."""
    write(store)
    path = folder_of(store, 1) / "users.safetensors"
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 5):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            store.read(1)


def test_a_flipped_bit_of_the_manifest_changes_no_state(store: CheckpointStore) -> None:
    """The manifest has no checksum of its own; what the state is restored from does not depend on it."""
    write(store)
    path = folder_of(store, 1) / "manifest.json"
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 3):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = store.read(1)
        except CheckpointError:
            continue
        assert all(same(found.pieces[name], PIECES[name]) for name in PIECES)


# --- writing


def test_an_interrupted_write_leaves_nothing_that_is_found(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each of its syncs, one after the other: the one before is found, and the next one works."""
    write(store, 7)

    class KilledError(BaseException):
        pass

    real, syncs = checkpoint_module._sync, 0
    for fatal in range(6):

        def sync(path: Path, fatal: int = fatal) -> None:
            nonlocal syncs
            if syncs == fatal:
                raise KilledError
            syncs += 1
            real(path)

        syncs = 0
        monkeypatch.setattr(checkpoint_module, "_sync", sync)
        try:
            write(store, 100 + fatal)
        except KilledError:
            if fatal < 4:
                assert offset_of(store) == 7, fatal
        monkeypatch.setattr(checkpoint_module, "_sync", real)
    assert syncs == 5, "two pieces, the manifest, the folder, the folder above"
    assert write(store, 9).applied[0] == 9
    assert offset_of(store) == 9
    assert not list(store.folder.glob(".writing-*")), "swept by the next one"


def test_a_folder_that_cannot_be_written_is_an_os_error_and_leaves_the_older_ones(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that writes the arrays has an error of its own for a full or vanished disk."""
    write(store, 7)
    real = Path.mkdir

    def mkdir_that_vanishes(path: Path, *args: Any, **kwargs: Any) -> None:
        real(path, *args, **kwargs)
        if path.name.startswith(".writing-"):
            shutil.rmtree(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir_that_vanishes)
        with pytest.raises(OSError, match="No such file"):
            write(store, 8)
    assert offset_of(store) == 7
    write(store, 9)
    assert offset_of(store) == 9


def test_a_file_in_the_folders_place_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(OSError, match="checkpoints"):
        write(CheckpointStore(tmp_path / "checkpoints"))
