"""What tight bounds cost, and whom to forget: users and items by several rules, on logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.logs import read_choices, settings_for
from learners.row_index import RowIndex
from learners.state_arrays import grown
from monitoring.paired_tests import block_bootstrap
from monitoring.ranking_quality import hits, ranking_quality
from stream.allocator import keep_temporaries
from stream.assembly import build_pipeline, build_states, choice_types
from stream.evaluation.log import EvaluationLog
from stream.evaluation.protocol import Ints, apply_protocol
from stream.evaluation.run import run_pipeline

_EVENTS, _QUICK_EVENTS = 20_000, 4_000
_SHARE = 0.1  # of all users, or items, that are remembered
_BOOTSTRAP_SEED = 0

Rows = NDArray[np.int64]


class ByLot(RowIndex):
    """Forgets whomever the lot falls on."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._rng = np.random.default_rng(0)

    def _given_up(self, rows: Rows, count: int) -> Rows:
        return self._rng.choice(rows, count, replace=False)


class FewestEvents(RowIndex):
    """Forgets who has had the fewest events; of these, who was silent for longest."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._events = np.zeros(16, np.int64)

    def admit(self, ids: Sequence[str]) -> Rows:
        """See `RowIndex`."""
        rows = super().admit(ids)
        self._events = grown(self._events, self.size)
        np.add.at(self._events, rows, 1)
        return rows

    def _given_up(self, rows: Rows, count: int) -> Rows:
        chosen: Rows = rows[np.lexsort((self._touched[rows], self._events[rows]))[:count]]
        self._events[chosen] = 0
        return chosen


class FirstCome(RowIndex):
    """Forgets who came first, however often and lately they were seen."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._came = np.zeros(16, np.int64)

    def admit(self, ids: Sequence[str]) -> Rows:
        """See `RowIndex`."""
        new = {id_ for id_ in ids if id_ not in self}
        rows = super().admit(ids)
        self._came = grown(self._came, self.size)
        self._came[[self.row(id_) for id_ in new]] = self._clock
        return rows

    def _given_up(self, rows: Rows, count: int) -> Rows:
        first: Rows = rows[np.argsort(self._came[rows], kind="stable")[:count]]
        return first


RULES: Mapping[str, type[RowIndex]] = {
    "silent for longest": RowIndex,
    "fewest events": FewestEvents,
    "first come": FirstCome,
    "by lot": ByLot,
}
"""The first is what freshet does."""


def measure(quick: bool, logs: Sequence[Path]) -> list[dict[str, Any]]:
    """One row for each log, side and rule, and how far it is from freshet's own rule; a tenth is remembered.

    Args:
        quick: The first 4,000 events only; else the first 20,000.
        logs: Folders or files with event logs; their views or ratings are played, if they have some.
    """
    keep_temporaries()
    rows = []
    for path in logs:
        log = read_choices(path, _QUICK_EVENTS if quick else _EVENTS)
        sizes = {
            "users": len({event.user_id for event in log.events}),
            "items": len({event.item_id for event in log.events}),
        }
        all_of_them, _ = play(log)
        rows.append(_row(path.name, "none", sizes, "", all_of_them, all_of_them, 0))
        for side in ("users", "items"):
            bound = {**sizes, side: int(_SHARE * sizes[side])}
            base: Ints | None = None
            for rule, index in RULES.items():
                ranks, forgotten = play(log, bound=bound, index=index)
                base = ranks if base is None else base
                rows.append(_row(path.name, side, bound, rule, ranks, base, forgotten[side]))
    return rows


def play(
    log: EvaluationLog, bound: Mapping[str, int] | None = None, index: type[RowIndex] = RowIndex
) -> tuple[Ints, dict[str, int]]:
    """(M,) ranks of the scored events, and how many users and items were forgotten.

    Args:
        log: What is played.
        bound: Most users and items at a time; as many as there are where none is given.
        index: By which rule one is given up for another.
    """
    settings = settings_for(log)
    protocol = apply_protocol(log.events, choice_types(settings))
    pipeline, states = build_pipeline(settings), build_states(settings)
    if bound is not None:
        states.index, pipeline.items = index(bound["users"]), index(bound["items"])
    ranks = run_pipeline(pipeline, states, log.events, protocol).ranks
    return ranks, {"users": states.index.evictions, "items": pipeline.items.evictions}


def _row(
    log: str, side: str, bound: Mapping[str, int], rule: str, ranks: Ints, base: Ints, forgotten: int
) -> dict[str, Any]:
    gap = block_bootstrap(hits(ranks), hits(base), np.random.default_rng(_BOOTSTRAP_SEED))
    quality = ranking_quality(ranks)
    return {
        "log": log,
        "bounded": side,
        "users": bound["users"],
        "items": bound["items"],
        "forgotten_first": rule,
        "forgotten": forgotten,
        "hr10": quality.hr10,
        "mrr20": quality.mrr20,
        "hr10_difference": f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]",
    }
