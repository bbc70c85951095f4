"""`python -m benchmarks.results`: evaluates logs and writes the page of results from what the evaluations printed.

The page is never written by hand: each table comes from a JSON file, of `freshet evaluate --json` or of
`python -m benchmarks NAME --json`. Files that are there already are not made again, so a long series of runs
can be cut off and taken up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.kept import keep
from benchmarks.tables import cell, table, tables

_FIGURES = {"hr10": "HR@10", "hr20": "HR@20", "mrr20": "MRR@20", "ndcg10": "NDCG@10"}
_TASK_FIGURES = {
    "n": "labels",
    "base_rate": "base rate",
    "log_loss": "log-loss",
    "normalised_entropy": "normalised entropy",
    "auc": "AUC",
    "calibration": "calibration",
    "calibration_error": "ECE",
    "f1": "F1",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
}
_RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    "deskdrop": (("--types", "view"), ("--types", "view", "--exclude-seen"), ()),
    "ml-latest-small": (("--types", "rating", "--exclude-seen"), ()),
}
"""What is measured on a log, where it is not simply everything."""

_PREFACE = """\
# Results

This page is written by `make results LOGS=FOLDER`; do not edit it. [evaluation.md](evaluation.md) says what each figure
means. One configuration, the default one, for every log: nothing is tuned to any of them.
"""


@click.command()
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--logs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Evaluate each log folder in here first.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/results"),
    show_default=True,
    help="Where the JSON files are.",
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
def main(page: Path, logs: Path | None, work: Path, seeds: int) -> None:
    """Write PAGE from all JSON files of the work folder."""
    work.mkdir(parents=True, exist_ok=True)
    if logs is not None:
        for folder in sorted(path for path in logs.iterdir() if (path / "events.csv.gz").is_file()):
            for options in _RUNS.get(folder.name, ((),)):
                _evaluate(folder, options, seeds, work)
    files = sorted(work.glob("*.json"))
    if not files:
        raise click.ClickException(f"There are no results in {work}; --logs FOLDER makes them.")
    page.write_text(page_of([json.loads(file.read_text()) for file in files]), encoding="utf-8")
    click.echo(f"{page} has the results of {len(files)} files.")


def _evaluate(log: Path, options: Sequence[str], seeds: int, work: Path) -> None:
    name = "-".join([log.name, *(option.removeprefix("--") for option in options)])
    arguments = ["evaluate", str(log), *options, "--peers", "--seeds", str(seeds), "--json"]
    keep(work / f"{name}.json", "stream.cli.main", arguments)


def page_of(results: Sequence[dict[str, Any]]) -> str:
    """The page.

    Args:
        results: Reports of evaluations and of benchmarks, in the order of their sections.
    """
    evaluations = [one for one in results if "ranking" in one]
    parts = [_PREFACE]
    if evaluations:
        parts += ["## Ranking\n", *("\n".join(_ranking(one)) for one in evaluations)]
        parts += ["## Tasks\n", *("\n".join(_tasks(one)) for one in evaluations if _learned(one))]
    parts += ["\n".join(_benchmark(one)) for one in results if "benchmark" in one]
    parts += ["\n".join(_circumstances(evaluations))] if evaluations else []
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _title(one: dict[str, Any]) -> str:
    types = ", ".join(sorted(one["event_types"]))
    return f"### {one['log']} ({types}{'; seen items excluded' if one['exclude_seen'] else ''})\n"


def _ranking(one: dict[str, Any]) -> Iterator[str]:
    recall, variety = one["candidate_recall"], one["variety"]
    yield _title(one)
    yield (
        f"{one['events']:,} events, {one['users']:,} users, {one['items']:,} items; the first "
        f"{one['warm_up']['events']:,} are warm-up, {one['scored']:,} are scored. Seeds: "
        f"{', '.join(map(str, one['seeds']))}."
    )
    yield (
        f"Candidate recall {cell(recall['all'])} (known items {cell(recall['known_items'])}, compared by the ranker "
        f"{cell(recall['compared'])}), coverage "
        f"{cell(variety['coverage'])}, Gini {cell(variety['gini'])}"
        + (
            f", satisfaction {one['satisfaction']['of_places']:.2%} of the places.\n"
            if one["satisfaction"]["of_places"] is not None
            else ".\n"
        )
    )
    spread = (one["spread"] or {}).get("ranking")
    us = [cell(one["ranking"][key]) + (f" ± {cell(spread[key])}" if spread else "") for key in _FIGURES]
    peers = sorted(one["peers"].items(), key=lambda peer: -(peer[1]["ranking"]["hr10"] or 0.0))
    yield from table(
        ["", *_FIGURES.values(), "HR@10 difference to freshet (95 %)", "McNemar p"],
        [
            ["**freshet**", *us, "", ""],
            *(
                [name, *(cell(peer["ranking"][key]) for key in _FIGURES), *_against(one["paired"][name])]
                for name, peer in peers
            ),
        ],
    )
    best = peers[0] if peers else None
    yield from table(
        ["slice", "events", "HR@10 freshet", *([f"HR@10 {best[0]}"] if best else [])],
        [
            [
                name,
                f"{part['n']:,}",
                cell(part["hr10"]),
                *([cell(best[1]["slices"][name]["hr10"])] if best else []),
            ]
            for name, part in one["slices"].items()
        ],
    )


def _against(paired: dict[str, Any]) -> list[str]:
    gap, p = paired["hr10_difference"], paired["mcnemar"]["p"]
    return [
        f"{-gap['difference']:+.4f} [{-gap['high']:+.4f}, {-gap['low']:+.4f}]" if gap["block"] else "-",
        "<1e-16" if p < 1e-16 else f"{p:.2g}",
    ]


def _learned(one: dict[str, Any]) -> dict[str, Any]:
    """The tasks that had labels of both kinds, or values."""
    return {
        name: task
        for name, task in one["tasks"].items()
        if task["n"] and (task["kind"] == "regression" or task["auc"] is not None)
    }


def _tasks(one: dict[str, Any]) -> Iterator[str]:
    tasks = _learned(one)
    yield _title(one)
    yield from table(
        ["", *tasks],
        [
            [label, *(_spread_cell(one, name, key) for name in tasks)]
            for key, label in _TASK_FIGURES.items()
            if any(task.get(key) is not None for task in tasks.values())
        ],
    )


def _spread_cell(one: dict[str, Any], task: str, key: str) -> str:
    """A task's figure, with its deviation over the seeds where there are several."""
    spread = ((one["spread"] or {}).get("tasks") or {}).get(task, {}).get(key)
    value = one["tasks"][task].get(key)
    return f"{cell(value)} ± {cell(spread)}" if isinstance(spread, float) else cell(value)


def _benchmark(one: dict[str, Any]) -> Iterator[str]:
    yield f"## Benchmark: {one['benchmark']}{' (--quick)' if one.get('quick') else ''}\n"
    if "made_at" in one:
        yield f"Made {one['made_at']}.\n"
    yield from tables(one["rows"])


def _circumstances(evaluations: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "## Circumstances\n"
    yield from table(
        ["log", "made", "events/s", "peak memory MiB", "machine", "versions"],
        [
            [
                _title(one).removeprefix("### ").strip(),
                one["made_at"],
                ", ".join(f"{speed:,.0f}" for speed in one["events_per_s"]),
                f"{one['peak_memory_mib']:,.0f}",
                f"{around['cpu']}, {around['cores']} cores, {around['system']}",
                ", ".join(
                    f"{name} {around[name]}" for name in ("freshet", "python", "torch", "numpy", "river")
                ),
            ]
            for one in evaluations
            for around in (one["surroundings"],)
        ],
    )


if __name__ == "__main__":
    main()
