"""Each alert fires on its fault and is silent without it: promtool's unit tests, made of the cases below."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_installed import needs_prometheus

from benchmarks.prometheus import SHIPPED, installed

RULES = sorted((SHIPPED / "rules").glob("*.yml"))
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((SHIPPED / "rules" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
Series = dict[str, str]
WORKER = 'job="freshet", instance="a"'


@dataclass(frozen=True)
class Case:
    """What is scraped every `every`, when it is looked at, and what it is where nothing is wrong."""

    fault: Series
    fine: Series
    at: str = "30m"
    every: str = "1m"


def fresh(stale_percent: float, samples: int) -> Series:
    """A hundred events a sample, of which so many are late."""
    return {
        f'freshet_freshness_seconds_bucket{{{WORKER}, le="1.0"}}': f"0+{100 - stale_percent}x{samples}",
        f"freshet_freshness_seconds_count{{{WORKER}}}": f"0+100x{samples}",
    }


def one(name: str, values: str, *labels: str) -> Series:
    return {f"{name}{{{', '.join([WORKER, *labels])}}}": values}


CLOCK = "0+60x60"  # a moment that goes with the clock, a sample a minute
EVENTS = one("freshet_events_learned_total", "0+6000x60")
EVERY_5_S = one("freshet_checkpoint_interval_seconds", "5x60")
CASES = {
    "FreshetWorkerDown": Case(one("up", "1x20 0x20"), one("up", "1x40")),
    "FreshetWorkerNotReady": Case(one("freshet_ready", "1x10 0x30"), one("freshet_ready", "1x25 0x3 1x10")),
    "FreshetStuck": Case(
        one("freshet_last_step_timestamp_seconds", "0+60x10 600x30")
        | one("freshet_lag_records", "5x60", 'partition="0"'),
        one("freshet_last_step_timestamp_seconds", "0+60x10 600x30")
        | one("freshet_lag_records", "0x60", 'partition="0"'),
    ),
    "FreshetRestarting": Case(
        one("process_start_time_seconds", "0x5 300x3 500x3 700x3 900x3 1100x20"),
        one("process_start_time_seconds", "0x5 300x5 600x60"),
        at="18m",
    ),
    "FreshetRebalancing": Case(
        one("freshet_rebalances_total", "0+1x60"), one("freshet_rebalances_total", "1x10 2x10 3x40")
    ),
    "FreshetLagGrowing": Case(
        one("freshet_lag_records", "0+500x60", 'partition="0"'),
        one("freshet_lag_records", "30000-500x60", 'partition="0"'),
    ),
    "FreshetBehind": Case(
        one("freshet_caught_up_timestamp_seconds", CLOCK, 'partition="0"')
        | one("freshet_caught_up_timestamp_seconds", "0+30x60", 'partition="1"'),
        one("freshet_caught_up_timestamp_seconds", CLOCK, 'partition="0"')
        | one("freshet_caught_up_timestamp_seconds", CLOCK, 'partition="1"'),
    ),
    "FreshetFreshnessBurnsFast": Case(fresh(20.0, 150), fresh(0.5, 150), at="2h"),
    "FreshetFreshnessBurnsSlowly": Case(fresh(4.0, 900), fresh(0.5, 900), at="3d", every="5m"),
    "FreshetResultsUndelivered": Case(
        one("freshet_undelivered_seconds", "0x10 0+60x30"), one("freshet_undelivered_seconds", "0.5x60")
    ),
    "FreshetDeadLetters": Case(
        EVENTS | one("freshet_dead_letters_total", "0+600x60", 'reason="not_json"'),
        EVENTS | one("freshet_dead_letters_total", "0+6x60", 'reason="not_json"'),
    ),
    "FreshetStepFailures": Case(
        one("freshet_step_failures_total", "0x20 1x20"), one("freshet_step_failures_total", "7x40")
    ),
    "FreshetEventsLost": Case(
        one("freshet_events_lost_total", "0x60 100x70"),
        one("freshet_events_lost_total", "100x130"),
        at="2h",
    ),
    "FreshetNonfiniteSkips": Case(
        one("freshet_nonfinite_skips_total", "0+1x60", 'part="tasks"'),
        one("freshet_nonfinite_skips_total", "0x20 2x20", 'part="tasks"'),
    ),
    "FreshetDrift": Case(
        one("freshet_drift_findings_total", "0x20 1x20", 'direction="worse"', 'verdict="act"'),
        one("freshet_drift_findings_total", "0x20 1x20", 'direction="worse"', 'verdict="alone"')
        | one("freshet_drift_findings_total", "0x20 1x20", 'direction="better"', 'verdict="better"'),
    ),
    "FreshetDriftReactionsUndone": Case(
        one("freshet_drift_outcomes_total", "0+1x60", 'reaction="ranker"', 'outcome="undone"'),
        one("freshet_drift_outcomes_total", "0x20 2x40", 'reaction="ranker"', 'outcome="undone"')
        | one("freshet_drift_outcomes_total", "0+1x60", 'reaction="ranker"', 'outcome="kept"'),
    ),
    "FreshetCheckpointOld": Case(
        one("freshet_checkpoint_timestamp_seconds", "0x60")
        | one("freshet_model_step", "0+10x60")
        | EVERY_5_S,
        one("freshet_checkpoint_timestamp_seconds", "0x60") | one("freshet_model_step", "70x60") | EVERY_5_S,
    ),
    "FreshetCheckpointFailing": Case(
        one("freshet_checkpoint_failures_total", "0x25 1x20"),
        one("freshet_checkpoint_failures_total", "0x5 1x60"),
    ),
    "FreshetMemoryGrows": Case(
        one("process_resident_memory_bytes", "2e9+1e7x300"),
        one("process_resident_memory_bytes", "3e9+1e6x300"),
        at="8h",
        every="2m",
    ),
}


def complaints(folder: Path, every: str, series: Series, expectations: list[dict[str, Any]]) -> str:
    """What promtool has against it; empty where it agrees."""
    test = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": every,
        "tests": [
            {
                "interval": every,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": expectations,
            }
        ],
    }
    path = folder / "test.json"
    path.write_text(json.dumps(test))
    return promtool("test", "rules", str(path))


def promtool(*words: str) -> str:
    """What it prints where it fails; empty where it does not."""
    run = subprocess.run([installed("promtool"), *words], capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout + run.stderr


def tried(alert: str, series: Series, case: Case, *, firing: int, folder: Path) -> str:
    """What promtool has against so many of an alert firing."""
    expected = {
        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
        "eval_time": case.at,
        "exp_samples": [{"labels": "{}", "value": firing}],
    }
    return complaints(folder, case.every, series, [expected])


def test_every_alert_has_a_case_and_every_case_an_alert() -> None:
    assert set(CASES) == set(ALERTS)


@needs_prometheus
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_on_its_fault(alert: str, tmp_path: Path) -> None:
    assert tried(alert, CASES[alert].fault, CASES[alert], firing=1, folder=tmp_path) == ""


@needs_prometheus
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_is_silent_without_its_fault(alert: str, tmp_path: Path) -> None:
    assert tried(alert, CASES[alert].fine, CASES[alert], firing=0, folder=tmp_path) == ""


@needs_prometheus
def test_no_worker_at_all_is_a_worker_down(tmp_path: Path) -> None:
    case = Case({'up{job="prometheus"}': "1x60"}, {})
    assert tried("FreshetWorkerDown", case.fault, case, firing=1, folder=tmp_path) == ""


@needs_prometheus
def test_any_freshet_job_may_be_down_and_others_are_none_of_its_business(tmp_path: Path) -> None:
    other = {'up{job="freshet-eu", instance="a"}': "1x60", 'up{job="prometheus"}': "0x60"}
    for up, firing in (("1x60", 0), ("0x60", 1)):
        second = other | {'up{job="freshet-us", instance="b"}': up}
        assert tried("FreshetWorkerDown", second, Case({}, {}), firing=firing, folder=tmp_path) == ""


@needs_prometheus
@pytest.mark.parametrize(("at", "firing"), [("5m", 1), ("59m", 1), ("70m", 0)])
def test_what_was_lost_before_the_first_scrape_is_told_for_an_hour(
    at: str, firing: int, tmp_path: Path
) -> None:
    """Whoever was away finds the loss as it starts."""
    lost = one("freshet_events_lost_total", "100x130")
    assert tried("FreshetEventsLost", lost, Case({}, {}, at=at), firing=firing, folder=tmp_path) == ""


@needs_prometheus
def test_a_slow_burn_wakes_nobody(tmp_path: Path) -> None:
    case = CASES["FreshetFreshnessBurnsSlowly"]
    assert tried("FreshetFreshnessBurnsFast", case.fault, case, firing=0, folder=tmp_path) == ""


@needs_prometheus
def test_a_worker_without_events_owes_no_freshness(tmp_path: Path) -> None:
    still = dict.fromkeys(fresh(0.0, 1), "500x200")
    for alert in ("FreshetFreshnessBurnsFast", "FreshetFreshnessBurnsSlowly"):
        assert tried(alert, still, Case({}, {}, at="2h"), firing=0, folder=tmp_path) == ""


@needs_prometheus
@pytest.mark.parametrize("at", ["12m", "14m", "16m", "20m"])
def test_a_stream_that_ends_makes_no_checkpoint_old(tmp_path: Path, at: str) -> None:
    ended = (
        one("freshet_checkpoint_timestamp_seconds", "0+60x10 600x50")
        | one("freshet_model_step", "0+10x10 100x50")
        | EVERY_5_S
    )
    assert tried("FreshetCheckpointOld", ended, Case({}, {}, at=at), firing=0, folder=tmp_path) == ""


@needs_prometheus
@pytest.mark.parametrize(("every", "firing"), [("300x60", 0), ("60x60", 1)])
@pytest.mark.parametrize("at", ["19m", "29m", "39m"])
def test_how_old_a_checkpoint_may_be_goes_by_the_interval_that_is_set(
    tmp_path: Path, at: str, every: str, firing: int
) -> None:
    """One each ten minutes."""
    taken = " ".join(f"{600 * n}x9" for n in range(6))
    series = (
        one("freshet_checkpoint_timestamp_seconds", taken)
        | one("freshet_model_step", "0+10x60")
        | one("freshet_checkpoint_interval_seconds", every)
    )
    assert tried("FreshetCheckpointOld", series, Case({}, {}, at=at), firing=firing, folder=tmp_path) == ""


@needs_prometheus
def test_averages_of_workers_are_weighed_and_the_unknown_weighs_nothing(tmp_path: Path) -> None:
    series = {
        'freshet_task_auc{job="freshet", instance="a", task="click"}': "0.5x10",
        'freshet_task_auc{job="freshet", instance="b", task="click"}': "0.8x10",
        'freshet_task_auc{job="freshet", instance="c", task="click"}': "NaN " * 10,
        'freshet_task_window_labels{job="freshet", instance="a", task="click"}': "100x10",
        'freshet_task_window_labels{job="freshet", instance="b", task="click"}': "200x10",
        'freshet_task_window_labels{job="freshet", instance="c", task="click"}': "900x10",
        'freshet_progressive_hit_rate{job="freshet", instance="a", window="run"}': "0.1x10",
        'freshet_progressive_hit_rate{job="freshet", instance="b", window="run"}': "NaN " * 10,
        'freshet_progressive_choices{job="freshet", instance="a", window="run"}': "50x10",
        'freshet_progressive_choices{job="freshet", instance="b", window="run"}': "0x10",
    }
    wanted = {
        'job:freshet_task_auc:mean{job="freshet", task="click"}': 0.7,
        'job:freshet_progressive_hit_rate:mean{job="freshet", window="run"}': 0.1,
    }
    expected = [
        {
            "expr": f"round({name.partition('{')[0]}, 0.001)",
            "eval_time": "5m",
            "exp_samples": [{"labels": f"{{{name.partition('{')[2]}", "value": value}],
        }
        for name, value in wanted.items()
    ]
    assert complaints(tmp_path, "1m", series, expected) == ""


@needs_prometheus
def test_the_shipped_configuration_is_what_prometheus_understands() -> None:
    assert promtool("check", "config", str(SHIPPED / "prometheus.yml")) == ""
    assert promtool("check", "rules", *map(str, RULES)) == ""


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_is_and_where_help_stands(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    text = Path(page).read_text(encoding="utf-8")
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert anchor == alert.lower()
    assert anchor in anchors
