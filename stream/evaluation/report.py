"""What an evaluation is worth: one nested dict, which is the JSON and the source of every table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from learners.task import Task
from monitoring.paired_tests import block_bootstrap, mcnemar, wilcoxon
from monitoring.ranking_quality import hits, ranking_quality, variety, window_means
from monitoring.task_quality import auc, binary_quality, log_loss, regression_quality
from stream.evaluation.evaluate import Evaluation
from stream.evaluation.protocol import WARM_UP_SHARE, Bools, Ints
from stream.evaluation.run import UNRANKED, Run, TaskRows
from stream.evaluation.satisfaction import satisfaction

US = "freshet"
WINDOWS = 40
_TASK_WINDOWS = 20
_SHOWN = 10
_FIGURES = ("hr10", "hr20", "mrr20", "ndcg10")
_BOOTSTRAP_SEED = 0


def report(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation. What cannot be told is None. All but the speed follows from what was foreseen.

    Where there are several seeds, `ranking`, `slices`, `candidate_recall`, `variety`, `satisfaction` and
    `tasks` of freshet are means over them, with the standard deviations under `spread`; windows and paired
    statistics are of the first.
    """
    protocol, runs = evaluation.protocol, evaluation.runs
    ranked = runs[0].ranks != UNRANKED
    scored = protocol.scored[ranked]
    us = [run.ranks[ranked] for run in runs]
    peers = {name: ranks[ranked] for name, ranks in evaluation.peers.items()}
    slices = {name: mask[ranked] for name, mask in protocol.slices().items()}
    by_seed = [_of_run(evaluation, run, ranked, slices) for run in runs]
    events = evaluation.log.events
    result = {
        "log": evaluation.log.name,
        "events": len(events),
        "event_types": dict(evaluation.log.types),
        "users": int(protocol.users.max(initial=-1)) + 1,
        "items": len(protocol.item_ids),
        "first_event_ms": events[0].occurred_at_ms,
        "last_event_ms": events[-1].occurred_at_ms,
        "exclude_seen": evaluation.exclude_seen,
        "warm_up": {"share": WARM_UP_SHARE, "events": protocol.warm_up},
        "scored": len(scored),
        "not_ranked": int((~ranked).sum()),
        "seeds": list(evaluation.seeds),
        **_mean(by_seed),
        "spread": _spread(by_seed),
        "by_seed": [figures["ranking"] for figures in by_seed],
        "events_per_s": [run.events_per_s for run in runs],
        "peers": {
            name: {"ranking": _figures(ranks), "slices": _sliced(ranks, slices)}
            for name, ranks in peers.items()
        },
        "paired": {name: _paired(us[0], ranks) for name, ranks in peers.items()},
        "windows": _windows({US: us[0], **peers}, protocol.times_s[scored]),
        "folds": _folds(evaluation.folds),
    }
    told: dict[str, Any] = _finite(result)
    return told


def _of_run(evaluation: Evaluation, run: Run, ranked: Bools, slices: dict[str, Bools]) -> dict[str, Any]:
    protocol = evaluation.protocol
    scored, ranks, top = protocol.scored[ranked], run.ranks[ranked], run.top[ranked, :_SHOWN]
    known = ~np.isnan(protocol.item_age_s[scored])
    return {
        "ranking": _figures(ranks),
        "slices": _sliced(ranks, slices),
        "candidate_recall": {
            "all": _share(ranks >= 0),
            "known_items": _share((ranks >= 0)[known]),
            "compared": _share(run.was_candidate[ranked][known]),
        },
        "variety": asdict(variety(top, len(protocol.item_ids))),
        "satisfaction": asdict(satisfaction(evaluation.log.events, protocol, scored, top)),
        "tasks": task_figures(evaluation.tasks, run.tasks),
    }


def _figures(ranks: Ints) -> dict[str, float]:
    quality = asdict(ranking_quality(ranks))
    return {name: quality[name] for name in _FIGURES}


def _sliced(ranks: Ints, slices: dict[str, Bools]) -> dict[str, dict[str, float]]:
    return {name: {"n": int(mask.sum()), "hr10": _share(hits(ranks[mask]))} for name, mask in slices.items()}


def _share(values: Bools) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _mean(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: _combined([run[name] for run in runs], _average) for name in runs[0]}


def _spread(runs: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Standard deviations of a sample; None of a single run."""
    if len(runs) < 2:
        return None
    return {name: _combined([run[name] for run in runs], _deviation) for name in runs[0]}


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def _combined(figures: Sequence[Any], how: Callable[[Sequence[float]], float]) -> Any:
    """Equal trees joined number by number; whole numbers are counts, and like words they are alike in all of them."""
    first = figures[0]
    if isinstance(first, dict):
        return {name: _combined([one[name] for one in figures], how) for name in first}
    if isinstance(first, list):
        return [_combined(some, how) for some in zip(*figures, strict=True)]
    return first if isinstance(first, int | str) else how(figures)


def _paired(us: Ints, peer: Ints) -> dict[str, Any]:
    """Freshet against one peer; positive differences speak for freshet."""
    ours, theirs = hits(us), hits(peer)
    windows = min(WINDOWS, len(us))
    return {
        "mcnemar": asdict(mcnemar(ours, theirs)),
        "wilcoxon_p": wilcoxon(window_means(ours, windows), window_means(theirs, windows))
        if windows
        else 1.0,
        "hr10_difference": asdict(block_bootstrap(ours, theirs, np.random.default_rng(_BOOTSTRAP_SEED))),
    }


def _windows(ranks: dict[str, Ints], times_s: Any) -> dict[str, Any]:
    """HR@10 in windows of equally many scored events, and when each of them begins."""
    n = min(WINDOWS, len(times_s))
    starts = times_s[np.linspace(0, len(times_s), n + 1).astype(np.int64)[:-1]] if n else times_s
    return {
        "starts_ms": [round(start * 1000.0) for start in starts.tolist()],
        "hr10": {name: window_means(hits(one), n).tolist() if n else [] for name, one in ranks.items()},
    }


def task_figures(tasks: Sequence[Task], rows: TaskRows) -> dict[str, Any]:
    """How well each task was foreseen, by its name."""
    found = {}
    for k, task in enumerate(tasks):
        known = rows.mask[:, k]
        scores, labels, scored = rows.scores[known, k], rows.labels[known, k], rows.scored[known]
        if task.kind != "regression":
            quality: dict[str, Any] = asdict(binary_quality(scores, labels, scored))
            quality["windows"] = [
                {"n": len(p), "log_loss": log_loss(p, y), "auc": auc(p, y)}
                for p, y in zip(
                    np.array_split(scores[scored].astype(np.float64), _TASK_WINDOWS),
                    np.array_split(labels[scored] > 0.0, _TASK_WINDOWS),
                    strict=True,
                )
            ]
        else:
            quality = asdict(regression_quality(scores[scored], labels[scored]))
        found[task.name] = {"kind": task.kind, **quality}
    return found


def _folds(folds: Sequence[Ints]) -> dict[str, Any] | None:
    if not folds:
        return None
    figures = [{"n": int((ranks != UNRANKED).sum()), **_figures(ranks[ranks != UNRANKED])} for ranks in folds]
    return {
        "by_fold": figures,
        "mean": {name: _average([one[name] for one in figures]) for name in _FIGURES},
        "spread": {name: _deviation([one[name] for one in figures]) for name in _FIGURES},
    }


def _finite(value: Any) -> Any:
    """The same with None for what is no number: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
