"""The second stage: one small network over all counts and the neural score, learned from what was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from learners.event_batch import BoolArray, FloatArray, IntArray
from learners.losses import served_softmax
from learners.parameters import load_optimised, optimised_arrays
from learners.standardiser import Standardiser
from learners.state_arrays import Arrays

_PADDING = -1e9


class _Network(nn.Module):
    """A two-layer network beside a linear part, over standardised features."""

    def __init__(self, prior: Tensor, hidden: tuple[int, int] = (64, 32)) -> None:
        super().__init__()
        features = len(prior)
        self.first = nn.Linear(features, hidden[0])
        self.second = nn.Linear(*hidden)
        self.out = nn.Linear(hidden[1], 1)
        self.linear = nn.Linear(features, 1, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(prior)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) to (...)."""
        # ReLU costs a seventh of SiLU here, and this runs for every candidate of every slate
        hidden = F.relu(self.second(F.relu(self.first(x), inplace=True)), inplace=True)
        score: Tensor = (self.out(hidden) + self.linear(x)).squeeze(-1)
        return score


class Ranker:
    """Scores candidates by features; learns by softmax cross-entropy over the candidates that were served.

    Hard candidates come from its own top, the others uniformly with their importance weight.

    Args:
        prior: (F,) weights of the scaled features before anything is learned.
        standardiser: Scales the features; the ranker lets it follow what it compares.
        learning_rate: Of Adam.
        candidates: How many candidates a learned row compares, the chosen one included.
        rng: Source of the uniform part.
    """

    _TOP_SHARE = 0.6

    def __init__(
        self,
        prior: FloatArray,
        standardiser: Standardiser,
        *,
        learning_rate: float,
        rng: np.random.Generator,
        candidates: int = 50,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)))
            self._network = _Network(torch.from_numpy(prior))
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=learning_rate, betas=(0.9, 0.99))
        self._candidates = candidates
        self._rng = rng
        self._standardiser = standardiser

    def score(self, features: FloatArray, filled: BoolArray) -> FloatArray:
        """Scores of candidates.

        Args:
            features: (S, C, F).
            filled: (S, C) which candidates there are.

        Returns:
            (S, C), -inf where there is no candidate.
        """
        with torch.inference_mode():
            scores = self._network(torch.from_numpy(self._standardiser.transform(features))).numpy()
        return np.where(filled, scores, -np.inf).astype(np.float32)

    def learn_many(
        self, features: FloatArray, filled: BoolArray, scores: FloatArray, chosen: IntArray
    ) -> float | None:
        """One step.

        Args:
            features: (T, C, F) of the candidates as they were ranked.
            filled: (T, C) which candidates there are.
            scores: (T, C) how they were ranked.
            chosen: (T,) the chosen item's column.

        Returns:
            The loss; None where there was nothing to learn or it was not finite, and nothing was learned.
        """
        T, C, width = features.shape
        if not T or C < 2:
            return None
        columns, log_weight = self._contrast(filled, scores, chosen)
        compared = np.take_along_axis(features, columns[:, :, None], axis=1)  # (T, N, F)
        self._standardiser.learn_many(compared[log_weight > _PADDING / 2].reshape(-1, width))
        outputs = self._network(torch.from_numpy(self._standardiser.transform(compared)))
        loss = served_softmax(outputs, torch.from_numpy(log_weight))
        if not torch.isfinite(loss):
            return None
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(loss.detach())

    def _contrast(
        self, filled: BoolArray, scores: FloatArray, chosen: IntArray
    ) -> tuple[IntArray, FloatArray]:
        """Which candidates to compare (T, N), the chosen one first, and the logarithm of their weights (T, N)."""
        T, C = filled.shape
        own = np.arange(T)
        wanted = min(self._candidates, C) - 1
        top = int(wanted * self._TOP_SHARE)
        rest = wanted - top
        order = np.where(filled, scores, -np.inf)
        order[own, chosen] = np.inf
        by_score = np.argsort(-order, axis=1, kind="stable")  # the chosen one, then the best, empty ones last
        hard = by_score[:, : 1 + top]
        lottery = np.where(filled, self._rng.random((T, C)), -1.0)
        np.put_along_axis(lottery, hard, -1.0, axis=1)
        uniform = np.argpartition(-lottery, max(rest - 1, 0), axis=1)[:, :rest]
        columns = np.concatenate([hard, uniform], axis=1)

        left = np.maximum(filled.sum(axis=1) - hard.shape[1], 0)
        drawn = np.minimum(left, rest)
        log_weight = np.zeros((T, 1 + wanted), np.float32)
        log_weight[:, 1 + top :] = np.log(np.maximum(left, 1) / np.maximum(drawn, 1))[:, None]
        empty = ~np.take_along_axis(filled, columns, axis=1)
        empty[:, 1 + top :] |= np.take_along_axis(lottery, uniform, axis=1) < 0.0
        empty[:, 0] = False
        log_weight[empty] = _PADDING
        return columns, log_weight

    def state_dict(self) -> Arrays:
        """Parameters and the optimiser's moments."""
        return optimised_arrays(self._network, self._optimiser)

    def load_state_dict(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The inverse of `state_dict`."""
        load_optimised(self._network, self._optimiser, arrays)
