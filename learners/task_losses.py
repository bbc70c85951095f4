"""What the tasks learn by. Losses take logits and labels, never a model; `TaskLosses` puts them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learners.event_batch import FloatArray
from learners.task import Task

FOCUS = 2.0
"""Gamma of the focal loss."""

_FOCAL_MOST = 12.0

HUBER_AT = 0.2
"""Error in [0, 1] beyond which the Huber loss grows linearly."""


class TaskLosses:
    """Each task's loss by its own name.

    Args:
        tasks: Axis K.
        device: Where tensors live.
    """

    def __init__(self, tasks: Sequence[Task], device: str = "cpu") -> None:
        self._by_name: dict[str, Tensor] = {}
        for name in dict.fromkeys(task.learned_by for task in tasks):
            own = [number for number, task in enumerate(tasks) if task.learned_by == name]
            self._by_name[name] = torch.tensor(own, device=device)

    def rows(
        self, outputs: Tensor, labels: Tensor, mask: Tensor, positive_weight: Tensor, group: Tensor
    ) -> Tensor:
        """(B, K) each row's loss, 0 where its label is not known; a list's loss is shared out over its rows.

        Args:
            outputs: (B, K) logits.
            labels: (B, K) 0 or 1, or a value in [0, 1] for a regression.
            mask: (B, K) which labels are known.
            positive_weight: (K,) what a positive counts in the weighted loss.
            group: (B,) which list a row belongs to, for the listwise loss.
        """
        losses = torch.zeros_like(outputs)
        for name, tasks in self._by_name.items():
            z, y, known = outputs[:, tasks], labels[:, tasks], mask[:, tasks]
            if name == "listwise":
                losses[:, tasks] = torch.stack(
                    [listwise(z[:, n], y[:, n], known[:, n], group) for n in range(len(tasks))], dim=1
                )
                continue
            weighted = name == "weighted"
            each = weighted_cross_entropy(z, y, positive_weight[tasks]) if weighted else _PLAIN[name](z, y)
            losses[:, tasks] = torch.where(known, each, 0.0)
        return losses

    def start(self, logits: FloatArray, positive_weight: FloatArray) -> FloatArray:
        """(K,) where towers start for probabilities of given logits: the inverse of `probability_logits`."""
        start = logits
        for name in ("weighted", "focal"):
            tasks = self._by_name.get(name)
            if tasks is not None:
                own = tasks.cpu().numpy()
                start = start.copy() if start is logits else start
                start[own] = (
                    logits[own] + np.log(positive_weight[own])
                    if name == "weighted"
                    else focal_outputs(logits[own])
                )
        return start

    def compared(
        self, losses: Tensor, outputs: Tensor, labels: Tensor, mask: Tensor, positive_weight: Tensor
    ) -> Tensor:
        """(B, K) what heads are compared by: the losses of `rows`, but positives of the weighted loss count once.

        What a positive counts is each one's own finding, and who finds that it counts less has the smaller loss.
        """
        tasks = self._by_name.get("weighted")
        if tasks is None:
            return losses
        plain = losses.clone()
        straight = outputs[:, tasks] - positive_weight[tasks].log()
        plain[:, tasks] = torch.where(mask[:, tasks], cross_entropy(straight, labels[:, tasks]), 0.0)
        return plain

    def probability_logits(self, outputs: Tensor, positive_weight: Tensor) -> Tensor:
        """(B, K) logits of probabilities: what a loss that is not proper has bent is bent back.

        Args:
            outputs: (B, K) logits as they were learned.
            positive_weight: (K,) as in `rows`.
        """
        straight = outputs
        for name, bend in (("weighted", None), ("focal", focal_logits)):
            tasks = self._by_name.get(name)
            if tasks is not None:
                straight = straight.clone() if straight is outputs else straight
                z = outputs[:, tasks]
                straight[:, tasks] = z - positive_weight[tasks].log() if bend is None else bend(z)
        return straight


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """-y log p - (1 - y) log(1 - p), p = sigmoid(output). Proper: its minimum is the probability."""
    return F.binary_cross_entropy_with_logits(outputs, labels, reduction="none")


def focal(outputs: Tensor, labels: Tensor, gamma: float = FOCUS) -> Tensor:
    """-(1 - p_t)^gamma log p_t, p_t = p for a positive and 1 - p for a negative (Lin et al., 2017, arXiv:1708.02002).

    Not proper: its minimum lies nearer to 1/2 than the probability; `focal_logits` undoes that.
    """
    signed = outputs * (2.0 * labels - 1.0)
    return torch.sigmoid(-signed) ** gamma * F.softplus(-signed)


def weighted_cross_entropy(outputs: Tensor, labels: Tensor, positive_weight: Tensor) -> Tensor:
    """-w y log p - (1 - y) log(1 - p): a positive counts w times (as in Cui et al., 2019, arXiv:1901.05555).

    Its minimum has odds w times too high, so log w is taken from the logit before it is called a probability.
    """
    return F.binary_cross_entropy_with_logits(outputs, labels, pos_weight=positive_weight, reduction="none")


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    """(sigmoid(output) - y)^2."""
    return (torch.sigmoid(outputs) - labels).square()


def huber(outputs: Tensor, labels: Tensor, at: float = HUBER_AT) -> Tensor:
    """e^2 / 2 up to |e| = at, at (|e| - at / 2) beyond, e = sigmoid(output) - y (Huber, 1964)."""
    return F.huber_loss(torch.sigmoid(outputs), labels, delta=at, reduction="none")


def listwise(outputs: Tensor, labels: Tensor, mask: Tensor, group: Tensor) -> Tensor:
    """Softmax cross-entropy within each list (ListNet's top-one loss, Cao et al., ICML 2007).

    For a list with rows i, -sum_i y_i / sum_j y_j log softmax(output)_i. A list without a positive, or of one
    row, says nothing.

    Args:
        outputs: (B,) logits.
        labels: (B,) 0 or 1.
        mask: (B,) which are known.
        group: (B,) which list a row belongs to.

    Returns:
        (B,) each row's part; the sum over a list is the list's loss.
    """
    _, number = torch.unique(group, return_inverse=True)
    groups = int(number.max()) + 1 if len(number) else 0
    known = mask.to(outputs.dtype)
    shown = torch.where(mask, outputs, torch.full_like(outputs, -1e9))
    largest = outputs.new_full((groups,), -1e9).scatter_reduce(0, number, shown.detach(), "amax")
    exponent = known * torch.exp(shown - largest[number])
    total = outputs.new_zeros(groups).index_add(0, number, exponent)
    positives = outputs.new_zeros(groups).index_add(0, number, labels * known)
    size = outputs.new_zeros(groups).index_add(0, number, known)
    says = ((positives > 0.0) & (size > 1.0)).to(outputs.dtype)
    log_share = shown - largest[number] - total.clamp(min=1e-30).log()[number]
    share = labels * known * says[number] / positives.clamp(min=1e-9)[number]
    return -share * torch.where(mask, log_share, torch.zeros_like(log_share))


def focal_logits(outputs: Tensor, gamma: float = FOCUS) -> Tensor:
    """The logits of the probabilities that a focal loss's minimum stands for (Charoenphakdee et al., CVPR 2021).

    At its minimum, odds = h(p) / h(1 - p) with h(v) = v / ((1 - v)^gamma - gamma (1 - v)^(gamma - 1) v log v);
    arXiv:2011.09172.
    """

    def log_h(z: Tensor) -> Tensor:
        p, q = torch.sigmoid(z), torch.sigmoid(-z)
        return F.logsigmoid(z) - (q**gamma - gamma * q ** (gamma - 1.0) * p * F.logsigmoid(z)).log()

    bounded = outputs.clamp(-_FOCAL_MOST, _FOCAL_MOST)  # beyond, the powers run out of digits
    return log_h(bounded) - log_h(-bounded)


def focal_outputs(logits: FloatArray) -> FloatArray:
    """(N,) the outputs of which `focal_logits` makes these logits, to a thousandth: it only grows, so by a table."""
    outputs, found = _focal_table()
    return np.interp(logits, found, outputs).astype(np.float32)


@cache
def _focal_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outputs, and the logits that `focal_logits` makes of them."""
    outputs = torch.linspace(-_FOCAL_MOST, _FOCAL_MOST, 4_801, dtype=torch.float64)
    return outputs.numpy(), focal_logits(outputs).numpy()


_PLAIN = {"cross_entropy": cross_entropy, "focal": focal, "squared": squared, "huber": huber}
