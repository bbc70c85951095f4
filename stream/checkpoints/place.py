"""Where checkpoints stand: a local folder, or anything that fsspec has a URL for. Small folders of small files.

On the local disk a file that was written is there after a crash of the machine: it is written under another name,
synced and renamed, and its folder is synced. Elsewhere that is the store's promise: objects appear whole or not at
all on S3 and its like.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXTRAS = {"s3": "s3", "s3a": "s3"}


class PlaceError(Exception):
    """A URL that cannot be used; the message says what to do."""


class Place:
    """A folder of folders of files. Whatever goes wrong beyond is an `OSError`.

    Args:
        url: A path, or a URL such as `s3://bucket/folder`; made when something is written.

    Raises:
        PlaceError: No such protocol, or the package that speaks it is missing.
    """

    def __init__(self, url: str | Path) -> None:
        import fsspec.core
        from fsspec.implementations.local import LocalFileSystem

        self.url = str(url)
        protocol = self.url.partition("://")[0] if "://" in self.url else "file"
        try:
            self._files, root = (
                fsspec.core.url_to_fs(self.url)
                if "://" in self.url
                else (LocalFileSystem(), os.path.abspath(self.url))
            )
        except ImportError as error:
            how = f"'freshet[{_EXTRAS[protocol]}]'" if protocol in _EXTRAS else "what it asks for"
            raise PlaceError(
                f"Checkpoints at {self.url} need a package that is not installed ({error}). Install {how}."
            ) from error
        except Exception as error:  # whatever a store's client raises that asks for it at once
            raise PlaceError(f"Checkpoints cannot stand at {self.url}: {error}.") from error
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(self._files, LocalFileSystem)

    def folders(self) -> list[str]:
        """Names of what stands here; empty where there is nothing yet."""
        return list(self._sizes(self._root))

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of the files of a folder, by name; empty where there is none."""
        return self._sizes(f"{self._root}/{folder}")

    def read(self, folder: str, name: str) -> NDArray[np.uint8]:
        """A file's bytes, to be written on as the reader likes.

        Raises:
            FileNotFoundError: It is not there.
        """
        path = f"{self._root}/{folder}/{name}"
        with _os_errors(path):
            if self._is_local:
                return np.fromfile(path, np.uint8)
            return np.frombuffer(bytearray(self._files.cat_file(path)), np.uint8)

    def make(self, folder: str) -> None:
        """A folder, before files are written to it."""
        path = f"{self._root}/{folder}"
        with _os_errors(path):
            self._files.makedirs(path, exist_ok=True)
            if self._is_local:
                sync(self._root)

    def write(self, folder: str, name: str, chunks: Iterable[Any]) -> None:
        """A file of chunks of bytes, whole or not at all under its name; safe after `settle`."""
        path = f"{self._root}/{folder}/{name}"
        with _os_errors(path):
            if not self._is_local:
                with self._files.open(path, "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                return
            unfinished = f"{self._root}/{folder}/.{name}"
            with open(unfinished, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            sync(unfinished)
            os.rename(unfinished, path)

    def settle(self, folder: str) -> None:
        """The folder's files are there for good when this returns."""
        if self._is_local:
            sync(f"{self._root}/{folder}")

    def remove(self, folder: str) -> None:
        """A folder with all its files, where it is there; what cannot be removed stays."""
        with suppress(OSError), _os_errors(folder):
            self._files.invalidate_cache()
            self._files.rm(f"{self._root}/{folder}", recursive=True)

    def _sizes(self, path: str) -> dict[str, int]:
        try:
            with _os_errors(path):
                self._files.invalidate_cache()  # somebody else may have removed what is in a list
                found: Sequence[dict[str, Any]] = self._files.ls(path, detail=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rstrip("/").rpartition("/")[2]: int(entry["size"] or 0) for entry in found}


def sync(path: str) -> None:
    """A local file or folder is on the disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Whatever a store's client raises, as one kind of error."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{path}: {type(error).__name__}: {error}") from error
