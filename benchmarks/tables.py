"""Tables of benchmarks as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

Row = Mapping[str, Any]


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that stand together and have the same columns: each group is a table."""
    return [list(group) for _, group in groupby(rows, key=tuple)]


def tables(rows: Sequence[Row], shown: Callable[[object], str] | None = None) -> Iterator[str]:
    """Lines of a table for each group of rows, with values as `cell` or another function shows them."""
    shown = shown or cell
    for group in grouped(rows):
        columns = list(group[0])
        yield from table(
            [column.replace("_", " ") for column in columns],
            [[shown(row[column]) for column in columns] for row in group],
        )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of one table, and an empty one."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def cell(value: object) -> str:
    """A value as it is shown; what is not a number or not there is a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "-"
        return f"{value:,.1f}" if abs(value) >= 100.0 else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def brief(value: object) -> str:
    """The same with three digits that count, or all that stand before the point."""
    if not isinstance(value, float) or not math.isfinite(value):
        return cell(value)
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.3g}"
