"""Rules whose times are shortened ask the same, sooner."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prometheus_installed import needs_prometheus
from test_alerts import CASES, promtool

from benchmarks.alerts.faults import FAULTS
from benchmarks.alerts.hurried import hurried, hurry


@pytest.mark.parametrize(
    ("expression", "sooner"),
    [
        ("sum by (job) (increase(lost_total[1h])) > 0", "sum by (job) (increase(lost_total[180000ms])) > 0"),
        ("rate(x_total[30s]) > 10", "rate(x_total[5000ms]) > 10"),
        (
            "bytes > 2e9 and bytes > 1.5 * (bytes offset 6h)",
            "bytes > 2e9 and bytes > 1.5 * (bytes offset 1080000ms)",
        ),
        (
            "time() - last_timestamp_seconds > 120 and lag > 100",
            "time() - last_timestamp_seconds > 6 and lag > 100",
        ),
        (
            "time() - min by (job) (caught_up_timestamp_seconds) > 300",
            "time() - min by (job) (caught_up_timestamp_seconds) > 15",
        ),
        ("job:lag_records:sum > 1000", "job:lag_records:sum > 1000"),
    ],
)
def test_ranges_offsets_and_ages_are_shortened_and_counts_are_not(expression: str, sooner: str) -> None:
    assert hurried(expression, 20.0) == sooner


@needs_prometheus
def test_what_is_shortened_are_rules(tmp_path: Path) -> None:
    folder = hurry(tmp_path / "hurried", 20.0)
    paths = sorted((folder / "rules").glob("*.yml"))
    assert promtool("check", "rules", *map(str, paths)) == ""
    rules = [
        rule
        for path in paths
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    [down] = [rule for rule in rules if rule.get("alert") == "FreshetWorkerDown"]
    assert down["for"] == "3000ms"


def test_every_alert_has_a_fault_that_fires_it() -> None:
    fired = [alert for fault in FAULTS.values() for alert in fault.alerts]
    assert sorted(fired) == sorted(CASES)
