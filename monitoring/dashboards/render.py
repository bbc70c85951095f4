"""`python -m monitoring.dashboards.render URL FOLDER`: asks a Prometheus what the dashboards ask, and draws it.

About what Grafana shows: for documents, and for whoever reviews a change and has no Grafana.
"""

from __future__ import annotations

import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from monitoring.dashboards.__main__ import FOLDER
from monitoring.dashboards.panels import WIDTH
from monitoring.dashboards.queries import Panel, filled, panels

_POINTS = 240
_INCHES = 0.68  # of a grid unit's width
_FLAT = 0.42  # of its height, over its width
_MOST_NAMED = 10
_COLOURS = {"red": "#d44a3a", "orange": "#e08b2c", "green": "#3d9950"}
_INK, _QUIET, _GROUND, _PAPER = "#24292e", "#6a737d", "#f4f5f5", "#ffffff"
_TIMES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))

Series = tuple[str, Any, Any]
"""Legend, times and values."""


@click.command()
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--minutes", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="How far back."
)
@click.option("--boards", type=click.Path(path_type=Path, exists=True, file_okay=False), default=FOLDER)
def main(url: str, folder: Path, minutes: float, boards: Path) -> None:
    """Draw the dashboards in BOARDS to FOLDER, one PNG each, from the Prometheus at URL."""
    for path in draw_all(url, folder, boards=boards, seconds=60.0 * minutes):
        click.echo(path)


def draw_all(url: str, folder: Path, *, boards: Path = FOLDER, seconds: float) -> Iterator[Path]:
    """Draw each dashboard as of now; yields the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.time()
    for board in sorted(boards.glob("*.json")):
        path = folder / f"{board.stem}.png"
        draw(url, list(panels(board)), end - seconds, end).savefig(path, dpi=80, facecolor=_GROUND)
        yield path


def draw(url: str, board: Sequence[Panel], start: float, end: float) -> Figure:
    """One dashboard."""
    height = max(panel.place[1] + panel.place[3] for panel in board)
    inches = (WIDTH * _INCHES, height * _INCHES * _FLAT + 0.5)
    figure = Figure(figsize=inches)
    top = 1.0 - 0.45 / inches[1]
    figure.text(0.012, 1.0 - 0.12 / inches[1], board[0].board, va="top", size=14, weight="bold", color=_INK)
    rows = {panel.row: panel.place[1] for panel in reversed(board)}
    for row, y in rows.items():
        figure.text(0.012, top * (1.0 - (y - 0.35) / height), row, size=11, color=_INK, weight="bold")
    for panel in board:
        left, above, width, tall = panel.place
        box = (
            (left + 0.15) / WIDTH,
            top * (1.0 - (above + tall - 0.15) / height),
            (width - 0.3) / WIDTH,
            top * (tall - 0.3) / height,
        )
        _panel(figure, box, panel, list(_answers(url, panel, start, end)), inches[1])
    return figure


def _panel(
    figure: Figure, box: tuple[float, float, float, float], panel: Panel, found: list[Series], inches: float
) -> None:
    card = figure.add_axes(box, facecolor=_PAPER, xticks=[], yticks=[])
    for spine in card.spines.values():
        spine.set_color("#d8d9da")
    left, bottom, width, height = box
    line = 0.25 / inches
    figure.text(left + 0.005, bottom + height - 0.3 * line, panel.title, va="top", size=8.5, color=_INK)
    if not found:
        card.text(0.5, 0.45, "no data", ha="center", color=_QUIET)
    elif panel.kind == "stat":
        _stat(card, panel, found[0])
    else:
        named = min(len(found), _MOST_NAMED) if panel.kind == "timeseries" else 0
        lines = math.ceil(named / _columns(width)) * 0.62 if found[0][0] else 0.0
        margin = 0.035 if panel.kind == "timeseries" else 0.085
        inner = figure.add_axes(
            (
                left + margin,
                bottom + (1.1 + lines) * line,
                width - margin - 0.012,
                height - (2.3 + lines) * line,
            ),
            facecolor=_PAPER,
        )
        _KINDS[panel.kind](inner, panel, found)
        if named and found[0][0]:
            _legend(inner, found, _columns(width), line)


def _columns(width: float) -> int:
    return max(1, int(width * 12))


def _legend(axes: Axes, found: list[Series], columns: int, line: float) -> None:
    handles = axes.get_lines()[: min(len(found), _MOST_NAMED)] or axes.collections[:_MOST_NAMED]
    handles = handles or [container[0] for container in axes.containers[:_MOST_NAMED]]
    axes.legend(
        handles,
        [name[:28] for name, _, _ in found[:_MOST_NAMED]],
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.9 * line / axes.get_position().height),
        ncols=columns,
        fontsize=6.5,
        frameon=False,
        handlelength=1.2,
        borderaxespad=0.0,
        columnspacing=1.0,
        labelspacing=0.15,
        labelcolor=_QUIET,
    )


def _stat(axes: Axes, panel: Panel, series: Series) -> None:
    _, times, values = series
    axes.fill_between(times, values, color="#3d9950", alpha=0.12, linewidth=0.0)
    axes.set_xlim(times[0], times[-1] + np.timedelta64(1, "s"))
    finite = values[np.isfinite(values)]
    now = float(finite[-1]) if len(finite) else math.nan
    most = float(finite.max()) if len(finite) else 1.0
    axes.set_ylim(0.0, 3.0 * most if most > 0.0 else 1.0)
    axes.text(
        0.5,
        0.42,
        shown(now, panel.unit),
        transform=axes.transAxes,
        ha="center",
        va="center",
        size=19,
        color=_colour(panel, now),
    )


def _colour(panel: Panel, value: float) -> str:
    passed = [colour for step, colour in panel.steps if value >= step]
    return _COLOURS.get(passed[-1] if passed else "green", _INK)


def _lines(axes: Axes, panel: Panel, found: list[Series]) -> None:
    if panel.stacked:
        times = max((series[1] for series in found), key=len)
        values = [np.interp(times.astype(float), at.astype(float), np.nan_to_num(y)) for _, at, y in found]
        axes.stackplot(times, *values, alpha=0.65, linewidth=0.0)
    else:
        for _, times, values in found:
            axes.plot(times, values, linewidth=1.1)
    for step, colour in panel.steps:
        axes.axhline(step, color=_COLOURS.get(colour, _QUIET), linewidth=0.8, linestyle="--", zorder=1)
    _scale(axes, panel, found)
    _quiet(axes, panel)
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]


def _scale(axes: Axes, panel: Panel, found: list[Series]) -> None:
    """The limits of the panel, else those of the values: a threshold far away is not worth the room."""
    least, most = panel.limits
    low, high = axes.get_ylim()
    finite = np.concatenate([values[np.isfinite(values)] for _, _, values in found])
    if panel.logarithmic and (finite > 0.0).all():
        axes.set_yscale("log")
        return
    if not panel.stacked:
        lowest, highest = float(finite.min()), float(finite.max())
        spread = max(highest - lowest, 0.05 * abs(highest))
        low, high = (lowest - 0.1 * spread, highest + 0.15 * spread) if spread else (-1.0, 1.0)
    low, high = low if least is None else least, high if most is None else most
    axes.set_ylim(low, max(high, low + 1e-9))


def _bars(axes: Axes, panel: Panel, found: list[Series]) -> None:
    found = sorted(found, key=lambda series: series[0])[::-1][-24:]
    values = [_last(series[2]) for series in found]
    axes.barh(range(len(found)), values, color="#3d9950", alpha=0.75, height=0.7)
    axes.set_yticks(
        range(len(found)), [name[:22] for name, _, _ in found], fontsize=6 if len(found) > 14 else 7
    )
    axes.set_xlim(0.0, panel.limits[1] or max([*(1.05 * value for value in values), 1e-9]))
    _quiet(axes, panel, across=True)


def _matrix(axes: Axes, panel: Panel, found: list[Series]) -> None:
    cells = {tuple(name.split("\0")): _last(values) for name, _, values in found}
    rows, columns = (sorted({cell[n] for cell in cells}) for n in range(2))
    table = np.array([[cells.get((row, column), math.nan) for column in columns] for row in rows])
    least, most = (
        limit if limit is not None else math.copysign(1.0, n - 0.5) for n, limit in enumerate(panel.limits)
    )
    axes.imshow(table, cmap=colormaps["RdYlGn"], vmin=least, vmax=most, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, fontsize=6.5)
    axes.set_yticks(range(len(rows)), rows, fontsize=6.5)
    digits = 2 if most >= 0.1 else 4
    for (n, m), value in np.ndenumerate(table):
        if math.isfinite(value):
            dark = abs((value - least) / (most - least) - 0.5) > 0.4
            ink = _PAPER if dark else _INK
            axes.text(m, n, f"{value:.{digits}f}", ha="center", va="center", size=6.5, color=ink)
    axes.tick_params(length=0, colors=_QUIET)
    for spine in axes.spines.values():
        spine.set_visible(False)


_KINDS = {"timeseries": _lines, "bargauge": _bars, "table": _matrix}


def _quiet(axes: Axes, panel: Panel, *, across: bool = False) -> None:
    axis = axes.xaxis if across else axes.yaxis
    axis.set_major_formatter(lambda value, _: shown(value, panel.unit))
    axes.grid(alpha=0.25, axis="x" if across else "y", linewidth=0.6)
    axes.tick_params(labelsize=6.5, length=0, colors=_QUIET)
    if (axes.get_xscale() if across else axes.get_yscale()) == "linear":
        axes.locator_params(axis="x" if across else "y", nbins=5)
    for spine in axes.spines.values():
        spine.set_visible(False)


def shown(value: float, unit: str) -> str:
    """A value with its unit, short."""
    if not math.isfinite(value):
        return "-"
    if unit == "percentunit":
        return f"{100.0 * value:.3g} %"
    if unit == "s":
        size, name = next((size, name) for size, name in _TIMES if abs(value) >= size or size <= 1e-3)
        return f"{value / size:.3g} {name}" if value else "0 s"
    after = {"bytes": "B", "Bps": "B/s", "ops": "/s"}.get(unit, "")
    for size, suffix in _SUFFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g} {suffix}{after}"
    return f"{value:.3g} {after}".strip()


def _last(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def _answers(url: str, panel: Panel, start: float, end: float) -> Iterator[Series]:
    step = max((end - start) / _POINTS, 1.0)
    interval = f"{max(4 * int(step), 20)}s"
    for query, legend in panel.queries:
        found = _ask(url, filled(query, rate_interval=interval), start, end, step)
        for series in found:
            times = np.array([at for at, _ in series["values"]])
            values = np.array([float(value) for _, value in series["values"]])
            if np.isfinite(values).any():
                moments = (times * 1e3).astype("datetime64[ms]")
                yield _name(panel, legend, series["metric"]), moments, values


def _name(panel: Panel, legend: str, labels: dict[str, str]) -> str:
    if panel.kind == "table":
        return "\0".join(labels.get(name, "") for name in ("task", "other"))
    if legend == "__auto":
        return ""
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def _ask(url: str, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    asked = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": f"{step:.3f}"})
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{asked}", timeout=60.0) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
    return found


if __name__ == "__main__":
    main()
