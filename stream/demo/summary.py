"""What a demonstration has shown, as one value: the live view draws it, and at the end it is printed."""

from __future__ import annotations

from typing import Any

import msgspec

from connectors.simulator.report import ClickRates, SimulatorReport

_STRETCHES = 4


class DemoSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a demonstration.

    Attributes:
        broker: Bootstrap servers, or `in-process`.
        source: `simulator`, or the log's path.
        seconds: Real seconds since the first event.
        events_produced: Events published.
        events_learned: Events applied to all state.
        dead_letters: Records refused.
        recommendations: Slates published.
        users: Users remembered.
        items: Items known.
        freshness_ms: Percentiles of the time from an event's arrival at the broker to its slate acknowledged.
        events_per_s: Events learned in a real second.
        click_rate: Clicks per place shown, of each arm; `oracle` is the best there could be. None without simulator.
        click_rate_over_time: The same in stretches of the run, oldest first.
        hr10: Share of choices foreseen among the first ten before they were learned, lately.
        task_loss: Of each task with labels.
        task_weights: Of each task.
        relatedness: Cosines between the tasks' gradients.
        drift_events: Drift findings so far.
        sample: One user's latest events and slate, with titles where there are any.
        places: Where topics, metrics and state are while it runs.
    """

    broker: str
    source: str
    seconds: float
    events_produced: int
    events_learned: int
    dead_letters: int
    recommendations: int
    users: int
    items: int
    freshness_ms: dict[str, float | None]
    events_per_s: float
    click_rate: dict[str, float | None] | None
    click_rate_over_time: list[dict[str, float | None]]
    hr10: float | None
    task_loss: dict[str, float | None]
    task_weights: dict[str, float | None]
    relatedness: dict[str, dict[str, float | None]]
    drift_events: int
    sample: dict[str, Any] | None
    places: dict[str, str]


def summarise(
    *,
    broker: str,
    source: str,
    seconds: float,
    events_produced: int,
    status: dict[str, Any],
    report: SimulatorReport | None,
    sample: dict[str, Any] | None,
    places: dict[str, str],
) -> DemoSummary:
    """A summary from a worker's status and a simulator's report; either may have nothing to tell yet."""
    quality = status.get("quality", {})
    tasks = {name: task for name, task in quality.get("tasks", {}).items() if task["labels"]}
    learned = status.get("events_learned", 0)
    return DemoSummary(
        broker=broker,
        source=source,
        seconds=round(seconds, 2),
        events_produced=events_produced,
        events_learned=learned,
        dead_letters=status.get("dead_letters", 0),
        recommendations=status.get("recommendations", 0),
        users=status.get("users", 0),
        items=status.get("items", 0),
        freshness_ms=quality.get("freshness_ms", {"p50": None, "p99": None}),
        events_per_s=round(learned / seconds, 1) if seconds > 0.0 else 0.0,
        click_rate=_rates(report.click_rate) if report is not None else None,
        click_rate_over_time=_over_time(report) if report is not None else [],
        hr10=quality.get("hr10"),
        task_loss={name: task["loss"] for name, task in tasks.items()},
        task_weights={name: task["weight"] for name, task in tasks.items()},
        relatedness=quality.get("relatedness", {}),
        drift_events=quality.get("drift_events", 0),
        sample=sample,
        places=places,
    )


def _rates(rates: ClickRates) -> dict[str, float | None]:
    return {
        name: _rounded(getattr(rates, name)) for name in ("recommended", "popularity", "random", "oracle")
    }


def _over_time(report: SimulatorReport) -> list[dict[str, float | None]]:
    """The report's windows in a few stretches, each weighted by what was shown in it."""
    windows = report.windows
    if not windows:
        return []
    size = -(-len(windows) // _STRETCHES)
    stretches = [windows[start : start + size] for start in range(0, len(windows), size)]
    names = ("recommended", "popularity")
    return [{name: _mean(stretch, name) for name in names} for stretch in stretches]


def _mean(windows: list[Any], arm: str) -> float | None:
    shown = [(window.places[arm], getattr(window.click_rate, arm)) for window in windows]
    places = sum(count for count, rate in shown if rate is not None)
    if not places:
        return None
    return _rounded(sum(count * rate for count, rate in shown if rate is not None) / places)


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 5)
