"""Losses take scores and labels, never a model. All return means over what is present."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_NEVER = -1e9  # finite, so that a row of masked scores stays differentiable


def sampled_softmax(
    scores: Tensor, log_expected: Tensor, target_rows: Tensor, candidate_rows: Tensor
) -> Tensor:
    """Softmax cross-entropy over sampled items with logQ correction.

    The score of a sampled item is lowered by the logarithm of how often sampling brings it, which makes the
    sampled loss's gradient an estimate of the full softmax's (Bengio and Senecal, 2008; Yi et al., 2019,
    "Sampling-bias-corrected neural modeling").

    Args:
        scores: (T, C) score of each target row's user with each candidate; candidate t is row t's own item.
        log_expected: (C,) logarithm of each candidate's expected number of appearances in the sample.
        target_rows: (T,) the items that were chosen.
        candidate_rows: (C,) the sampled items, the T targets first.

    Returns:
        Mean over T.
    """
    corrected = scores - log_expected
    own = torch.arange(len(target_rows), device=scores.device)
    again = candidate_rows.unsqueeze(0) == target_rows.unsqueeze(1)
    again[own, own] = False
    return F.cross_entropy(corrected.masked_fill(again, _NEVER), own)


def served_softmax(scores: Tensor, log_weight: Tensor) -> Tensor:
    """Softmax cross-entropy over served candidates, the chosen one in column 0.

    Args:
        scores: (T, C) scores.
        log_weight: (T, C) logarithm of how many candidates each stands for; -inf-like for padding.

    Returns:
        Mean over T.
    """
    return F.cross_entropy(
        scores + log_weight, torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    )
