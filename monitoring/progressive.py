"""Progressive validation: quality of what was said before it was learned, over windows and over the whole run."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.ranking_quality import gains, hits, reciprocal_ranks


class ProgressiveRanking:
    """Hit rate and gain at 10 and reciprocal rank at 20 of choices, zero-based ranks in, -1 not found.

    Args:
        window: Choices of the sliding window.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._chunks: deque[tuple[float, ...]] = deque()
        self._inside = np.zeros(6)
        self._total = np.zeros(6)

    def update(self, ranks: NDArray[np.int64], known: NDArray[np.bool_], compared: NDArray[np.bool_]) -> None:
        """Count choices.

        Args:
            ranks: (T,).
            known: (T,) which chosen items could have been found at all.
            compared: (T,) which of them the ranker compared with others.
        """
        if not len(ranks):
            return
        chunk = (
            len(ranks),
            int(np.count_nonzero(hits(ranks))),
            float(reciprocal_ranks(ranks).sum()),
            float(gains(ranks).sum()),
            int(np.count_nonzero(known)),
            int(np.count_nonzero(known & compared)),
        )
        self._chunks.append(chunk)
        self._inside += chunk
        self._total += chunk
        while self._inside[0] - self._chunks[0][0] >= self._window:
            self._inside -= self._chunks.popleft()

    @property
    def scored(self) -> int:
        """Choices counted since the start."""
        return self.held(whole=True)

    def hit_rate(self, whole: bool = False) -> float:
        """HR@10 in the window or over the whole run; NaN before the first choice."""
        return self._share(1, 0, whole)

    def reciprocal_rank(self, whole: bool = False) -> float:
        """MRR@20."""
        return self._share(2, 0, whole)

    def gain(self, whole: bool = False) -> float:
        """NDCG@10; with one relevant item its ideal is 1."""
        return self._share(3, 0, whole)

    def recall(self, whole: bool = False) -> float:
        """Share of the known chosen items that were among the candidates which the ranker compared."""
        return self._share(5, 4, whole)

    def held(self, whole: bool = False) -> int:
        """Choices in the window or in the whole run."""
        return int((self._total if whole else self._inside)[0])

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Everything."""
        return {
            "chunks": np.array(self._chunks, np.float64).reshape(-1, len(self._total)),
            "inside": self._inside.copy(),
            "total": self._total.copy(),
        }

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`; of another window there is in it what there was, until more choices come."""
        self._chunks = deque(map(tuple, arrays["chunks"].tolist()))
        self._inside, self._total = arrays["inside"].astype(float), arrays["total"].astype(float)

    def _share(self, part: int, of: int, whole: bool) -> float:
        sums = self._total if whole else self._inside
        return float(sums[part] / sums[of]) if sums[of] else float("nan")


class Smoothed:
    """Exponential averages of K numbers that are not always there; corrected for the start, NaN before it.

    Args:
        size: K.
        half_life: Updates after which half is forgotten.
    """

    def __init__(self, size: int, half_life: float = 50.0) -> None:
        self._keep = 0.5 ** (1.0 / half_life)
        self._sum = np.zeros(size)
        self._weight = np.zeros(size)

    def update(self, values: NDArray[np.floating], weights: NDArray[Any] | float = 1.0) -> None:
        """Take (K,) values, NaN where there is none; each counts by its weight."""
        there = np.isfinite(values)
        for average, more in ((self._sum, np.multiply(values, weights)), (self._weight, weights)):
            np.multiply(average, self._keep, out=average, where=there)
            np.add(average, more, out=average, where=there)

    @property
    def values(self) -> NDArray[np.float64]:
        """(K,) the averages."""
        return np.divide(
            self._sum, self._weight, out=np.full_like(self._sum, np.nan), where=self._weight > 0.0
        )

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """(K,) sums and weights."""
        return {"sum": self._sum.copy(), "weight": self._weight.copy()}

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        self._sum, self._weight = arrays["sum"].astype(float), arrays["weight"].astype(float)
