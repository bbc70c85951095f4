"""Laws that every drift detector obeys, whatever its method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import law

import monitoring.detectors.adwin as adwin_module
from monitoring.detectors.detector import Change, Detector
from monitoring.detectors.page_hinkley import PageHinkley, threshold
from monitoring.detectors.registry import Kind, build

KINDS: tuple[Kind, ...] = get_args(Kind)

kinds = pytest.mark.parametrize("kind", KINDS)


def noise(count: int, mean: float = 0.0, seed: int = 0) -> list[float]:
    return (mean + np.random.default_rng(seed).normal(size=count)).tolist()


def changes(detector: Detector, values: Sequence[float]) -> list[tuple[int, Change]]:
    found = [(n, detector.update(value)) for n, value in enumerate(values)]
    return [(n, change) for n, change in found if change is not None]


@kinds
def test_a_shift_is_found_and_its_side_and_age_are_told(kind: Kind) -> None:
    for up in (True, False):
        shifted = noise(200, 3.0 if up else -3.0, seed=1)
        found = changes(build(kind, 0.5, 1e5, 1e5), [*noise(300), *shifted])
        n, change = found[0]
        assert 300 <= n < 450
        assert change.up is up
        assert abs(change.values - (n - 299)) < (10 if kind == "page_hinkley" else 400)


@kinds
def test_nothing_is_found_in_noise(kind: Kind) -> None:
    assert changes(build(kind, 0.5, 1e6, 1e6), noise(5_000)) == []


@kinds
@given(seed=st.integers(0, 2**31), cut=st.integers(0, 400))
@law(15)
def test_a_saved_detector_finds_what_it_would_have_found(kind: Kind, seed: int, cut: int) -> None:
    values = [*noise(250, seed=seed), *noise(150, 1.5, seed=seed + 1)]
    one, other = build(kind, 0.5, 1e4, 1e4), build(kind, 0.5, 1e4, 1e4)
    changes(one, values[:cut])
    other.load(one.saved())
    assert changes(one, values[cut:]) == changes(other, values[cut:])
    assert one.saved() == other.saved()


@kinds
def test_what_nobody_saved_leaves_a_detector_as_it_is(kind: Kind) -> None:
    one, other = build(kind, 0.5, 1e4, 1e4), build(kind, 0.5, 1e4, 1e4)
    other.load(b"")
    assert one.saved() == other.saved()


def test_a_detector_of_another_version_of_the_library_begins_anew_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = build("adwin", 0.5, 1e4, 1e4), build("adwin", 0.5, 1e4, 1e4)
    changes(before, noise(100))
    saved, nothing = before.saved(), after.saved()
    monkeypatch.setattr(adwin_module, "_LIBRARY", b"99.1")
    after.load(saved)
    assert "99.1: it begins anew" in caplog.text
    monkeypatch.undo()
    assert after.saved() == nothing


@given(st.floats(0.3, 1.5), st.floats(10.0, 1e7))
@law(50)
def test_a_longer_run_needs_more_evidence(allowance: float, run_length: float) -> None:
    assert threshold(allowance, 2.0 * run_length) >= threshold(allowance, run_length) >= 0.0


def test_the_run_length_is_about_what_was_asked_for() -> None:
    """Of 400 runs of noise the mean length until a false alarm of one side."""
    lengths = []
    rng = np.random.default_rng(3)
    for _ in range(400):
        detector = PageHinkley(0.5, 200.0, 1e12)
        n = 1
        while detector.update(float(rng.normal())) is None:
            n += 1
        lengths.append(n)
    assert np.mean(lengths) == pytest.approx(200.0, rel=0.25)
