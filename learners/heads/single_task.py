"""Experts of its own for each task: nothing is shared but what comes in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from learners.heads.mixture import Mixture, gates_of
from learners.task_axes import BY_TASK, Axis, Each, TaskAxes


class SingleTask(nn.Module):
    """K mixtures of E experts beside each other; as dear as K models.

    Args:
        inputs: Width of a row.
        tasks: K.
        experts: E, of each task.
        width: W.
    """

    def __init__(self, inputs: int, tasks: int, experts: int = 4, width: int = 32) -> None:
        super().__init__()
        self.tasks, self.experts, self.width = tasks, experts, width
        self.trunk = nn.Linear(inputs, tasks * experts * width)
        self.gate = nn.Linear(inputs, tasks * experts)
        self.scale = nn.Parameter(torch.ones(tasks, 1, width))
        self.shift = nn.Parameter(torch.zeros(tasks, 1, width))

    def mix(self, rows: Tensor) -> Mixture:
        """See `Experts`."""
        K, E, W = self.tasks, self.experts, self.width
        outputs = F.layer_norm(F.silu(self.trunk(rows)).view(-1, K, E, W), (W,)) * self.scale + self.shift
        gates = gates_of(self.gate(rows), K)  # (B, K, E)
        mixed = (gates.unsqueeze(2) @ outputs).squeeze(2)  # (B, K, W)
        own = torch.eye(K, device=rows.device).expand(len(rows), K, K)
        return Mixture(mixed, gates, own)

    def task_axes(self, inputs: Axis) -> TaskAxes:
        """See `Experts`."""
        each = self.experts * self.width
        return {
            "trunk.weight": {0: [Each(each)], 1: inputs},
            "trunk.bias": {0: [Each(each)]},
            "gate.weight": {0: [Each(self.experts)], 1: inputs},
            "gate.bias": {0: [Each(self.experts)]},
            "scale": {0: BY_TASK},
            "shift": {0: BY_TASK},
        }
