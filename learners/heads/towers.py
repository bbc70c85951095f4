"""From mixtures to logits: one tower a task, all in one product, and what one task tells the next. B rows, K tasks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.task_axes import BY_TASK, TaskAxes

_POSITIONS = 64


class Towers(nn.Module):
    """K towers of one hidden layer.

    A task that comes after another one in a funnel can be told what that one knows, in two ways:

    - `product`: p_k = p_before p(k | before), as in ESMM (Ma et al., SIGIR 2018): its label is known for every
      impression, its tower learns the conditional probability only.
    - `gate`: its hidden units are mixed with a transfer of the former tower's by a learned attention, as in
      AITM (Xi et al., KDD 2021).

    In both, the gradient stops at the former task, so each tower is taught by its own labels alone: the former one
    stays calibrated, and what a loss gives to a mixture is one task's gradient.

    Args:
        tasks: K.
        width: W, a tower's inputs and hidden units.
        after: (K,) number of the task that comes before, -1 where there is none; a former task has a smaller
            number.
        chain: `product`, `gate` or `both`.
    """

    def __init__(self, tasks: int, width: int, after: Sequence[int] = (), chain: str = "product") -> None:
        super().__init__()
        self.width = width
        self.after = tuple(after) or (-1,) * tasks
        self._product = chain in ("product", "both")
        self._gated = chain in ("gate", "both") and any(before >= 0 for before in self.after)
        self.hidden = nn.Parameter(torch.randn(tasks, width, width) / width**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(tasks, 1, width))
        self.out = nn.Parameter(torch.zeros(tasks, width, 1))
        self.out_bias = nn.Parameter(torch.zeros(tasks, 1, 1))
        self.position = nn.Embedding(_POSITIONS, tasks)
        nn.init.zeros_(self.position.weight)
        self._former: Tensor
        self._chained: Tensor
        if self._gated:
            self.transfer = nn.Parameter(torch.randn(tasks, width, width) / width**0.5)
            self.attention = nn.Parameter(torch.zeros(2, tasks, width, 1))
            chained = torch.tensor([float(before >= 0) for before in self.after])
            self.register_buffer("_chained", chained.view(-1, 1, 1), persistent=False)
            former = torch.tensor([max(before, 0) for before in self.after])
            self.register_buffer("_former", former, persistent=False)

    def forward(self, mixed: Tensor, position: Tensor, offset: Tensor | None = None) -> Tensor:
        """(B, K, W) mixtures to (B, K) logits of unconditional probabilities.

        Where an item was shown biases what is done with it; `position` (B,) takes that part out of the
        rest (a shallow tower as in Zhao et al., RecSys 2019). -1, not known, is taken as the first place.

        Args:
            mixed: (B, K, W).
            position: (B,).
            offset: (K,) or (B, K) logits that the towers start from; of the conditional probability where
                tasks are chained by products.
        """
        hidden = F.silu(torch.baddbmm(self.hidden_bias, mixed.transpose(0, 1), self.hidden))  # (K, B, W)
        if self._gated:
            hidden = self._informed(hidden)
        logits = torch.baddbmm(self.out_bias, hidden, self.out).squeeze(-1).T  # (B, K)
        logits = logits + self.position(position.clamp(0, _POSITIONS - 1))
        if offset is not None:
            logits = logits + offset
        return chained_logits(logits, self.after) if self._product else logits

    @property
    def task_axes(self) -> TaskAxes:
        """Where the tasks are in its parameters."""
        axes: TaskAxes = {name: {0: BY_TASK} for name in ("hidden", "hidden_bias", "out", "out_bias")}
        axes["position.weight"] = {1: BY_TASK}
        if self._gated:
            axes |= {"transfer": {0: BY_TASK}, "attention": {1: BY_TASK}}
        return axes

    def _informed(self, hidden: Tensor) -> Tensor:
        """(K, B, W) hidden units, those of chained tasks mixed with what the former tower passes on."""
        passed = F.silu(hidden[self._former].detach() @ self.transfer)  # (K, B, W)
        score = torch.stack([hidden @ self.attention[0], passed @ self.attention[1]])  # (2, K, B, 1)
        share = score.softmax(dim=0)
        mixed = share[0] * hidden + share[1] * passed
        informed: Tensor = hidden + self._chained * (mixed - hidden)
        return informed


def chained_logits(logits: Tensor, after: Sequence[int]) -> Tensor:
    """(B, K) logits of conditional probabilities to those of unconditional ones.

    With log p = log p_before + log sigmoid(z) and log(1 - p) = log((1 - p_before) + p_before (1 - sigmoid(z)))
    the logit is their difference, without a loss of digits at either end. The gradient stops at p_before.
    """
    if all(before < 0 for before in after):
        return logits
    columns = list(logits.unbind(dim=1))
    for k, before in enumerate(after):
        if before < 0:
            continue
        former, own = columns[before].detach(), columns[k]
        log_p = F.logsigmoid(former) + F.logsigmoid(own)
        log_not = torch.logaddexp(F.logsigmoid(-former), F.logsigmoid(former) + F.logsigmoid(-own))
        columns[k] = log_p - log_not
    return torch.stack(columns, dim=1)
