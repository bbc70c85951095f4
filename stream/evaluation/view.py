"""An evaluation's figures as tables for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from stream.evaluation.report import US

_FIGURES = {"hr10": "HR@10", "hr20": "HR@20", "mrr20": "MRR@20", "ndcg10": "NDCG@10"}
_BINARY = {
    "n": "labels",
    "base_rate": "base rate",
    "log_loss": "log-loss",
    "normalised_entropy": "norm. entropy",
    "auc": "AUC",
    "calibration": "calibration",
    "calibration_error": "ECE",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "threshold": "threshold",
}
_REGRESSION = {
    "n": "labels",
    "mean": "mean",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "calibration": "calibration",
}


def headline(report: Mapping[str, Any]) -> list[str]:
    """What was played and scored, in sentences."""
    warm_up, recall, variety = report["warm_up"], report["candidate_recall"], report["variety"]
    speeds = ", ".join(f"{speed:,.0f}" for speed in report["events_per_s"])
    lines = [
        f"{report['log']}: {report['events']:,} events of {report['users']:,} users on {report['items']:,} items; "
        f"the first {warm_up['events']:,} ({warm_up['share']:.0%}) are warm-up, {report['scored']:,} are scored"
        f"{', seen items excluded' if report['exclude_seen'] else ''}.",
        f"Candidate recall {_cell(recall['all'])}, of known items {_cell(recall['known_items'])}; the ranker compared "
        f"{_cell(recall['compared'])} of these. "
        f"The first ten places cover {_cell(variety['coverage'])} of the catalogue, Gini {_cell(variety['gini'])}.",
        f"{speeds} events/s, foreseen and learned one moment after the other; "
        f"peak memory {report['peak_memory_mib']:,.0f} MiB.",
    ]
    happy = report["satisfaction"]
    if happy["of_places"] is not None:
        lines.append(
            f"Satisfaction within an hour: {happy['of_places']:.2%} of the recommended places, "
            f"{happy['of_lists']:.2%} of the lists."
        )
    if report["not_ranked"]:
        lines.append(
            f"{report['not_ranked']:,} events that should count were not ranked (learner.ranker_share)."
        )
    return lines


def tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """The tables that have something to show."""
    yield _ranking(report)
    yield _slices(report)
    if report["paired"]:
        yield _paired(report)
    if report["folds"] is not None:
        yield _folds(report)
    for title, kinds, columns in (
        ("yes or no", ("binary", "ranking"), _BINARY),
        ("values", ("regression",), _REGRESSION),
    ):
        tasks = {
            name: one
            for name, one in report["tasks"].items()
            if one["kind"] in kinds and one["n"] and one.get("base_rate", 1.0)
        }
        if tasks:
            rows = ([label, *(_cell(one[key]) for one in tasks.values())] for key, label in columns.items())
            yield _table(f"Tasks ({title})", ["", *tasks], rows)


def _ranking(report: Mapping[str, Any]) -> Table:
    spread = (report["spread"] or {}).get("ranking", {})
    us = [
        f"{_cell(report['ranking'][key])} ± {_cell(spread[key])}" if spread else _cell(report["ranking"][key])
        for key in _FIGURES
    ]
    peers = sorted(report["peers"].items(), key=lambda peer: -(peer[1]["ranking"]["hr10"] or 0.0))
    rows = [[US, *us], *([name, *(_cell(one["ranking"][key]) for key in _FIGURES)] for name, one in peers)]
    title = "Next item out of the whole catalogue"
    if spread:
        title += f", mean ± deviation of {len(report['seeds'])} seeds"
    return _table(title, ["", *_FIGURES.values()], rows)


def _slices(report: Mapping[str, Any]) -> Table:
    best = max(report["peers"].items(), key=lambda peer: peer[1]["ranking"]["hr10"] or 0.0, default=None)
    columns = ["slice", "n", f"HR@10 {US}", *([f"HR@10 {best[0]}"] if best else [])]
    rows = [
        [
            name,
            f"{one['n']:,}",
            _cell(one["hr10"]),
            *([_cell(best[1]["slices"][name]["hr10"])] if best else []),
        ]
        for name, one in report["slices"].items()
    ]
    return _table("Slices", columns, rows)


def _paired(report: Mapping[str, Any]) -> Table:
    rows = []
    for name, one in sorted(
        report["paired"].items(), key=lambda peer: peer[1]["hr10_difference"]["difference"] or 0.0
    ):
        gap, test = one["hr10_difference"], one["mcnemar"]
        rows.append(
            [
                name,
                f"{_signed(gap['difference'])} [{_signed(gap['low'])}, {_signed(gap['high'])}]",
                f"{test['only_one']:,} : {test['only_other']:,}",
                _p(test["p"]),
                _p(one["wilcoxon_p"]),
            ]
        )
    block = next(iter(report["paired"].values()))["hr10_difference"]["block"]
    title = f"Hits at 10 paired by event; 95 % intervals from blocks of {block:,} events"
    return _table(
        title, [f"{US} against", "HR@10 difference", "only one hit", "McNemar p", "Wilcoxon p"], rows
    )


def _folds(report: Mapping[str, Any]) -> Table:
    folds = report["folds"]
    rows = [
        *(
            [f"fold {n}", f"{one['n']:,}", *(_cell(one[key]) for key in _FIGURES)]
            for n, one in enumerate(folds["by_fold"], 1)
        ),
        ["mean", "", *(_cell(folds["mean"][key]) for key in _FIGURES)],
        ["deviation", "", *(_cell(folds["spread"][key]) for key in _FIGURES)],
    ]
    return _table("Folds: learned by the others, foreseen by this one", ["", "n", *_FIGURES.values()], rows)


def _table(title: str, columns: Sequence[str], rows: Any) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _p(value: float) -> str:
    return "<1e-16" if value < 1e-16 else f"{value:.2g}"
