"""Checkpoints in an S3-compatible store: a server on this machine, spoken to as an operator would have it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from builders import NOW_MS, event, numbered, records
from checkpointed import different
from fakes import in_one_portion, processor
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from test_checkpoint_store import State

from stream.assembly import checkpoint_store
from stream.checkpoints.manifest import CheckpointError
from stream.checkpoints.store import CheckpointStore
from stream.settings import load
from stream.worker import restore

BUCKET = "freshet-state"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}
REGION = {"AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server, for as long as these tests run."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it says each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket that URLs lead to, as boto3 sees it."""
    for name, value in {**CREDENTIALS, **REGION, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # clients keep the endpoint that they began with
    bucket = boto3.resource("s3").Bucket(BUCKET)
    bucket.create()
    yield bucket
    bucket.objects.all().delete()
    bucket.delete()
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def state(bucket: Any) -> State:
    return State(CheckpointStore(f"s3://{BUCKET}/worker-0", keep=2, longest_chain=3))


def folders(bucket: Any) -> list[str]:
    return sorted({each.key.split("/")[1] for each in bucket.objects.all()})


def damage(bucket: Any, folder: str, name: str, how: Any) -> None:
    there = bucket.Object(f"worker-0/{folder}/{name}")
    there.put(Body=bytes(how(bytearray(there.get()["Body"].read()))))


def flipped(content: bytearray) -> bytearray:
    content[-1] ^= 1
    return content


def test_chains_are_written_read_merged_and_pruned(state: State, bucket: Any) -> None:
    kinds = []
    for _ in range(9):
        kinds.append(state.save().kind)
        if state.store.merge_due:
            merged = state.store.merge()
            assert merged is not None
            assert merged.kind == "full"
        assert state.found() == state.steps
    assert kinds == ["full"] + ["delta"] * 8
    # 1 is whole, 4 and 7 are merged; 4 is what 8 and 9 fall back on
    assert folders(bucket) == [
        "000000000004.full",
        "000000000005.delta",
        "000000000006.delta",
        "000000000007.delta",
        "000000000007.full",
        "000000000008.delta",
        "000000000009.delta",
    ]
    assert state.store.numbers() == [4, 5, 6, 7, 8, 9]


def test_one_that_was_never_finished_is_passed_over_and_swept_away(state: State, bucket: Any) -> None:
    state.save()
    state.save()
    bucket.Object("worker-0/000000000002.delta/manifest.json").delete()
    assert state.found() == 1
    again = State(CheckpointStore(state.store.url, keep=2))
    again.save()
    assert folders(bucket) == ["000000000001.full", "000000000002.full"]
    assert again.found() == 2


@pytest.mark.parametrize("how", [lambda content: content[:100], flipped], ids=["truncated", "a flipped bit"])
@pytest.mark.parametrize("name", ["users.safetensors", "manifest.json"])
def test_a_damaged_object_is_named_and_the_one_before_is_used(
    state: State, bucket: Any, name: str, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state.save()
    state.save()
    damage(bucket, "000000000002.delta", name, how)
    assert state.found() == 1
    assert f"s3://{BUCKET}/worker-0/000000000002.delta/{name}: " in caplog.text
    damage(bucket, "000000000001.full", name, how)
    with pytest.raises(CheckpointError, match="None of the 2 checkpoints in s3://"):
        CheckpointStore(state.store.url).latest()


def test_a_large_part_is_sent_in_pieces(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        S3FileSystem, "default_block_size", 5 << 20
    )  # the least that S3 takes, instead of 50 MB
    large = State(CheckpointStore(state.store.url), rows=500_000)
    manifest = large.save()
    assert manifest.files["users.table.safetensors"].bytes > 2 * (5 << 20)
    assert large.found() == 1


def test_a_worker_goes_on_from_there(bucket: Any) -> None:
    store = checkpoint_store(load(overrides={"worker": {"checkpoints": f"s3://{BUCKET}/worker-0"}}))
    worked, after = processor(), processor()
    assert restore(after, store, "events") is None
    worked.process(records(numbered([event(), event("bob", "other")])), NOW_MS)
    store.write(
        in_one_portion(worked),
        topic="events",
        applied=worked.states.applied,
        totals=worked.totals_dict(),
        summary={},
        now_ms=NOW_MS,
    )
    assert restore(after, store, "events") is not None
    assert different(after.state_dicts(), worked.state_dicts()) == []


def test_what_the_store_refuses_is_an_error_of_the_disk_kind(bucket: Any) -> None:
    """So that the engine goes on learning and counts a failure, as with a full disk."""
    refused = State(CheckpointStore("s3://Not a bucket/worker-0"))
    with pytest.raises(OSError, match="Not a bucket"):
        refused.save()


@pytest.mark.parametrize(
    "variables",
    [
        lambda url: {"AWS_ENDPOINT_URL": url},
        lambda url: {"FSSPEC_S3": json.dumps({"endpoint_url": url})},
    ],
    ids=["AWS_ENDPOINT_URL", "FSSPEC_S3"],
)
def test_the_endpoint_is_told_by_the_environment(state: State, endpoint: str, variables: Any) -> None:
    """In a process of its own, since clients look at it when they are imported."""
    state.save()
    others = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "FSSPEC_"))}
    code = "import sys; from stream.checkpoints.store import CheckpointStore as C; print(C(sys.argv[1]).numbers())"
    said = subprocess.run(
        [sys.executable, "-c", code, state.store.url],
        env={**others, **CREDENTIALS, **REGION, **variables(endpoint)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.strip() == "[1]", said.stderr
