"""The lists of an evaluation as a file, so that anybody can check the figures."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

from stream.evaluation.evaluate import Evaluation
from stream.evaluation.run import LIST, UNRANKED

COLUMNS = ("occurred_at_ms", "user_id", "item_id", "rank", "recommended")
SEPARATOR = "|"


class PredictionsError(Exception):
    """The file cannot be written; the message says why."""


def write_predictions(path: Path, evaluation: Evaluation) -> int:
    """Write one row for each scored event of the first run; returns how many.

    `rank` counts from 1 and is empty where the item was not in the list; `recommended` holds the list's item
    ids in their order, joined by `|`.

    Args:
        path: A `.csv.gz` file; replaced where it exists.
        evaluation: What was foreseen.

    Raises:
        PredictionsError: The file cannot be written, or an item id holds the separator.
    """
    protocol, run = evaluation.protocol, evaluation.runs[0]
    ids = protocol.item_ids
    if bad := next((id_ for id_ in ids if SEPARATOR in id_), None):
        raise PredictionsError(
            f"The item id {bad!r} contains {SEPARATOR!r}, which separates the ids in {path}."
        )
    rows = 0
    try:
        # Without a time stamp inside, equal predictions make equal files.
        with (
            path.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
        ):
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(COLUMNS)
            for n, number in enumerate(protocol.scored.tolist()):
                rank = int(run.ranks[n])
                if rank == UNRANKED:
                    continue
                event = evaluation.log.events[number]
                place = rank + 1 if 0 <= rank < LIST else ""
                names = SEPARATOR.join(ids[item] for item in run.top[n].tolist() if item >= 0)
                writer.writerow((event.occurred_at_ms, event.user_id, event.item_id, place, names))
                rows += 1
    except OSError as error:
        raise PredictionsError(f"{path} cannot be written: {error.strerror or error}.") from error
    return rows
