"""Where checkpoints stand: local folders, other stores, and what cannot be one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

import stream.checkpoints.place as place_module
from stream.assembly import checkpoint_store
from stream.checkpoints.place import Place, PlaceError
from stream.settings import load


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        yield Place(tmp_path / "deep" / "place")
        return
    yield Place(f"memory://{tmp_path.name}/place")
    fsspec.filesystem("memory").rm("/", recursive=True)


def test_files_come_back(place: Place) -> None:
    assert place.folders() == []
    assert place.sizes("one") == {}
    place.make("one")
    place.write("one", "a.bin", [b"ab", memoryview(b"c")])
    place.write("one", "b.bin", [])
    place.settle("one")
    assert place.folders() == ["one"]
    assert place.sizes("one") == {"a.bin": 3, "b.bin": 0}
    data = place.read("one", "a.bin")
    assert data.tobytes() == b"abc"
    data[0] = 0  # the reader's own
    assert place.read("one", "a.bin").tobytes() == b"abc"
    with pytest.raises(FileNotFoundError):
        place.read("one", "c.bin")
    place.remove("one")
    place.remove("one")
    assert place.folders() == []


def test_a_path_is_a_path_whatever_stands_in_it(tmp_path: Path) -> None:
    one, other = Place(tmp_path / "x::1"), Place(tmp_path / "x::2")
    one.make("a")
    assert (tmp_path / "x::1" / "a").is_dir()
    assert other.folders() == []


def test_a_local_file_gets_its_name_after_it_was_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path)
    place.make("one")
    seen: list[tuple[str, bool]] = []
    real = place_module.sync

    def sync(path: str) -> None:
        seen.append((Path(path).name, (tmp_path / "one" / "a.bin").exists()))
        real(path)

    monkeypatch.setattr(place_module, "sync", sync)
    place.write("one", "a.bin", [b"abc"])
    place.settle("one")
    assert seen == [(".a.bin", False), ("one", True)]
    assert os.listdir(tmp_path / "one") == ["a.bin"]


def test_what_a_client_raises_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(f"memory://{tmp_path.name}")

    def away(*_: Any, **__: Any) -> None:
        raise RuntimeError("the endpoint is away")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", away)
    with pytest.raises(OSError, match=r"a\.bin: RuntimeError: the endpoint is away"):
        place.read("one", "a.bin")


def test_an_unknown_protocol_says_so() -> None:
    with pytest.raises(PlaceError, match="cannot stand at nowhere://x: Protocol not known"):
        Place("nowhere://x")


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # where another test had it imported
    with pytest.raises(PlaceError, match=r"Checkpoints at s3://bucket/x need .* Install 'freshet\[s3\]'"):
        Place("s3://bucket/x")


def test_the_settings_say_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def url(**worker: Any) -> str:
        return checkpoint_store(load(overrides={"state_dir": tmp_path / "state", "worker": worker})).url

    assert url() == str(tmp_path / "state" / "checkpoints")
    assert url(checkpoints="elsewhere") == str(tmp_path / "elsewhere")
    assert url(checkpoints="memory://bucket/shop") == "memory://bucket/shop"


class _Particular(MemoryFileSystem):
    """Passes what it is given on to a client that knows nothing of lists that are kept, as for `sftp`."""

    protocol = "particular"
    cachable = False

    def __init__(self, host: str = "", **more: Any) -> None:
        if more:
            raise TypeError(f"unexpected keyword arguments {sorted(more)}")
        if host == "nowhere":
            raise OSError("Name or service not known")
        super().__init__()

    @staticmethod
    def _get_kwargs_from_urls(url: str) -> dict[str, str]:
        return {"host": url.removeprefix("particular://").split("/")[0]}


def test_any_store_of_fsspec_s_may_be_one_and_says_what_is_wrong() -> None:
    fsspec.register_implementation("particular", _Particular, clobber=True)
    try:
        assert Place("particular://somewhere/place").folders() == []
        with pytest.raises(
            PlaceError, match=r"Checkpoints cannot stand at particular://nowhere/place: Name or"
        ):
            Place("particular://nowhere/place")
    finally:
        _registry.pop("particular")
