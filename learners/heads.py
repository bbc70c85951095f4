"""Multi-task heads: a vectorised multi-gate mixture of experts. B rows, E experts, K tasks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_POSITIONS = 64


class Mixture(NamedTuple):
    """What the towers see, kept apart so that tasks' gradients can be balanced there.

    Attributes:
        mixed: (B, K, W) each task's mixture of the experts' outputs.
        gates: (B, K, E) how much of each expert a task takes; sums to one over E.
    """

    mixed: Tensor
    gates: Tensor


class MixtureOfExperts(nn.Module):
    """MMoE (Ma et al., KDD 2018) with all experts in one product and all towers in another.

    Args:
        inputs: Width of a row.
        tasks: K.
        experts: E.
        width: W, an expert's outputs and a tower's hidden units.
    """

    def __init__(self, inputs: int, tasks: int, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.experts, self.width = tasks, experts, width
        self.trunk = nn.Linear(inputs, experts * width)
        self.gate = nn.Linear(inputs, tasks * experts)
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Parameter(torch.randn(tasks, width, width) / width**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(tasks, 1, width))
        self.out = nn.Parameter(torch.zeros(tasks, width, 1))
        self.out_bias = nn.Parameter(torch.zeros(tasks, 1, 1))
        self.position = nn.Embedding(_POSITIONS, tasks)
        nn.init.zeros_(self.position.weight)

    def mix(self, rows: Tensor) -> Mixture:
        """(B, inputs) to each task's mixture of experts."""
        outputs = self.norm(F.silu(self.trunk(rows)).view(-1, self.experts, self.width))  # (B, E, W)
        gates = self.gate(rows).view(-1, self.tasks, self.experts).softmax(dim=-1)  # (B, K, E)
        return Mixture(gates @ outputs, gates)

    def towers(self, mixed: Tensor, position: Tensor) -> Tensor:
        """(B, K, W) mixtures to (B, K) logits.

        Where an item was shown biases what is done with it; `position` (B,) takes that part out of the
        rest (a shallow tower as in Zhao et al., RecSys 2019). -1, not known, is taken as the first place.
        """
        hidden = F.silu(torch.baddbmm(self.hidden_bias, mixed.transpose(0, 1), self.hidden))  # (K, B, W)
        logits = torch.baddbmm(self.out_bias, hidden, self.out).squeeze(-1).T  # (B, K)
        biased: Tensor = logits + self.position(position.clamp(0, _POSITIONS - 1))
        return biased

    def forward(self, rows: Tensor, position: Tensor) -> Tensor:
        """(B, inputs) to (B, K) logits."""
        return self.towers(self.mix(rows).mixed, position)
