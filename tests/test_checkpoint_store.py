"""Checkpoints: whole ones and what changed since, what is kept, what is found after damage, and merging."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from builders import NOW_MS
from numpy.typing import NDArray

import stream.checkpoints.folder as folder_module
import stream.checkpoints.place as place_module
from learners.state_changes import CHANGED, LiveState, Table, Taken, changed, mark_all, whole
from stream.checkpoints.manifest import CheckpointError, Manifest
from stream.checkpoints.store import CheckpointStore

Arrays = dict[str, NDArray[Any]]


class State:
    """A table and a number that learn, and what checkpoints were made of them."""

    def __init__(self, store: CheckpointStore, rows: int = 50) -> None:
        self.store = store
        self.rng = np.random.default_rng(0)
        self.table: NDArray[Any] = np.zeros((rows, 3))
        self.marks = np.zeros(rows, np.uint8)
        self.steps = 0
        self.most_bytes = math.inf
        self.written: dict[int, Arrays] = {}

    def live(self) -> LiveState:
        return {"table": Table(self.table, self.marks), "steps": np.array([self.steps])}

    def learn(self) -> None:
        self.steps += 1
        rows = self.rng.integers(0, len(self.table), 3)
        self.table[rows] = self.steps
        self.marks[rows] = CHANGED

    def save(self) -> Manifest:
        """Learn and write a checkpoint, whose offset is its step."""
        self.learn()
        taken, everything, portions = Taken(), self.store.needs_whole, []
        if everything:
            mark_all(self.live())
        while not taken.choose([self.live()], self.most_bytes):
            portions.append(changed(self.live(), taken, last=False))
            self.learn()
        portions.append(changed(self.live(), taken))
        manifest = self.store.write(
            {"users": portions, "items": [{"step": np.array(self.steps)}]},
            whole=everything,
            topic="events",
            applied={0: self.steps, 11: 4},
            totals={"events_learned": self.steps},
            summary={"users": 2},
            now_ms=NOW_MS,
        )
        taken.saved()
        self.written[manifest.number] = {name: array.copy() for name, array in whole(self.live()).items()}
        return manifest

    def found(self) -> int:
        """The number of the newest checkpoint that is found; its content must be what was written."""
        found = CheckpointStore(self.store.url).latest()
        assert found is not None
        number = found.manifest.number
        assert same(found.pieces["users"], self.written[number])
        assert found.manifest.applied[0] == self.written[number]["steps"][0]
        assert found.pieces["items"]["step"] == found.manifest.applied[0]
        return number


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "checkpoints")
        return
    yield f"memory://{tmp_path.name}/checkpoints"
    fsspec.filesystem("memory").rm("/", recursive=True)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(CheckpointStore(tmp_path / "checkpoints", keep=2, longest_chain=4))


def folders(state: State) -> list[str]:
    return sorted(path.name for path in Path(state.store.url).iterdir())


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


# --- writing and reading


def test_what_was_written_is_read(url: str) -> None:
    state = State(CheckpointStore(url))
    first, second = state.save(), state.save()
    assert (first.number, first.kind, first.parent) == (1, "full", None)
    assert (second.number, second.kind, second.parent) == (2, "delta", 1)
    found = CheckpointStore(url).latest()
    assert found is not None
    assert found.manifest == second == CheckpointStore(url).latest_manifest()
    assert (second.topic, second.applied, second.totals) == ("events", {0: 2, 11: 4}, {"events_learned": 2})
    assert (second.summary, second.created_at_ms) == ({"users": 2}, NOW_MS)
    assert found.deltas == (2,)
    assert state.found() == 2


def test_a_delta_is_small_and_a_large_part_has_a_file_of_its_own(tmp_path: Path) -> None:
    state = State(CheckpointStore(tmp_path), rows=100_000)
    full, delta = state.save(), state.save()
    assert set(full.files) == {"users.table.safetensors", "users.safetensors", "items.safetensors"}
    assert set(delta.files) == {"users.safetensors", "items.safetensors"}
    assert full.bytes > 2_400_000
    assert delta.bytes < 5_000
    assert state.found() == 2


def test_chains_are_read_merged_and_pruned_wherever_they_stand(url: str) -> None:
    state = State(CheckpointStore(url, keep=2, longest_chain=3))
    for _ in range(14):
        state.save()
        if state.store.merge_due:
            merged = state.store.merge()
            assert merged is not None
            assert (merged.kind, merged.number) == ("full", state.steps)
        assert state.found() == state.steps
        assert state.store.chain_length <= 3


@pytest.mark.parametrize("longest", [0, 4])
def test_what_was_copied_in_portions_is_one_moment(tmp_path: Path, longest: int) -> None:
    """Steps come between the portions; the state is that of the last one."""
    state = State(CheckpointStore(tmp_path, longest_chain=longest), rows=100)
    state.most_bytes = 500.0
    for number in range(1, 8):
        for _ in range(10):
            state.learn()
        assert state.save().number == number
        assert state.found() == number
    assert state.steps > 80


def test_there_is_nothing_before_the_first(url: str) -> None:
    store = CheckpointStore(url)
    assert store.latest() is None
    assert store.latest_manifest() is None
    assert store.numbers() == []
    assert store.needs_whole


def test_only_the_pieces_that_are_asked_for_are_read(state: State) -> None:
    state.save()
    state.save()
    found = state.store.latest(("items",))
    assert found is not None
    assert set(found.pieces) == {"items"}


def test_without_deltas_every_checkpoint_is_whole(tmp_path: Path) -> None:
    state = State(CheckpointStore(tmp_path, keep=2, longest_chain=0))
    assert {state.save().kind for _ in range(5)} == {"full"}
    assert state.store.numbers() == [3, 4, 5], "two, and what they could fall back on"


def test_a_strangers_files_are_left_alone(state: State) -> None:
    state.save()
    for name in ("notes.txt", "²", "12a", "000000000009.other"):
        (Path(state.store.url) / name).mkdir()
    assert state.store.numbers() == [1]
    for _ in range(20):
        state.save()
    assert (Path(state.store.url) / "notes.txt").is_dir()
    assert (Path(state.store.url) / "000000000009.other").is_dir()


# --- what is kept


def test_two_bases_and_all_between_them_are_kept(state: State) -> None:
    """Folders by number: 1 is whole, then deltas; 5 and 9 are merged."""
    for _ in range(5):
        state.save()
    assert state.store.merge_due
    state.store.merge()
    for _ in range(4):
        state.save()
    state.store.merge()
    state.save()
    state.save()
    of_five = {"000000000005.full", *(f"{n:012d}.delta" for n in range(6, 12)), "000000000009.full"}
    assert set(folders(state)) == of_five, "5 is what 10 and 11 fall back on if 9 is damaged"


def test_a_damaged_base_loses_nothing(state: State) -> None:
    for _ in range(9):
        state.save()
        if state.store.merge_due:
            state.store.merge()
    state.save()
    newest = max(Path(state.store.url).glob("*.full"))
    flip(newest / "users.safetensors")
    assert state.found() == 10


def test_a_damaged_delta_loses_what_came_since(state: State, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(4):
        state.save()
    flip(Path(state.store.url) / "000000000003.delta" / "users.safetensors")
    assert state.found() == 2
    assert "checkpoint 4 cannot be used" in caplog.text
    assert "checkpoint 3 cannot be used" in caplog.text
    assert "000000000003.delta/users.safetensors: the checksum does not fit" in caplog.text


def test_a_merged_one_makes_a_damaged_delta_before_it_harmless(state: State) -> None:
    for _ in range(5):
        state.save()
    state.store.merge()
    state.save()
    flip(Path(state.store.url) / "000000000003.delta" / "users.safetensors")
    assert state.found() == 6


def test_a_restored_state_goes_on_with_deltas_of_what_was_sound(state: State) -> None:
    for _ in range(4):
        state.save()
    flip(Path(state.store.url) / "000000000004.delta" / "users.safetensors")
    restored = State(CheckpointStore(state.store.url, keep=2, longest_chain=4))
    found = restored.store.latest()
    assert found is not None
    restored.store.resume(found)
    restored.table, restored.steps = found.pieces["users"]["table"], 3
    manifest = restored.save()
    assert (manifest.number, manifest.kind, manifest.parent) == (5, "delta", 3)
    assert restored.found() == 5
    for _ in range(6):
        restored.save()
    assert restored.found() == 11
    assert restored.store.chain_length == 9


# --- damage

DAMAGE = {
    "truncated": lambda folder: (folder / "users.safetensors").write_bytes(b"1234567890"),
    "a flipped bit": lambda folder: flip(folder / "users.safetensors"),
    "a missing piece": lambda folder: (folder / "users.safetensors").unlink(),
    "an empty manifest": lambda folder: (folder / "manifest.json").write_bytes(b""),
    "a flipped bit in the manifest": lambda folder: flip(folder / "manifest.json", 60),
    "a manifest that is not UTF-8": lambda folder: (folder / "manifest.json").write_bytes(
        b'{"topic": "\xff"}'
    ),
    "a manifest of another": lambda folder: shutil.copy(
        folder.parent / "000000000001.full" / "manifest.json", folder
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("longest", [0, 4])
def test_damage_is_found_and_the_one_before_is_used(
    tmp_path: Path, longest: int, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = State(CheckpointStore(tmp_path, longest_chain=longest))
    state.save()
    state.save()
    damage(next(tmp_path.glob("000000000002.*")))
    assert state.found() == 1
    assert "checkpoint 2 cannot be used" in caplog.text
    assert CheckpointStore(tmp_path).numbers() == [1, 2]


@pytest.mark.parametrize("damage", list(DAMAGE.values())[:-1], ids=list(DAMAGE.keys())[:-1])
def test_when_all_are_damaged_it_says_so(state: State, damage: Any) -> None:
    state.save()
    state.save()
    damage(Path(state.store.url) / "000000000001.full")
    message = r"None of the 2 checkpoints in .* can be read .* Move the folder"
    with pytest.raises(CheckpointError, match=message):
        state.store.latest()


def test_a_later_format_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.checkpoints.store.FORMAT", 3)
    state.save()
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 3, this version reads 1 to 2"):
        state.store.latest()


@pytest.mark.parametrize("file", ["users.safetensors", "manifest.json"])
def test_no_flipped_bit_goes_unnoticed(state: State, file: str) -> None:
    """Whatever bit turns, either it is found or everything is the same."""
    manifest = state.save()
    path = Path(state.store.url) / "000000000001.full" / file
    whole_file = path.read_bytes()
    for bit in range(0, 8 * len(whole_file), 7):
        content = bytearray(whole_file)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = CheckpointStore(state.store.url).latest()
        except CheckpointError:
            continue
        assert found is not None
        assert found.manifest == manifest
        assert same(found.pieces["users"], state.written[1])


def test_a_base_that_turns_out_damaged_while_merging_is_gone_round(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        state.save()
    state.store.merge()
    for _ in range(4):
        state.save()
    flip(Path(state.store.url) / "000000000005.full" / "users.safetensors")
    assert state.store.merge() is not None
    assert "000000000005.full" in caplog.text
    shutil.rmtree(Path(state.store.url) / "000000000005.full")
    assert state.found() == 9


def test_when_nothing_leads_to_the_newest_any_more_the_next_one_holds_everything(state: State) -> None:
    for _ in range(5):
        state.save()
    flip(Path(state.store.url) / "000000000003.delta" / "users.safetensors")
    assert state.store.merge() is None
    assert state.store.needs_whole
    assert state.save().kind == "full"
    assert not state.store.needs_whole
    assert state.found() == 6
    assert state.save().kind == "delta"


# --- crashes and full disks


class KilledError(BaseException):
    """In the middle of writing."""


def test_an_interrupted_write_leaves_nothing_that_is_found(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before each of its syncs, one after the other: the one before is found, and the next one works."""
    state.save()
    real, syncs, allowed = place_module.sync, 0, 0
    monkeypatch.setattr(place_module.Place, "remove", lambda self, folder: None)  # the dead tidy nothing up

    def sync(path: str) -> None:
        nonlocal syncs
        if syncs == allowed:
            raise KilledError
        syncs += 1
        real(path)

    monkeypatch.setattr(place_module, "sync", sync)
    while True:
        syncs = 0
        try:
            state.save()
        except KilledError:
            if allowed < 5:
                assert state.found() == 1, "the manifest is in its place only after its own sync"
            allowed += 1
            continue
        break
    assert syncs == 6, "the folder above, two pieces, their folder, the manifest, its folder"
    monkeypatch.undo()
    state.store = CheckpointStore(state.store.url)
    state.save()
    finished = [name for name in folders(state) if (Path(state.store.url) / name / "manifest.json").exists()]
    assert folders(state) == finished, "swept by the next process"
    assert state.found() == state.store.numbers()[-1]


def test_a_full_disk_is_an_os_error_and_leaves_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save()
    before = folders(state)
    real = folder_module.Place.write

    def full(self: Any, folder: str, name: str, chunks: Any) -> None:
        real(self, folder, name, chunks)
        if name.startswith("items"):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folder_module.Place, "write", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space left"):
                state.save()
    assert folders(state) == before
    assert state.found() == 1
    state.save()
    state.written = {2: state.written[2]}
    assert state.found() == 2, "with what the failed ones had held"


def test_a_merge_that_fails_is_due_again_some_deltas_later(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        state.save()
    with monkeypatch.context() as patched:

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(folder_module.Place, "write", full)
        with pytest.raises(OSError, match="No space left"):
            state.store.merge()
    assert not state.store.merge_due
    state.save()
    assert state.store.merge_due
    assert state.store.merge() is not None
    assert state.found() == 6


def test_a_closed_store_ends_its_merge(state: State) -> None:
    for _ in range(5):
        state.save()
    state.store.close()
    assert state.store.merge() is None
    assert "000000000005.full" not in folders(state)
    state.save()
    assert state.found() == 6, "a last checkpoint is written all the same"


def test_deltas_go_on_while_a_merge_is_at_work(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        state.save()
    reached, go_on = threading.Event(), threading.Event()
    real = folder_module.Place.make

    def make(self: Any, folder: str) -> None:
        real(self, folder)
        if folder.endswith(".full"):
            reached.set()
            assert go_on.wait(10.0)

    monkeypatch.setattr(folder_module.Place, "make", make)
    merging = threading.Thread(target=state.store.merge)
    merging.start()
    assert reached.wait(10.0)
    for _ in range(3):
        state.save()
    assert state.found() == 8
    go_on.set()
    merging.join()
    assert state.store.chain_length == 3
    assert "000000000005.full" in folders(state)
    assert state.found() == 8


def test_a_file_in_the_folders_place_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("not a folder")
    with pytest.raises(OSError, match="checkpoints"):
        State(CheckpointStore(tmp_path / "checkpoints")).save()
