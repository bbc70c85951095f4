"""Shared experts and experts of one's own, under one gate a task."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.heads.mixture import Mixture, gates_of
from learners.task_axes import BY_TASK, Axis, Each, TaskAxes


class CustomisedGateControl(nn.Module):
    """CGC, the extraction layer of PLE (Tang et al., RecSys 2020, "Progressive Layered Extraction"), one layer deep.

    All but one of the experts are shared, and each task has one of its own, which the other tasks' gradients
    never reach.

    Args:
        inputs: Width of a row.
        tasks: K.
        experts: Experts that a task sees, the last of which is its own.
        width: W.
    """

    def __init__(self, inputs: int, tasks: int, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.experts, self.width = tasks, max(experts, 2), width
        self.common = self.experts - 1
        self.trunk = nn.Linear(inputs, self.common * width)
        self.own = nn.Linear(inputs, tasks * width)
        self.gate = nn.Linear(inputs, tasks * self.experts)
        self.norm = nn.LayerNorm(width)
        self.scale = nn.Parameter(torch.ones(tasks, width))
        self.shift = nn.Parameter(torch.zeros(tasks, width))

    def mix(self, rows: Tensor) -> Mixture:
        """See `Experts`."""
        K, W = self.tasks, self.width
        common = self.norm(F.silu(self.trunk(rows)).view(-1, self.common, W))  # (B, E - 1, W)
        own = F.layer_norm(F.silu(self.own(rows)).view(-1, K, W), (W,)) * self.scale + self.shift  # (B, K, W)
        gates = gates_of(self.gate(rows), K)  # (B, K, E)
        shared = gates[:, :, : self.common]
        return Mixture(shared @ common + gates[:, :, -1:] * own, gates, shared)

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """See `Experts`."""
        return {
            "trunk.weight": {1: inputs},
            "own.weight": {0: [Each(self.width)], 1: inputs},
            "own.bias": {0: [Each(self.width)]},
            "gate.weight": {0: [Each(self.experts)], 1: inputs},
            "gate.bias": {0: [Each(self.experts)]},
            "scale": {0: BY_TASK},
            "shift": {0: BY_TASK},
        }
