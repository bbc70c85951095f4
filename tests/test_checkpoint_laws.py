"""The whole of it: whatever happens, a checkpoint holds what the processor held, bit for bit. Imports torch."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import NOW_MS
from checkpointed import SETTINGS, Shop, built, deltas_are_right, different, restored, write
from safetensors.numpy import save_file

import stream.checkpoints.folder as folder_module
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor
from stream.user_view import user_view


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_checkpoints_restarts_full_disks_and_merges(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, processor = Shop(seed), built()
    store = CheckpointStore(tmp_path, keep=2, longest_chain=3)
    real, disk_is_full = folder_module.Place.write, False

    def sometimes(self: Any, folder: str, name: str, chunks: Any) -> None:
        if disk_is_full and name == "learner.safetensors":
            raise OSError(28, "No space left on device")
        real(self, folder, name, chunks)

    monkeypatch.setattr(folder_module.Place, "write", sometimes)
    kinds: set[str] = set()
    for _ in range(24):
        for _ in range(int(shop.rng.integers(0, 4))):
            shop.step(processor)
        if shop.rng.random() < 0.25:
            disk_is_full = True
            with pytest.raises(OSError, match="No space left"):
                write(processor, store, shop if shop.rng.random() < 0.5 else None)
            disk_is_full = False
            shop.step(processor)
        write(processor, store, shop if shop.rng.random() < 0.5 else None)
        found = CheckpointStore(tmp_path).latest()
        assert found is not None
        kinds.add(found.manifest.kind)
        assert different(found.pieces, processor.state_dicts()) == []
        if store.merge_due:
            assert store.merge() is not None
            merged = CheckpointStore(tmp_path).latest()
            assert merged is not None
            assert merged.deltas == ()
            assert different(merged.pieces, processor.state_dicts()) == []
        if shop.rng.random() < 0.2:
            store = CheckpointStore(tmp_path, keep=2, longest_chain=3)
            processor = restored(store)
            assert different(found.pieces, processor.state_dicts()) == []
    assert kinds == {"full", "delta"}
    assert processor.states.index.evictions > 0
    assert processor.pipeline.items.evictions > 0


def test_a_smaller_bound_of_waiting_impressions_keeps_the_chain_right(tmp_path: Path) -> None:
    """What stands elsewhere after a restart, because a setting changed, counts as changed."""
    shop, processor, store = Shop(5), built(), CheckpointStore(tmp_path)
    for _ in range(12):
        shop.step(processor)
    write(processor, store)
    found = store.latest()
    assert found is not None
    smaller = built(state={**SETTINGS["state"], "max_pending": 25}, recommend={"slate_size": 3})
    smaller.load(found.pieces, found.manifest.totals)
    store.resume(found)
    deltas_are_right(tmp_path, store, shop, smaller)


@pytest.mark.parametrize(
    "context", [["country"], ["country", "device"], ["device", "country", "channel"], []]
)
@pytest.mark.parametrize("buckets", [1_024, 16])
def test_another_context_keeps_the_chain_right(tmp_path: Path, context: list[str], buckets: int) -> None:
    shop, processor, store = Shop(6), built(), CheckpointStore(tmp_path)
    for _ in range(12):
        shop.step(processor)
    write(processor, store)
    learner = {**SETTINGS["learner"], "context_buckets": buckets}
    other = restored(store, events={"context": context}, learner=learner)
    deltas_are_right(tmp_path, store, shop, other)
    back = restored(store)
    shop.step(back)
    write(back, store)
    again = CheckpointStore(tmp_path).latest()
    assert again is not None
    assert different(again.pieces, back.state_dicts()) == []


# --- the former format

WITHOUT_CONTEXT: dict[str, Any] = {"events": {"context": []}}


def write_in_format_1(folder: Path, processor: Processor) -> None:
    """As the version before wrote it: whole pieces, one file each, and a manifest without a checksum."""
    pieces = processor.state_dicts()
    for owner in ("counts.own", "filters.owned"):
        for column in ("keys", "counts", "last_s"):
            pieces["learner"][f"{owner}.{column}"] = pieces["learner"].pop(f"{owner}.pairs.{column}")
    for arrays in pieces.values():
        for name in [name for name in arrays if "context" in name]:
            del arrays[name]
    for piece, prefix in (("users", "index."), ("items", "")):
        used = np.ones(len(pieces[piece][f"{prefix}touched"]), np.bool_)
        used[pieces[piece][f"{prefix}free"]] = False
        pieces[piece][f"{prefix}used"] = used
    users = pieces["users"]
    for partition in users["pending_partitions"].tolist():
        first, after = users[f"pending.{partition}.scalars"][:2].tolist()
        for name in [name for name in users if name.startswith(f"pending.{partition}.")]:
            if not name.endswith((".closed", ".scalars")):
                slots = np.arange(first, after) % len(users[name])
                users[name] = users[name][slots]
    del users["newest_ms"], pieces["ledger"]
    totals = processor.totals_dict()
    totals = {"duplicates_skipped" if name == "records_skipped" else name: n for name, n in totals.items()}
    folder.mkdir(parents=True)
    files = {}
    for piece, arrays in pieces.items():
        path = folder / f"{piece}.safetensors"
        save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, path)
        content = path.read_bytes()
        files[path.name] = {"bytes": len(content), "crc32": zlib.crc32(content)}
    manifest = {
        "format": 1,
        "number": int(folder.name),
        "created_at_ms": NOW_MS,
        "topic": "events",
        "topic_id": "an id",
        "applied": {str(partition): offset for partition, offset in processor.states.applied.items()},
        "totals": {name: n for name, n in totals.items() if name not in ("duplicates", "late_events")},
        "summary": {"users": len(processor.states)},
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))


def test_a_checkpoint_of_the_former_format_is_taken_up(tmp_path: Path) -> None:
    shop, processor = Shop(7), built(**WITHOUT_CONTEXT)
    for _ in range(30):
        shop.step(processor)
    write_in_format_1(tmp_path / "000000000007", processor)
    store = CheckpointStore(tmp_path, longest_chain=3)
    upgraded = restored(store, **WITHOUT_CONTEXT)
    event_types = processor.pipeline.batcher.event_types
    for user in range(80):
        views = [
            user_view(one.states, one.pipeline.items, event_types, f"user {user}")
            for one in (processor, upgraded)
        ]
        assert views[0] == views[1]
    assert (
        different(
            {"learner": processor.state_dicts()["learner"], "items": processor.state_dicts()["items"]},
            {"learner": upgraded.state_dicts()["learner"], "items": upgraded.state_dicts()["items"]},
        )
        == []
    )
    offsets, state = list(shop.offsets), shop.rng.bit_generator.state
    for _ in range(10):
        shop.step(processor)
    shop.offsets, shop.rng.bit_generator.state = offsets, state
    kinds = []
    for _ in range(10):
        shop.step(upgraded)
        write(upgraded, store)
        found = CheckpointStore(tmp_path).latest()
        assert found is not None
        kinds.append(found.manifest.kind)
        assert different(found.pieces, upgraded.state_dicts()) == []
    assert kinds == ["full", *["delta"] * 9], "what was laid out otherwise cannot be changed row by row"
    assert (
        different(
            {"learner": processor.state_dicts()["learner"]}, {"learner": upgraded.state_dicts()["learner"]}
        )
        == []
    ), "and it goes on as if nothing had happened"
    assert upgraded.states.pending == processor.states.pending


def test_a_damaged_checkpoint_of_the_former_format_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop, processor = Shop(8), built()
    for number in (3, 4):
        shop.step(processor)
        write_in_format_1(tmp_path / f"{number:012d}", processor)
    path = tmp_path / "000000000004" / "learner.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = CheckpointStore(tmp_path).latest()
    assert found is not None
    assert found.manifest.number == 3
    assert "000000000004/learner.safetensors: the checksum does not fit" in caplog.text
