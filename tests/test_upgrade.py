"""Checkpoints of versions before this one: taken up, or refused in words that say what to do. Imports torch."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import NOW_MS, event, records
from checkpointed import Shop, built, deltas_are_right, different, write

from learners.state_arrays import nest, pack_strings
from stream.assembly import build_processor
from stream.checkpoints import manifest as manifests
from stream.checkpoints.store import CheckpointStore
from stream.processor import Processor
from stream.settings import load
from stream.worker import WorkerError, restore

FORMER = Path(__file__).parent / "former" / "checkpoint-format-2.tar.xz"
"""Written by freshet itself, by the commit before tasks could be changed: a full one and two deltas."""

SETTINGS: dict[str, Any] = {
    "tasks": [
        {"name": "view", "window_s": 60, "event_types": ["view"]},
        # that version taught a no when the window had closed
        {"name": "like", "window_s": 600, "wait_s": 600, "event_types": ["like"]},
    ],
    "state": {"history_length": 4, "max_pending": 40},
    "learner": {
        "dimension": 4,
        "encoder_length": 2,
        "encoder": "gru",
        "heads_width": 4,
        "experts": 1,
        "neighbours": 2,
        "ranker_memory": 2,
        "ranker_learning_rates": [0.001],
        "negatives": 4,
    },
    "recommend": {"slate_size": 2, "candidates": 10},
}


def happened() -> list[Any]:
    """The events that it holds."""
    kinds = ("impression", "view", "like", "purchase")
    return [
        event(
            f"user {n % 7}",
            f"item {n % 5}",
            kinds[(n // 3) % 4],
            event_id=f"e{n}",
            occurred_at_ms=NOW_MS + 15_000 * n,
            position=n % 3,
        )
        for n in range(120)
    ]


def taken_up(folder: Path, **differing: Any) -> tuple[CheckpointStore, Processor]:
    with tarfile.open(FORMER) as archive:
        # the first versions of Python 3.11 have no filters, and later ones want one
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(folder)
    store, processor = (
        CheckpointStore(folder, longest_chain=9),
        build_processor(load(overrides=SETTINGS | differing)),
    )
    manifest = restore(processor, store, "events")
    assert manifest is not None
    assert (manifest.number, manifest.kind) == (3, "delta")
    return store, processor


def test_a_checkpoint_that_the_version_before_wrote_is_gone_on_with(tmp_path: Path) -> None:
    store, processor = taken_up(tmp_path)
    again = build_processor(load(overrides=SETTINGS))
    for start in range(0, 120, 40):
        again.process(records(happened()[start : start + 40], first=start), NOW_MS + 10**9)
    found, wanted = processor.state_dicts(), again.state_dicts()
    for piece in ("users", "items", "ledger"):
        # A step touched its users twice then.
        others = ("slate", "pending.0.shown", "index.scalars", "index.touched")
        made = [name for name in wanted[piece] if not name.startswith(others)]
        names = {name: wanted[piece][name] for name in made}
        assert different({piece: {name: found[piece][name] for name in made}}, {piece: names}) == []
    assert processor.totals_dict() == again.totals_dict()
    assert processor.pipeline.learner.step == again.pipeline.learner.step == 3
    deltas_are_right(tmp_path, store, Shop(1), processor)


def test_and_its_tasks_may_be_changed_with_the_version(tmp_path: Path) -> None:
    like, view = SETTINGS["tasks"][::-1]
    share = {"name": "share", "window_s": 60, "event_types": ["share"]}
    _, before = taken_up(tmp_path / "before")
    store, processor = taken_up(tmp_path / "after", tasks=[share, like, view])
    counted = [one.pipeline.ledger.labels.tolist() for one in (before, processor)]
    assert counted[1] == [[0, 0, 0], *counted[0][::-1]]
    assert sum(counted[0][0]) > 0
    deltas_are_right(tmp_path / "after", store, Shop(1), processor)


def test_a_model_of_a_version_that_is_not_known_any_more_is_refused_with_a_way_out(tmp_path: Path) -> None:
    processor = built()
    Shop(2).step(processor)
    saved = processor.state_dicts()
    former = {name: array for name, array in saved["learner"].items() if not name.startswith("version.")}
    unsaid, later = former, former | nest("version", pack_strings(["3"]))
    for number, learned in enumerate((unsaid, later)):
        store = CheckpointStore(tmp_path / str(number))
        store.write(
            {name: [arrays] for name, arrays in (saved | {"learner": learned}).items()},
            topic="events",
            applied={},
            totals=processor.totals_dict(),
            summary={},
            now_ms=NOW_MS,
        )
        with pytest.raises(
            WorkerError,
            match=rf"saved by version {(1, 3)[number]} of the model, this is version 2.* Restore what it was made "
            r"with, or move the folder away .*to learn anew from the oldest event that the topic still holds",
        ):
            restore(built(), store, "events")


def test_a_format_that_is_not_known_is_refused_with_a_way_out(tmp_path: Path) -> None:
    processor, store = built(), CheckpointStore(tmp_path)
    Shop(2).step(processor)
    write(processor, store)
    path = tmp_path / "000000000001.full" / manifests.NAME
    later = msgspec.structs.replace(manifests.decode(path.read_bytes()), format=manifests.FORMAT + 1)
    path.write_bytes(manifests.encode(later))
    with pytest.raises(
        WorkerError,
        match=r"format 3, this version reads 1 to 2.*Move the folder away to learn anew from the oldest event",
    ):
        restore(built(), CheckpointStore(tmp_path), "events")
