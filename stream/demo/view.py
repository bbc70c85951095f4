"""The demonstration on a terminal: a summary drawn with rich, and in plain lines at the end."""

from __future__ import annotations

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from stream.demo.summary import DemoSummary

_BAR = 28


def drawn(summary: DemoSummary, duration_s: float | None) -> RenderableType:
    """The live view."""
    progress = f"{summary.seconds:,.0f} s" + (f" of {duration_s:,.0f} s" if duration_s else "")
    head = Text.assemble(
        ("freshet ", "bold cyan"),
        f"  {summary.source} -> {summary.broker}   {progress}",
    )
    boxes = [_flow(summary), _quality(summary), _tasks(summary)]
    parts: list[RenderableType] = [head, Columns(boxes, equal=False, expand=False)]
    if summary.sample is not None:
        parts.append(_slate(summary.sample))
    places = "   ".join(f"{name} {place}" for name, place in summary.places.items())
    parts.append(Text(places, style="dim", overflow="ellipsis", no_wrap=True))
    return Group(*parts)


def _flow(summary: DemoSummary) -> Panel:
    table = Table.grid(padding=(0, 1))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("events produced", f"{summary.events_produced:,}")
    table.add_row("events learned", f"{summary.events_learned:,}")
    table.add_row("per second", f"{summary.events_per_s:,.0f}")
    table.add_row("recommendations", f"{summary.recommendations:,}")
    table.add_row("users / items", f"{summary.users:,} / {summary.items:,}")
    table.add_row("dead letters", f"{summary.dead_letters:,}")
    for name in ("p50", "p99"):
        value = summary.freshness_ms.get(name)
        table.add_row(
            f"freshness {name}", "-" if value is None else Text(f"{value:,.0f} ms", style="bold green")
        )
    return Panel(table, title="stream", border_style="cyan")


def _quality(summary: DemoSummary) -> Panel:
    table = Table.grid(padding=(0, 1))
    if summary.click_rate is not None:
        table.add_row(Text("clicks per place shown", style="dim"))
        largest = max((rate for rate in summary.click_rate.values() if rate), default=1.0)
        for name, style in (
            ("recommended", "green"),
            ("popularity", "yellow"),
            ("random", "red"),
            ("oracle", "blue"),
        ):
            rate = summary.click_rate[name]
            if rate is not None:
                bar = "█" * max(1, round(_BAR * rate / largest))
                table.add_row(Text.assemble((f"{name:<12}", style), f"{rate:6.1%} ", (bar, style)))
        trend = " -> ".join(
            f"{stretch['recommended']:.1%}"
            for stretch in summary.click_rate_over_time
            if stretch["recommended"] is not None
        )
        table.add_row(Text(f"recommended over time: {trend or '-'}"))
    hr10 = "-" if summary.hr10 is None else f"{summary.hr10:.1%}"
    table.add_row(Text(f"choices foreseen in the first 10 (HR@10): {hr10}"))
    table.add_row(Text(f"drift findings: {summary.drift_events}"))
    return Panel(table, title="quality", border_style="green")


def _tasks(summary: DemoSummary) -> Panel:
    names = list(summary.task_weights)
    table = Table(box=None, padding=(0, 1))
    table.add_column("task")
    table.add_column("loss", justify="right")
    table.add_column("weight", justify="right")
    for name in names:
        table.add_column(name[:5], justify="right", style="dim")
    for name in names:
        related = summary.relatedness.get(name, {})
        cosines = ["·" if other == name else _cosine(related.get(other)) for other in names]
        table.add_row(name, _short(summary.task_loss.get(name)), _short(summary.task_weights[name]), *cosines)
    return Panel(table, title="tasks: loss, weight, relatedness of gradients", border_style="magenta")


def _slate(sample: dict[str, object]) -> Panel:
    recent, slate = sample["recent"], sample["slate"]
    assert isinstance(recent, list)
    assert isinstance(slate, list)
    lines = [
        Text("did:  " + ", ".join(recent), style="dim", overflow="ellipsis", no_wrap=True),
        Text("gets: " + ", ".join(slate), overflow="ellipsis", no_wrap=True),
    ]
    return Panel(Group(*lines), title=f"a slate, for {sample['user_id']}", border_style="blue")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cosine(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def in_words(summary: DemoSummary) -> list[str]:
    """The summary for a person, a line each."""
    lines = [
        f"{summary.events_learned:,} of {summary.events_produced:,} events learned in {summary.seconds:,.0f} s "
        f"({summary.events_per_s:,.0f}/s), {summary.recommendations:,} recommendations, "
        f"{summary.dead_letters:,} dead letters."
    ]
    p50, p99 = summary.freshness_ms.get("p50"), summary.freshness_ms.get("p99")
    if p50 is not None and p99 is not None:
        lines.append(f"From an event to its recommendation: {p50:,.0f} ms (median), {p99:,.0f} ms (99 %).")
    rates = summary.click_rate
    if rates is not None:
        shown = ", ".join(f"{name} {rate:.1%}" for name, rate in rates.items() if rate is not None)
        lines.append(f"Clicks per place shown: {shown or 'none'}.")
        trend = [stretch["recommended"] for stretch in summary.click_rate_over_time]
        told = [f"{rate:.1%}" for rate in trend if rate is not None]
        if len(told) > 1:
            lines.append(f"Recommended click rate as the run went on: {' -> '.join(told)}.")
    if summary.hr10 is not None:
        lines.append(
            f"Choices foreseen in the first ten before they were learned (HR@10): {summary.hr10:.1%}."
        )
    return lines
