"""Figures over time as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

MOST_LINES = 8


def plot_windows(
    path: Path, starts_ms: Sequence[int], lines: Mapping[str, Sequence[float]], *, title: str, label: str
) -> None:
    """Draw one line a name over the windows; the first one stands out.

    Args:
        path: The picture; its suffix tells the format.
        starts_ms: (W,) when the windows begin, UTC.
        lines: (W,) figures by name; at most `MOST_LINES` are drawn, the first and those with the best means.
        title: Above the picture.
        label: Of the vertical axis.

    Raises:
        OSError: The picture cannot be written.
        ValueError: The suffix names no format.
    """
    from matplotlib.figure import Figure  # half a second, and most runs draw nothing

    first, *others = lines
    others.sort(key=lambda name: -sum(lines[name]) / max(len(lines[name]), 1))
    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    at = [datetime.fromtimestamp(start / 1000.0, UTC) for start in starts_ms]
    for name in [first, *others[: MOST_LINES - 1]]:
        ours = name == first
        axes.plot(
            at,  # type: ignore[arg-type]
            lines[name],
            label=name,
            linewidth=2.5 if ours else 1.0,
            color="black" if ours else None,
            zorder=3 if ours else 2,
        )
    axes.set_title(title)
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.autofmt_xdate()
    figure.savefig(path, dpi=120)
