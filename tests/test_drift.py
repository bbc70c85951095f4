"""Drift of a task's loss: found when there is one, silent when there is none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

import monitoring.detector as detector_module
from monitoring.drift import DriftFinding, DriftWatch

LABELS = 64


def watched(
    losses: Iterable[float], *, labels: int = LABELS, noise: float = 0.05, watch: DriftWatch | None = None
) -> list[DriftFinding]:
    """Findings over steps of one task's mean losses, a little noisy."""
    watch = watch or DriftWatch(["click"])
    rng = np.random.default_rng(0)
    return [
        finding
        for step, loss in enumerate(losses)
        for finding in watch.update(
            np.array([loss + noise * rng.normal()], np.float32),
            np.array([labels]),
            now_ms=1_000 + step,
            event_time_ms=step,
            model_step=step,
        )
    ]


def test_a_rise_is_found_and_called_worse() -> None:
    found = watched([0.2] * 300 + [0.6] * 100)
    assert {finding.direction for finding in found} == {"worse"}
    first = found[0]
    assert 300 <= first.model_step < 380
    assert first.before == pytest.approx(0.2, abs=0.1)
    assert first.after > first.before
    assert (first.task, first.detector) == ("click", "adwin")
    assert first.found_at_ms == 1_000 + first.model_step
    assert (first.event_time_ms, first.labels) == (first.model_step, LABELS * (first.model_step + 1))


def test_a_fall_is_found_and_called_better() -> None:
    found = watched([0.6] * 300 + [0.2] * 100)
    assert {finding.direction for finding in found} == {"better"}


def test_a_stationary_loss_is_left_in_peace() -> None:
    assert watched([0.3] * 5_000) == []


def test_a_slow_learning_curve_is_no_alarm() -> None:
    found = watched([0.3 + 0.3 * 0.99**n for n in range(2_000)])
    assert not [finding for finding in found if finding.direction == "worse"]


def test_each_task_is_watched_by_itself() -> None:
    watch = DriftWatch(["click", "buy"])
    found = []
    for step in range(400):
        losses = np.array([0.3, 0.2 if step < 300 else 0.7])
        found += watch.update(losses, np.array([LABELS, LABELS]), now_ms=0, event_time_ms=0, model_step=step)
    assert {finding.task for finding in found} == {"buy"}


def test_rare_labels_are_gathered_before_they_are_judged() -> None:
    """One label a step: a group of 32 is one signal, so the rise shows after a few groups, not at once."""
    assert watched([0.2] * 600 + [5.0] * 31, labels=1, noise=0.0) == []
    found = watched([0.2] * 3_200 + [0.9] * 1_600, labels=1)
    assert found
    assert found[0].model_step % 32 == 31


def test_missing_losses_are_no_signal() -> None:
    watch = DriftWatch(["click"])
    watched([0.2] * 200, watch=watch)
    assert watched([float("nan")] * 500, watch=watch) == []
    assert watched([0.9] * 500, labels=0, watch=watch) == []


def test_an_absurd_loss_is_bounded() -> None:
    found = watched([0.2] * 300 + [1e9] * 60, noise=0.0)
    assert found
    assert all(finding.after <= 1.0 for finding in found)


def test_a_detector_of_another_version_of_the_library_begins_anew_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = DriftWatch(["click"])
    watched([0.2] * 300, watch=before)
    saved = before.state_dict()
    same = DriftWatch(["click"])
    same.load_state_dict(saved)
    assert watched([0.6] * 100, watch=same) == watched([0.6] * 100, watch=before) != []
    monkeypatch.setattr(detector_module, "_LIBRARY", b"99.1")
    other = DriftWatch(["click"])
    other.load_state_dict(saved)
    assert "99.1: it begins anew" in caplog.text
    assert watched([0.6] * 100, watch=other) == [], "it has seen nothing else"
