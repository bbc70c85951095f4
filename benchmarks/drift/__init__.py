"""Drift that acts: how soon it is found, how often it is found where there is none, and what reactions are worth.

Each seed has one past of 100,000 events, or the first half of a log, and from there on one future for each drift,
with reactions and without. All that takes hours of the shop's time. Once more it is left alone, for twelve days, of
which the first four are its past: what hours and weekdays let expect is no drift.

In the simulated shop quality is what slates are worth by the true click model when they are made, seen or not, as part
of what the best would be; on a log it is HR@10 beside the future of the same log without drift.
`hr10_gain` compares HR@10 with reactions and without on the very same events, those of the future without.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.drift.futures import Future, Past, of_log, of_shop
from benchmarks.drift.injections import KINDS, OF_LOGS, Drift
from benchmarks.drift.recovery import joined, recovered_after
from benchmarks.parts import wanted
from stream.allocator import keep_temporaries

_LEFT_ALONE = Drift("none")
_SEEDS = 5
_TICK_OF_DAYS_MS, _EVENTS_OF_DAYS = 100_000, 240_000
_SOON = 3_000


def measure(
    quick: bool, *, logs: Sequence[Path] = (), seeds: int | None = None, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One row a stream and drift.

    Args:
        quick: One seed, a short past and no gradual drift.
        logs: Event logs beside the shop.
        seeds: How many; 5 by default.
        only: Kinds of drift; all where there are none.

    Raises:
        UsageError: There is no such kind.
    """
    kinds = wanted("drift", only, KINDS)
    keep_temporaries()
    seeds = seeds or (1 if quick else _SEEDS)
    drifts = [Drift(kind) for kind in KINDS]
    if not quick:
        drifts[1:] = [drift for kind in KINDS[1:] for drift in (Drift(kind), Drift(kind, gradual=True))]
    drifts = [drift for drift in drifts if drift.kind in kinds]
    rows = []
    if _LEFT_ALONE in drifts and not quick:
        days = [
            of_shop(seed, quick, tick_ms=_TICK_OF_DAYS_MS, steady=_EVENTS_OF_DAYS) for seed in range(seeds)
        ]
        rows.append(_row("shop, twelve days", _LEFT_ALONE, days))
    for log in (None, *logs):
        pasts = [of_shop(seed, quick) if log is None else of_log(log, seed) for seed in range(seeds)]
        name = "shop" if log is None else log.name
        rows += [_row(name, drift, pasts) for drift in drifts if log is None or drift.kind in OF_LOGS]
    return rows


def _row(stream: str, drift: Drift, pasts: Sequence[Past]) -> dict[str, Any]:
    reacting = [past.future(drift, reacts=True) for past in pasts]
    bare = [past.future(drift, reacts=False) for past in pasts]
    return {
        "stream": stream,
        "drift": drift.name,
        "seeds": len(pasts),
        **_figures(pasts, reacting, bare, drift),
    }


def _figures(
    pasts: Sequence[Past], reacting: Sequence[Future], bare: Sequence[Future], drift: Drift
) -> dict[str, Any]:
    events = sum(future.events for future in bare)
    found = [future.found_after for future in bare]
    soon = sum(delay <= _SOON for delay in found)
    with_, without = (
        joined([future.quality for future in reacting]),
        joined([future.quality for future in bare]),
    )
    before = statistics.mean(past.level for past in pasts)
    until = min(future.events for future in bare)
    hits_bare = joined([future.hits for future in bare])
    hits = joined([past.hits_on_the_same_events(drift) for past in pasts])
    hr, hr_bare = hits.level(0, until), hits_bare.level(0, until)
    sooner, later = (
        recovered_after(curve, before, until, drift.complete if drift.complete < until else 0)
        for curve in (with_, without)
    )
    none = drift.kind == "none"
    return {
        "findings_per_100k": 1e5 * sum(future.findings for future in bare) / events if none else math.nan,
        "acting_per_100k": 1e5 * sum(future.acting for future in bare) / events if none else math.nan,
        "found_after": math.nan if none else statistics.median(found),
        "found_by_3k": "" if none else f"{soon}/{len(found)}",
        "level_after": without.level(drift.complete, drift.complete + 3_000) / before,
        "recovered_bare": later,
        "recovered_reacting": sooner,
        "sooner": 1.0 - sooner / later if 0.0 < later < math.inf else math.nan,
        "quality_gain": with_.level(0, until) / without.level(0, until) - 1.0,
        "hr10": hr,
        "hr10_gain": hr / hr_bare - 1.0 if hr_bare else math.nan,
        "reactions": sum(future.reactions for future in reacting),
        "served": sum(future.served for future in reacting),
        "undone": sum(future.undone for future in reacting),
    }
