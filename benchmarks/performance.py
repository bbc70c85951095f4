"""`python -m benchmarks.performance`: measures speed and size and writes the page of both from what was printed.

Prose stands in `performance.md` beside this file, with `{{name}}` where a table goes; every figure comes from the JSON
of a benchmark. Files that are there already are not made again, so a long series can be cut off and taken up.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.kept import keep
from benchmarks.ladder import FLAMES
from benchmarks.requirements import REQUIREMENTS
from benchmarks.sizing import HEADROOM, sizing
from benchmarks.tables import brief, cell, grouped, table, tables

NAMES = ("ladder", "freshness", "scale", "peers", "workers")

_TEMPLATE = Path(__file__).with_suffix(".md")
_PLACE = re.compile(r"\{\{(\w+)\}\}")

_SIZES_OF_A_PLANE = 3
_BEGINS, _ENDS = "<!-- performance -->", "<!-- /performance -->"

Results = Mapping[str, Any]
"""JSON of benchmarks by their names."""


@click.command()
@click.argument("page", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/performance"),
    show_default=True,
    help="Where the JSON files are.",
)
@click.option("--quick", is_flag=True, help="Less of everything; the page says so.")
@click.option(
    "--readme",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A page that has the summary too, between its two marks.",
)
@click.option(
    "--logs",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with an event log for the comparison with peers; may be given several times.",
)
def main(page: Path, work: Path, quick: bool, logs: tuple[Path, ...], readme: Path | None) -> None:
    """Measure what is not there yet, and write PAGE."""
    work.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        options = [part for log in logs for part in ("--logs", str(log))] if name == "peers" else []
        keep(
            work / f"{name}.json",
            "benchmarks",
            [name, "--json", *(["--quick"] if quick else []), *options],
        )
    results = {name: json.loads((work / f"{name}.json").read_text()) for name in NAMES}
    page.write_text(page_of(results), encoding="utf-8")
    if FLAMES.is_file():
        shutil.copyfile(FLAMES, page.with_name(FLAMES.name))
    if readme is not None:
        readme.write_text(with_summary(readme.read_text(encoding="utf-8"), results), encoding="utf-8")
    click.echo(f"{page} has the results of {', '.join(NAMES)}.")


def page_of(results: Results) -> str:
    """The page.

    Raises:
        KeyError: The template names a table that nobody makes.
    """
    text = _TEMPLATE.read_text(encoding="utf-8")
    return _PLACE.sub(lambda place: "\n".join(_MAKERS[place[1]](results)).rstrip("\n"), text)


def with_summary(text: str, results: Results) -> str:
    """A page with the summary put in the place of what stands between its two marks.

    Raises:
        ValueError: It has no such marks.
    """
    before, begins, rest = text.partition(_BEGINS)
    _, ends, after = rest.partition(_ENDS)
    if not begins or not ends:
        raise ValueError(f"the page has no {_BEGINS} with {_ENDS} behind it")
    return "\n".join([f"{before}{begins}\n", *_summary(results), f"{ends}{after}"])


def _summary(results: Results) -> Iterator[str]:
    ladder, freshness, around = results["ladder"], results["freshness"], results["ladder"]["surroundings"]
    calm = freshness["at_1000_per_s"]
    learned = f"from at least {ladder['share_under_load']:.0%} of what comes at once"
    yield from table(
        ["", "measured"],
        [
            ["stock Faust agent, nothing done", f"{ladder['stock_noop_events_per_s']:,.0f} events/s"],
            [
                f"every event learned, by gradients {learned}",
                f"{ladder['learning_events_per_s']:,.0f} events/s",
            ],
            [
                "the same with a slate for each touched user and batch, published",
                f"{ladder['learning_and_recommending_events_per_s']:,.0f} events/s",
            ],
            [
                "from an event to its slate at 1,000 events/s, a slate for each event",
                f"{calm['p50_ms']:,.0f} ms (median), {calm['p99_ms']:,.0f} ms (99 %)",
            ],
        ],
    )
    quick = ", a quick run" if ladder["quick"] or freshness["quick"] else ""
    yield f"{ladder['made_at'][:10]}, {around['cpu']}, {around['cores']} cores for all of it{quick}.\n"


def _requirements(results: Results) -> Iterator[str]:
    yield from table(
        ["what", "required", "measured", "met"],
        [
            [
                one.what,
                f"{one.sense} {one.bound:,g} {one.unit}".rstrip(),
                brief(one.measured(results)),
                cell(one.met(results)),
            ]
            for one in REQUIREMENTS
        ],
    )


def _table_of(name: str, number: int) -> Callable[[Results], Iterator[str]]:
    """The n-th table of a benchmark."""
    return lambda results: tables(grouped(results[name]["rows"])[number], brief)


def _circumstances(results: Results) -> Iterator[str]:
    yield from table(
        ["benchmark", "made", "load before", "machine", "versions"],
        [
            [
                f"{name}{' (--quick)' if one['quick'] else ''}",
                one["made_at"],
                brief(one["load_before"]),
                f"{around['cpu']}, {around['cores']} cores, {around['system']}",
                ", ".join(f"{key} {around[key]}" for key in ("freshet", "python", "torch", "numpy", "river")),
            ]
            for name, one in results.items()
            for around in (one["surroundings"],)
        ],
    )


def _sizing(results: Results) -> Iterator[str]:
    yield f"Planned with {HEADROOM:.0%} of what was measured, so that a peak or a restart can be caught up with.\n"
    if len(results["scale"]["rows"]) < _SIZES_OF_A_PLANE:
        yield "Two sizes only were measured, so users and items are taken to need the same.\n"
    yield from tables(sizing(results), brief)


def _share(results: Results) -> Iterator[str]:
    yield f"{results['ladder']['share_under_load']:.0%}"


_MAKERS: Mapping[str, Callable[[Results], Iterator[str]]] = {
    "requirements": _requirements,
    "share_under_load": _share,
    "ladder": _table_of("ladder", 0),
    "profile": _table_of("ladder", 1),
    "freshness": _table_of("freshness", 0),
    "scale": _table_of("scale", 0),
    "peers": _table_of("peers", 0),
    "workers": _table_of("workers", 0),
    "sizing": _sizing,
    "circumstances": _circumstances,
}


if __name__ == "__main__":
    main()
