"""Detectors by the names that settings know them by."""

from __future__ import annotations

from typing import Literal

from monitoring.detectors.adwin import Adwin
from monitoring.detectors.detector import Detector
from monitoring.detectors.page_hinkley import PageHinkley

Kind = Literal["page_hinkley", "adwin"]


def build(kind: Kind, allowance: float, up: float, down: float) -> Detector:
    """A detector that has seen nothing.

    Args:
        kind: Its method.
        allowance: Deviations by which a mean may move unnoticed, where the method has such a thing.
        up: Values between two false alarms of a rise.
        down: And of a fall; a method that knows no sides takes the shorter of the two.
    """
    return PageHinkley(allowance, up, down) if kind == "page_hinkley" else Adwin(min(up, down))
