"""What the former format named or laid out otherwise, as it is today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learners.state_arrays import Arrays

_PAIRS = ("counts.own", "filters.owned")
_NO_COLUMNS = ("closed", "scalars")


def from_format_1(piece: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """A piece of a checkpoint of format 1 as format 2 has it.

    Pairs of users and items had no name of their own; which rows of an index are used follows from those that are
    free; impressions that wait stood in the order of their coming, not where they stand in their circle; events
    stood in a history in the order of their coming, so that nobody asked for the newest.
    """
    found = dict(arrays)
    if piece == "learner":
        for owner in _PAIRS:
            for column in ("keys", "counts", "last_s"):
                if f"{owner}.{column}" in found:
                    found[f"{owner}.pairs.{column}"] = found.pop(f"{owner}.{column}")
    else:
        found = {name: array for name, array in found.items() if name not in ("used", "index.used")}
    if piece == "users":
        found["newest_ms"] = found["times_ms"].max(axis=1, initial=0)
    for partition in found.get("pending_partitions", np.zeros(0, np.int64)).tolist():
        start = f"pending.{partition}."
        first, after = (int(number) for number in found[f"{start}scalars"][:2])
        for name in [name for name in found if name.startswith(start)]:
            if name.removeprefix(start) not in _NO_COLUMNS and after > first:
                found[name] = np.roll(found[name], first % (after - first), axis=0)
    return found


def totals_from_format_1(totals: Mapping[str, int]) -> dict[str, int]:
    """Counters under their names of today; those that are new begin at 0."""
    return {("records_skipped" if name == "duplicates_skipped" else name): n for name, n in totals.items()}
