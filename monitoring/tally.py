"""A histogram to which a whole step's values are added at once: Prometheus' own takes them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Tally(Collector):
    """Counts values by buckets, and shows them as `prometheus_client.Histogram` does.

    Args:
        name: Of the metric.
        meaning: Its help text.
        buckets: Upper bounds, ascending, each inside its bucket; one more bucket has what lies above.
    """

    def __init__(self, name: str, meaning: str, buckets: Sequence[float]) -> None:
        self._name, self._meaning = name, meaning
        self._bounds = np.array([*buckets, np.inf])
        self._counts = np.zeros(len(self._bounds), np.int64)
        self._sum = 0.0

    def observe(self, values: ArrayLike) -> None:
        """Add values (N,)."""
        added = np.asarray(values, np.float64)
        buckets = np.searchsorted(self._bounds, added, side="left")
        self._counts += np.bincount(buckets, minlength=len(self._counts))
        self._sum += float(added.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What a registry asks for."""
        bounds = map(floatToGoString, self._bounds.tolist())
        buckets = list(zip(bounds, np.cumsum(self._counts).astype(float).tolist(), strict=True))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=self._sum)
