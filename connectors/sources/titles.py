"""Readable names of items, from the `items.csv.gz` beside a log."""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from connectors.sources.files import LogError

ITEMS_FILE = "items.csv.gz"


@dataclass(frozen=True, slots=True)
class ItemTitle:
    """What an item is called; either may be empty."""

    title: str
    category: str


def item_titles(folder: Path) -> dict[str, ItemTitle]:
    """Item id to title and category; empty where the folder has no `items.csv.gz`.

    Raises:
        LogError: The file cannot be read or has no `item_id` and `title`.
    """
    path = folder / ITEMS_FILE
    if not path.is_file():
        return {}
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            missing = [name for name in ("item_id", "title") if name not in (rows.fieldnames or ())]
            if missing:
                raise LogError(f"{path} has no column {', '.join(missing)}.")
            return {
                row["item_id"]: ItemTitle(title=row["title"], category=row.get("category") or "")
                for row in rows
            }
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise LogError(f"{path} cannot be read: {error}.") from error
